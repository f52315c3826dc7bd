//! Tests of a difference between two samples.
//!
//! [`mean`] compares means (Welch, paired t), [`equivalence`] asks whether a
//! difference is small enough to call a number reproduced, [`rank`] compares
//! whole distributions. Adjusting for several tests is [`crate::multiplicity`]'s.

pub mod equivalence;
pub mod mean;
pub mod rank;

pub use equivalence::{Equivalence, Verdict};
pub use mean::{MeanTest, Moments};
pub use rank::RankTest;

/// Why a test has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TestError {
    /// A sample is too small to have a spread.
    #[error("a sample has `{found}` values, expected at least `{needed}`")]
    TooFew {
        /// Values in the smaller sample.
        found: usize,
        /// Values needed.
        needed: usize,
    },
    /// No value differs from another, so that no difference has a scale.
    #[error("the values have no spread")]
    NoSpread,
    /// A value is not finite.
    #[error("a value is not finite")]
    NotFinite,
    /// The samples of a paired test differ in length.
    #[error("the samples have `{left}` and `{right}` values, expected pairs")]
    NotPaired {
        /// Values on the left.
        left: usize,
        /// Values on the right.
        right: usize,
    },
    /// An exact distribution would take too long.
    #[error("samples of `{left}` and `{right}` values are too large for the exact test")]
    TooLarge {
        /// Values on the left.
        left: usize,
        /// Values on the right.
        right: usize,
    },
}

/// Refuses samples with fewer than `needed` values or with one that is not finite.
fn require(sample: &[f64], needed: usize) -> Result<(), TestError> {
    if sample.len() < needed {
        return Err(TestError::TooFew {
            found: sample.len(),
            needed,
        });
    }
    if sample.iter().any(|value| !value.is_finite()) {
        return Err(TestError::NotFinite);
    }
    Ok(())
}
