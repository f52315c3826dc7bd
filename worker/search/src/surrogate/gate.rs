//! Tells which means and variances can still give an expected improvement that
//! reaches a threshold. For each small range of means a table holds the smallest
//! variance that can; a lookup replaces a computation for each row.

use super::acquisition::ExpectedImprovement;

/// Ranges of means.
const CELLS: usize = 48;

/// The range of variances; no prediction lies outside it.
const LEAST: f32 = 1e-12;
const MOST: f32 = 1e12;

/// Halvings of the range of variances: to a thousandth of a value.
const HALVINGS: usize = 17;

/// The table is computed again when the threshold has risen by this factor.
const RISE: f64 = 1.02;

/// Lets through the rows that can be chosen.
#[derive(Debug)]
pub(super) struct Gate {
    improvement: ExpectedImprovement,
    /// The score that must be reached; everything passes without one.
    threshold: Option<f64>,
    low: f32,
    width: f32,
    /// The variance that must be reached in each cell.
    variances: [f32; CELLS],
}

impl Gate {
    /// Lets everything through.
    pub(super) fn open(improvement: ExpectedImprovement) -> Self {
        Self {
            improvement,
            threshold: None,
            low: 0.0,
            width: 0.0,
            variances: [0.0; CELLS],
        }
    }

    /// Raises the threshold; `means` are some that occur.
    pub(super) fn raise(&mut self, threshold: Option<f64>, means: &[f32]) {
        let Some(wanted) = threshold else { return };
        let is_new = match self.threshold {
            None => true,
            Some(old) => wanted > old * RISE && wanted > old,
        };
        if !is_new {
            return;
        }
        if self.threshold.is_none() {
            let low = means.iter().copied().fold(f32::INFINITY, f32::min);
            let high = means.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            // Others lie about these.
            let span = (high - low).max(1e-3);
            self.low = low - span;
            self.width = 3.0 * span / CELLS as f32;
        }
        self.threshold = Some(wanted);
        for cell in 0..CELLS {
            // A little beyond its end, for the rounding of a cell's number.
            let mean = self.width.mul_add(cell as f32 + 1.01, self.low);
            self.variances[cell] = self.needed(f64::from(mean));
        }
    }

    /// Whether a row of this mean and variance, or less, can be chosen.
    #[inline]
    pub(super) fn passes(&self, mean: f32, variance: f32) -> bool {
        if self.threshold.is_none() {
            return true;
        }
        // The first cell stands for all lower means too.
        let cell = ((mean - self.low) / self.width).max(0.0) as usize;
        let needed = self.variances.get(cell);
        // A variance that is not a number passes too.
        !needed.is_some_and(|&needed| variance < needed)
    }

    /// Whether a score of zero reaches the threshold. Rows that do not pass then
    /// score exactly zero.
    pub(super) fn is_at_zero(&self) -> bool {
        self.threshold.is_some_and(|threshold| threshold == 0.0)
    }

    /// A variance below which no row of this mean, or of a lower one, reaches the
    /// threshold.
    fn needed(&self, mean: f64) -> f32 {
        let threshold = self.threshold.unwrap_or_default();
        let reaches = |variance: f32| {
            let variance = f64::from(variance);
            if threshold == 0.0 {
                !self.improvement.vanishes(mean, variance)
            } else {
                let ceiling = self.improvement.ceiling(mean, variance);
                // A NaN reaches it as well.
                ceiling >= threshold || ceiling.is_nan()
            }
        };
        if reaches(LEAST) {
            return 0.0;
        }
        // Halving the bits of positive numbers halves their logarithms, or nearly.
        let (mut fails, mut passes) = (LEAST.to_bits(), MOST.to_bits());
        for _ in 0..HALVINGS {
            let middle = fails.midpoint(passes);
            if reaches(f32::from_bits(middle)) {
                passes = middle;
            } else {
                fails = middle;
            }
        }
        f32::from_bits(fails)
    }
}
