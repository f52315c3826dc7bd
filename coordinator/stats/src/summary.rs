//! Point estimates and spread of one sample. No intervals, see
//! [`crate::interval`].

/// A summary of a sample; the same for any order of its values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Number of values, at least 1.
    pub n: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (divisor `n - 1`); unknown for one value.
    pub std: Option<f64>,
    /// Population standard deviation (divisor `n`), the one in the published
    /// tables (protocol notes, section 6).
    pub population_std: f64,
    /// Median.
    pub median: f64,
    /// First quartile.
    pub q1: f64,
    /// Third quartile.
    pub q3: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

impl Summary {
    /// Summarises `values`, which are finite; absent when there are none or one
    /// of them is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        let sorted = sorted(values)?;
        let n = sorted.len();
        let mean = mean(&sorted);
        let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self {
            n,
            mean,
            std: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()),
            population_std: (squares / n as f64).sqrt(),
            median: quantile(&sorted, 0.5),
            q1: quantile(&sorted, 0.25),
            q3: quantile(&sorted, 0.75),
            min: sorted[0],
            max: sorted[n - 1],
        })
    }
}

/// Interquartile mean: the mean of what is left when `floor(n / 4)` values are
/// cut at each end (`scipy.stats.trim_mean(values, 0.25)`; Agarwal et al., 2021).
/// Absent when there are no values or one is not finite.
pub fn interquartile_mean(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values)?;
    let cut = sorted.len() / 4;
    Some(mean(&sorted[cut..sorted.len() - cut]))
}

/// Optimality gap `target - mean(min(value, target))`, in the unit of the values:
/// how far the runs stay below the best known value. Absent when there are no
/// values or one is not finite.
pub fn optimality_gap(values: &[f64], target: f64) -> Option<f64> {
    let mut capped = sorted(values)?;
    for value in &mut capped {
        *value = value.min(target);
    }
    Some(target - mean(&capped))
}

/// Quantile by linear interpolation between order statistics (type 7 of Hyndman
/// and Fan, 1996; numpy's default). `probability` is clamped to [0, 1].
///
/// # Panics
/// When `sorted` is empty.
pub fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let last = sorted.len() - 1;
    let position = probability.clamp(0.0, 1.0) * last as f64;
    let below = (position.floor() as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

/// The values in ascending order; absent when there are none or one is not
/// finite.
pub(crate) fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    Some(sorted)
}

/// Arithmetic mean of a sample that is not empty.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Oracle, assert_close};

    #[test]
    fn mean_and_spread_agree_with_numpy() {
        let oracle = Oracle::load();
        for name in ["a", "b", "c"] {
            let summary = Summary::of(&oracle.sample(name)).unwrap();
            let expected = oracle.numbers(&["mean_std_ddof1", name]);
            assert_close(summary.mean, expected[0]);
            assert_close(summary.std.unwrap(), expected[1]);
            assert_close(summary.population_std, expected[2]);
        }
    }

    #[test]
    fn interquartile_means_agree_with_scipy() {
        let oracle = Oracle::load();
        let mut pooled = Vec::new();
        for name in ["a", "b", "c"] {
            let sample = oracle.sample(name);
            let expected = oracle.number(&["iqm_trim25", name]);
            assert_close(interquartile_mean(&sample).unwrap(), expected);
            pooled.extend(sample);
        }
        let expected = oracle.number(&["iqm_30_runs_flattened_abc"]);
        assert_close(interquartile_mean(&pooled).unwrap(), expected);
    }

    #[test]
    fn quartiles_interpolate_as_numpy_does() {
        // np.percentile([1, 2, 4, 8], [25, 50, 75]) = [1.75, 3, 5]
        let summary = Summary::of(&[8.0, 1.0, 4.0, 2.0]).unwrap();
        assert_close(summary.q1, 1.75);
        assert_close(summary.median, 3.0);
        assert_close(summary.q3, 5.0);
    }

    #[test]
    fn the_gap_counts_only_what_lies_below_the_target() {
        assert_close(optimality_gap(&[0.5, 2.0, 1.0], 1.0).unwrap(), 0.5 / 3.0);
    }

    #[test]
    fn what_cannot_be_known_is_absent() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
        assert_eq!(interquartile_mean(&[]), None);
        assert_eq!(optimality_gap(&[f64::INFINITY], 1.0), None);
        let single = Summary::of(&[3.0]).unwrap();
        assert_eq!((single.std, single.q1, single.q3), (None, 3.0, 3.0));
    }

    proptest! {
        #[test]
        fn order_and_shift_do_what_they_must(
            values in prop::collection::vec(-100.0..100.0f64, 2..40),
            shift in -50.0..50.0f64,
        ) {
            let summary = Summary::of(&values).unwrap();
            let reversed: Vec<_> = values.iter().rev().copied().collect();
            prop_assert_eq!(Summary::of(&reversed), Some(summary));
            prop_assert!(summary.min <= summary.q1 && summary.q1 <= summary.median);
            prop_assert!(summary.median <= summary.q3 && summary.q3 <= summary.max);
            let shifted: Vec<_> = values.iter().map(|value| value + shift).collect();
            let shifted = Summary::of(&shifted).unwrap();
            prop_assert!((shifted.mean - summary.mean - shift).abs() < 1e-9);
            prop_assert!((shifted.q1 - summary.q1 - shift).abs() < 1e-9);
            prop_assert!((shifted.std.unwrap() - summary.std.unwrap()).abs() < 1e-9);
        }
    }
}
