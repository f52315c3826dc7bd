//! The official order of NAS-Bench-201.
//!
//! The benchmark listed its cells with the last edge running fastest and then
//! shuffled the list by Python's `random.seed(88); random.shuffle(cells)`. Both
//! are redone here: the generator is MT19937 (Matsumoto and Nishimura, 1998), the
//! shuffle Fisher and Yates' from the back with draws by rejection.

/// Seed of the published shuffle.
const SHUFFLE_SEED: u32 = 88;

/// The codes `0..len` in the published order: entry `i` belongs to index `i`.
pub(super) fn shuffled_codes(len: u16) -> Vec<u16> {
    let mut codes: Vec<u16> = (0..len).collect();
    let mut generator = MersenneTwister::new(SHUFFLE_SEED);
    for last in (1..codes.len()).rev() {
        codes.swap(last, generator.below(last as u32 + 1) as usize);
    }
    codes
}

/// Words of the generator's state.
const WORDS: usize = 624;
/// Distance of the word that each word is mixed with.
const SHIFT: usize = 397;

/// MT19937, seeded as Python seeds it with an integer of 32 bits.
struct MersenneTwister {
    state: [u32; WORDS],
    next: usize,
}

impl MersenneTwister {
    /// The reference initialisation by an array, here of one word.
    fn new(seed: u32) -> Self {
        /// Seed that the reference implementation mixes the array into.
        const ARRAY_SEED: u32 = 19_650_218;
        let mut state = [ARRAY_SEED; WORDS];
        for i in 1..WORDS {
            state[i] = scrambled(state[i - 1])
                .wrapping_mul(1_812_433_253)
                .wrapping_add(i as u32);
        }
        let mut i = 1;
        for step in 0..2 * WORDS - 1 {
            let previous = scrambled(state[i - 1]);
            state[i] = if step < WORDS {
                (state[i] ^ previous.wrapping_mul(1_664_525)).wrapping_add(seed)
            } else {
                (state[i] ^ previous.wrapping_mul(1_566_083_941)).wrapping_sub(i as u32)
            };
            i += 1;
            if i == WORDS {
                // The last word stands in for the one before the first.
                state[0] = state[WORDS - 1];
                i = 1;
            }
        }
        state[0] = 1 << 31;
        Self { state, next: WORDS }
    }

    /// 32 random bits.
    fn next_u32(&mut self) -> u32 {
        if self.next == WORDS {
            self.refill();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= word << 7 & 0x9d2c_5680;
        word ^= word << 15 & 0xefc6_0000;
        word ^ word >> 18
    }

    /// Uniform in `0..bound`: the leading bits that can hold the bound, drawn
    /// until they fit. `bound` is not zero.
    fn below(&mut self, bound: u32) -> u32 {
        loop {
            let draw = self.next_u32() >> bound.leading_zeros();
            if draw < bound {
                return draw;
            }
        }
    }

    fn refill(&mut self) {
        for i in 0..WORDS {
            let word = self.state[i] & 1 << 31 | self.state[(i + 1) % WORDS] & !(1 << 31);
            let twist = if word & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + SHIFT) % WORDS] ^ word >> 1 ^ twist;
        }
        self.next = 0;
    }
}

/// A word with its two leading bits mixed into the trailing ones.
const fn scrambled(word: u32) -> u32 {
    word ^ word >> 30
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_draws_what_python_draws() {
        // `random.seed(88)`, then `random.getrandbits(32)`: the first five and the
        // 1,001st, which lies in the second block.
        let expected = [
            1_707_201_716,
            4_182_107_318,
            813_946_014,
            1_429_399_738,
            3_875_947_387,
        ];
        let mut generator = MersenneTwister::new(88);
        assert_eq!(expected.map(|_| generator.next_u32()), expected);
        assert_eq!(
            (5..=1_000).map(|_| generator.next_u32()).last(),
            Some(3_551_917_360)
        );
    }

    #[test]
    fn a_shuffle_keeps_every_code() {
        let mut codes = shuffled_codes(1_000);
        assert!(!codes.is_sorted());
        codes.sort_unstable();
        assert!(codes.into_iter().eq(0..1_000));
    }
}
