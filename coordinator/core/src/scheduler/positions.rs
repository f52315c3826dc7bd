//! A set of positions in a plan, a bit each.
//!
//! A study may have a million ready tasks, and the first of them is asked for at
//! every lease: a tree would take two hundred times the memory.

/// Levels of the set: enough for the first position of a million to be found by
/// looking at seven words.
const LEVELS: usize = 3;

const BITS: usize = u64::BITS as usize;

/// Positions from 0, dense and few millions.
#[derive(Debug, Clone, Default)]
pub(super) struct Positions {
    /// Bits of the positions; above them, a bit for each word that is not empty.
    levels: [Vec<u64>; LEVELS],
}

impl Positions {
    pub(super) fn insert(&mut self, position: u32) {
        let mut place = position as usize;
        for words in &mut self.levels {
            let (row, bit) = (place / BITS, place % BITS);
            if words.len() <= row {
                words.resize(row + 1, 0);
            }
            let before = words[row];
            words[row] |= 1 << bit;
            if before != 0 {
                return;
            }
            place = row;
        }
    }

    pub(super) fn remove(&mut self, position: u32) {
        let mut place = position as usize;
        for words in &mut self.levels {
            let (row, bit) = (place / BITS, place % BITS);
            let Some(word) = words.get_mut(row) else {
                return;
            };
            *word &= !(1 << bit);
            if *word != 0 {
                return;
            }
            place = row;
        }
    }

    /// The smallest one.
    pub(super) fn first(&self) -> Option<u32> {
        let [.., top] = &self.levels;
        Some(self.descend(top.iter().position(|word| *word != 0)?))
    }

    /// The smallest one from `start` on.
    pub(super) fn first_from(&self, start: u32) -> Option<u32> {
        let mut place = start as usize;
        // Up, until a word has a bit at or behind the place.
        for level in 0..LEVELS {
            let (row, bit) = (place / BITS, place % BITS);
            let word = self.levels[level].get(row).copied().unwrap_or(0);
            let rest = word & (u64::MAX << bit);
            if rest != 0 {
                let mut place = row * BITS + rest.trailing_zeros() as usize;
                for words in self.levels[..level].iter().rev() {
                    place = place * BITS + words[place].trailing_zeros() as usize;
                }
                return Some(place as u32);
            }
            place = row + 1;
        }
        let [.., top] = &self.levels;
        let row = (place..top.len()).find(|row| top[*row] != 0)?;
        Some(self.descend(row))
    }

    /// The smallest position below a word of the highest level.
    fn descend(&self, row: usize) -> u32 {
        let mut place = row;
        for words in self.levels.iter().rev() {
            place = place * BITS + words[place].trailing_zeros() as usize;
        }
        place as u32
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// The words that say all, without the empty ones at the end.
    fn words(&self) -> &[u64] {
        let [words, ..] = &self.levels;
        let end = words.iter().rposition(|word| *word != 0);
        &words[..end.map_or(0, |last| last + 1)]
    }
}

impl PartialEq for Positions {
    fn eq(&self, other: &Self) -> bool {
        self.words() == other.words()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(changes in prop::collection::vec((any::<bool>(), 0u32..20_000), 0..200)) {
            let (mut positions, mut expected) = (Positions::default(), BTreeSet::new());
            for (inserts, position) in changes {
                if inserts {
                    positions.insert(position);
                    expected.insert(position);
                } else {
                    positions.remove(position);
                    expected.remove(&position);
                }
                prop_assert_eq!(positions.first(), expected.first().copied());
                let from = expected.range(position + 1..).next();
                prop_assert_eq!(positions.first_from(position + 1), from.copied());
            }
            let mut anew = Positions::default();
            for position in &expected {
                anew.insert(*position);
            }
            prop_assert_eq!(&positions, &anew);
            while let Some(first) = positions.first() {
                prop_assert!(expected.remove(&first));
                positions.remove(first);
            }
            prop_assert!(expected.is_empty() && positions.is_empty());
        }
    }
}
