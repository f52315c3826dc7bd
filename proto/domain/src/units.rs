//! Quantities as types: an accuracy is not a percentage, a missing value is not
//! zero, and a negative duration does not exist.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// A number outside the range of its unit.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum UnitError {
    /// Not in [0, 1].
    #[error("`{0}` is not an accuracy: expected a fraction from 0 to 1")]
    Accuracy(f64),
    /// Negative, infinite or not a number.
    #[error("`{0}` is not a duration: expected seconds, finite and not negative")]
    Seconds(f64),
}

/// A fraction of correct answers, in [0, 1]. Only exporters print percent.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Accuracy(f64);

impl Accuracy {
    /// Checks that `fraction` lies in [0, 1].
    pub fn new(fraction: f64) -> Result<Self, UnitError> {
        if (0.0..=1.0).contains(&fraction) {
            Ok(Self(fraction))
        } else {
            Err(UnitError::Accuracy(fraction))
        }
    }

    /// Checks that `percent` lies in [0, 100].
    pub fn from_percent(percent: f64) -> Result<Self, UnitError> {
        Self::new(percent / 100.0)
    }

    /// The fraction, in [0, 1].
    pub const fn fraction(self) -> f64 {
        self.0
    }

    /// The value in percent.
    pub const fn percent(self) -> f64 {
        self.0 * 100.0
    }
}

impl TryFrom<f64> for Accuracy {
    type Error = UnitError;

    fn try_from(fraction: f64) -> Result<Self, Self::Error> {
        Self::new(fraction)
    }
}

impl From<Accuracy> for f64 {
    fn from(accuracy: Accuracy) -> Self {
        accuracy.0
    }
}

/// A duration in seconds, finite and not negative. Simulated (charged by a
/// benchmark) or real: the field's name says which.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Seconds(f64);

impl Seconds {
    /// No time at all.
    pub const ZERO: Self = Self(0.0);

    /// Checks that `seconds` is finite and not negative.
    pub fn new(seconds: f64) -> Result<Self, UnitError> {
        if seconds.is_finite() && seconds >= 0.0 {
            Ok(Self(seconds))
        } else {
            Err(UnitError::Seconds(seconds))
        }
    }

    /// The number of seconds.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Seconds {
    type Error = UnitError;

    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        Self::new(seconds)
    }
}

impl From<Seconds> for f64 {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

impl Add for Seconds {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        // Two finite values can overflow to infinity only past 1e308 s.
        Self((self.0 + other.0).min(f64::MAX))
    }
}

impl Sum for Seconds {
    fn sum<I: Iterator<Item = Self>>(durations: I) -> Self {
        durations.fold(Self::ZERO, Add::add)
    }
}

/// A study's seed: 1, 2, 3, … as published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_unit_are_refused() {
        for wrong in [-0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            assert!(Accuracy::new(wrong).is_err());
        }
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Seconds::new(wrong).is_err());
        }
        assert!(serde_json::from_str::<Accuracy>("94.37").is_err());
    }

    #[test]
    fn percent_is_a_view_of_the_fraction() {
        let accuracy = Accuracy::from_percent(94.37).unwrap();
        assert!((accuracy.fraction() - 0.9437).abs() < 1e-12);
        assert!((accuracy.percent() - 94.37).abs() < 1e-12);
    }
}
