//! Repeated measurements and what is said of them: median and range, and the ratio
//! of two programs that were measured in turns.

use serde::{Deserialize, Serialize};

/// Values of one quantity, one a repeat, in the order in which they were measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds the value of one more repeat.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle value, the mean of the two middle ones for an even number; not a
    /// number without any.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            len if len % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// Smallest and largest value.
    pub(crate) fn range(&self) -> (f64, f64) {
        let low = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (low, high)
    }

    /// Values of the same repeat of both through `f`.
    #[must_use]
    pub(crate) fn with(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(&a, &b)| f(a, b)).collect()
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_range_its_ends() {
        let odd: Samples = [3.0, 1.0, 2.0].into_iter().collect();
        assert_eq!((odd.median(), odd.range()), (2.0, (1.0, 3.0)));
        let even: Samples = [4.0, 1.0, 2.0, 3.0].into_iter().collect();
        assert!((even.median() - 2.5).abs() < 1e-12);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn ratios_are_taken_repeat_by_repeat() {
        let ours: Samples = [10.0, 30.0].into_iter().collect();
        let theirs: Samples = [5.0, 10.0].into_iter().collect();
        let ratio: Samples = [2.0, 3.0].into_iter().collect();
        assert_eq!(ours.with(&theirs, |a, b| a / b), ratio);
    }
}
