//! The few best of many scored rows, in whatever order the scores come.

/// The rows with the largest scores; of equal scores the later rank is larger, as in
/// the tail of a stable ascending sort.
#[derive(Debug, Clone)]
pub struct Choice<'a> {
    count: usize,
    /// Rank of each row, its own number where there is none.
    ranks: Option<&'a [u32]>,
    /// Rows that cannot be chosen, an entry a row.
    taken: Option<&'a [bool]>,
    /// Ascending.
    kept: Vec<(f64, u32, u32)>,
}

impl<'a> Choice<'a> {
    /// Chooses so many rows; `ranks` decides between equal scores, and a row that is
    /// `taken` is never chosen.
    pub fn new(count: usize, ranks: Option<&'a [u32]>, taken: Option<&'a [bool]>) -> Self {
        Self {
            count,
            ranks,
            taken,
            kept: Vec::with_capacity(count + 1),
        }
    }

    /// Whether a row may be chosen.
    pub fn allows(&self, row: u32) -> bool {
        self.taken.is_none_or(|taken| !taken[row as usize])
    }

    /// A row must score at least this to be chosen; `None` while any score will do.
    pub fn threshold(&self) -> Option<f64> {
        let (score, ..) = self.kept.first()?;
        (self.kept.len() >= self.count).then_some(*score)
    }

    /// Offers a row. The same row may be offered twice with the same score.
    pub fn offer(&mut self, row: u32, score: f64) {
        if !self.allows(row) || self.count == 0 {
            return;
        }
        let rank = self.ranks.map_or(row, |ranks| ranks[row as usize]);
        let is_full = self.kept.len() >= self.count;
        let is_below =
            |kept: &(f64, u32, u32)| kept.0 < score || (kept.0 <= score && kept.1 < rank);
        if is_full && !self.kept.first().is_some_and(is_below) {
            return;
        }
        let place = self.kept.partition_point(is_below);
        if self.kept.get(place).is_some_and(|kept| kept.2 == row) {
            return;
        }
        self.kept.insert(place, (score, rank, row));
        if is_full {
            self.kept.remove(0);
        }
    }

    /// The chosen rows, the best one last.
    pub fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.kept.iter().map(|(_, _, row)| *row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_choice_is_the_tail_of_a_stable_sort(
            scores in prop::collection::vec((0_u8..6, any::<bool>()), 0..40),
            count in 0_usize..8,
            offers in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let rows = scores.len() as u32;
            let ranks: Vec<u32> = (0..rows).map(|row| rows - 1 - row).collect();
            let taken: Vec<bool> = scores.iter().map(|(_, taken)| *taken).collect();
            let mut order: Vec<u32> = (0..rows).filter(|&row| !taken[row as usize]).collect();
            order.sort_by_key(|&row| (scores[row as usize].0, ranks[row as usize]));
            let tail = order.split_off(order.len().saturating_sub(count));

            let mut choice = Choice::new(count, Some(&ranks), Some(&taken));
            // Any order, some of them twice.
            let again = offers.iter().filter(|_| rows > 0).map(|i| i.index(rows as usize) as u32);
            for row in again.chain(0..rows) {
                choice.offer(row, f64::from(scores[row as usize].0));
            }
            prop_assert_eq!(choice.rows().collect::<Vec<_>>(), tail);
        }
    }
}
