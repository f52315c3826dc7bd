//! The versioned random stream: `ChaCha8` keyed by (space, seed, purpose), with the
//! step as the stream number, so that any draw can be made again without the ones
//! before it.
//!
//! Nothing else is in the key: what two runs of one seed both draw is the same, whatever
//! else differs between them. Methods share their initial design, a run with a quirk
//! is paired with the one without, and a longer run continues the shorter one.
//!
//! Distributions are written out here instead of taken from a library: a change
//! of a library's sampling algorithm would silently change every result. Raise
//! [`VERSION`] when a draw changes.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use reprise_domain::{Seed, SpaceName};
use serde::{Deserialize, Serialize};

/// Version of the streams; part of their key. Whoever raises it raises the versions of
/// the algorithms that draw (`TaskSpec::algorithm_version`).
pub const VERSION: u32 = 2;

/// The key of the streams of a seed in a space.
pub fn seed_key(space: SpaceName, seed: Seed) -> Vec<u8> {
    format!("{space} {seed}").into_bytes()
}

/// A random stream that can be snapshotted and resumed exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    rng: ChaCha8Rng,
}

impl Stream {
    /// The stream of `purpose` within the seed that `key` names ([`seed_key`]), at
    /// `step`. Streams of different keys, purposes or steps are independent.
    pub fn new(key: &[u8], purpose: &str, step: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("reprise random stream");
        hasher.update(&VERSION.to_le_bytes());
        hasher.update(&(purpose.len() as u64).to_le_bytes());
        hasher.update(purpose.as_bytes());
        hasher.update(key);
        let mut rng = ChaCha8Rng::from_seed(*hasher.finalize().as_bytes());
        rng.set_stream(step);
        Self { rng }
    }

    /// A uniform 64-bit number.
    pub fn next_u64(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Uniform in `0..bound`, without modulo bias.
    ///
    /// # Panics
    /// If `bound` is zero: there is nothing to draw.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a draw needs at least one outcome");
        // Rejection on the largest multiple of `bound` (Lemire, 2019).
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// Uniform in `0..bound` as a position.
    pub fn index(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    /// Uniform in [0, 1) with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal, by the method of Box and Muller, with functions that are the same
    /// on every platform. It takes exactly two
    /// uniforms for each draw, so the position in the stream is known; the polar
    /// method would take a random number of them.
    pub fn normal(&mut self) -> f64 {
        // 1 - u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }

    /// The numbers `0..len` in random order.
    pub fn permutation(&mut self, len: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..len as u32).collect();
        self.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_key_purpose_and_step_only() {
        let first = |key: &[u8], purpose, step| Stream::new(key, purpose, step).next_u64();
        assert_eq!(first(b"a", "x", 0), first(b"a", "x", 0));
        for (key, purpose, step) in [(b"b", "x", 0), (b"a", "y", 0), (b"a", "x", 1)] {
            assert_ne!(first(b"a", "x", 0), first(key, purpose, step));
        }
        // A purpose cannot run into the key.
        assert_ne!(first(b"bc", "a", 0), first(b"c", "ab", 0));
    }

    #[test]
    fn a_snapshot_continues_where_it_was_taken() {
        let mut stream = Stream::new(b"task", "test", 3);
        stream.normal();
        let saved = serde_json::to_string(&stream).unwrap();
        let mut restored: Stream = serde_json::from_str(&saved).unwrap();
        assert_eq!(stream.next_u64(), restored.next_u64());
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        // 100,000 draws: the bounds are more than five standard errors wide.
        let mut stream = Stream::new(b"moments", "test", 0);
        let draws = 100_000_i64;
        let normals: Vec<f64> = (0..draws).map(|_| stream.normal()).collect();
        let mean = normals.iter().sum::<f64>() / draws as f64;
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / draws as f64;
        assert!(
            mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03,
            "{mean} {variance}"
        );
        let mut counts = [0_i64; 7];
        (0..draws).for_each(|_| counts[stream.index(7)] += 1);
        assert!(
            counts.iter().all(|&n| (n - draws / 7).abs() < 600),
            "{counts:?}"
        );
    }
}
