//! Expected improvement, as the released code computes it or correctly.

use super::posterior::Prediction;

/// Expected improvement over a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpectedImprovement {
    /// The accuracy to be exceeded.
    pub target: f64,
    /// Protocol notes, Q8: the variance takes the place of the standard
    /// deviation. The released code also computes in single precision; dividing
    /// by the variance is what takes it to tails where that decides: beyond 14
    /// "deviations" every value is zero, and ties are what is bought. The quirk
    /// therefore includes the precision.
    pub uses_variance: bool,
}

impl ExpectedImprovement {
    /// The expected improvement of one prediction.
    pub fn value(&self, prediction: Prediction) -> f64 {
        if self.uses_variance {
            in_single_precision(prediction, self.target as f32) as f64
        } else {
            let deviation = (prediction.variance as f64).sqrt();
            let distance = (prediction.mean as f64 - self.target) / deviation;
            deviation * (density(distance) + distance * distribution(distance))
        }
    }
}

/// The operations of the released code in their order, each rounded to single
/// precision; the error function is rounded from its double-precision value.
fn in_single_precision(prediction: Prediction, target: f32) -> f32 {
    const LOG_ROOT_TAU: f32 = 0.918_938_5;
    let deviation = prediction.variance;
    let distance = (prediction.mean - target) / deviation;
    let error = libm::erf((distance / std::f32::consts::SQRT_2) as f64) as f32;
    let distribution = 0.5 * (1.0 + error);
    let density = libm::expf(-(distance * distance) / 2.0 - LOG_ROOT_TAU);
    deviation * (density + distance * distribution)
}

/// Density of the standard normal distribution.
pub fn density(x: f64) -> f64 {
    const ROOT_TAU: f64 = 2.506_628_274_631_000_7;
    libm::exp(-0.5 * x * x) / ROOT_TAU
}

/// Distribution function of the standard normal distribution; relative accuracy
/// holds in the lower tail.
pub fn distribution(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// Positions of the `count` largest scores, ascending, as the tail of a stable
/// ascending sort: among equal scores the later position is larger.
pub fn largest(scores: impl IntoIterator<Item = f64>, count: usize) -> Vec<usize> {
    let mut kept: Vec<(f64, usize)> = Vec::new();
    for (position, score) in scores.into_iter().enumerate() {
        if kept.len() == count && kept.first().is_none_or(|lowest| score < lowest.0) {
            continue;
        }
        let place = kept.partition_point(|other| other.0 <= score);
        kept.insert(place, (score, position));
        if kept.len() > count {
            kept.remove(0);
        }
    }
    kept.into_iter().map(|(_, position)| position).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `scipy.stats.norm` 1.17.1.
    #[test]
    fn the_normal_distribution_agrees_with_scipy() {
        for (x, cumulative, dense) in [
            (-8.0, 6.220_960_574_271_74e-16, 5.052_271_083_536_893e-15),
            (
                -3.0,
                0.001_349_898_031_630_093_3,
                0.004_431_848_411_938_007_5,
            ),
            (-1.6, 0.054_799_291_699_557_974, 0.110_920_834_679_455_54),
            (-0.25, 0.401_293_674_317_076_3, 0.386_668_116_802_849_3),
            (0.7, 0.758_036_347_776_927, 0.312_253_933_366_761_27),
            (2.5, 0.993_790_334_674_223_8, 0.017_528_300_493_568_54),
        ] {
            assert!((distribution(x) / cumulative - 1.0).abs() < 1e-13, "{x}");
            assert!((density(x) / dense - 1.0).abs() < 1e-13, "{x}");
        }
    }

    /// Against the defining integral `∫ max(0, y - target) N(y) dy` by the
    /// trapezoid rule.
    #[test]
    fn expected_improvement_is_the_integral() {
        for (mean, variance, target) in [(0.9, 0.01, 0.95), (0.5, 0.2, 0.4), (0.2, 0.04, 1.0)] {
            let deviation = f64::from(variance as f32).sqrt();
            let (steps, mean) = (200_000, f64::from(mean as f32));
            let width = 16.0 * deviation / f64::from(steps);
            let integral: f64 = (0..=steps)
                .map(|step| {
                    let z = -8.0 + 16.0 * f64::from(step) / f64::from(steps);
                    let gain = (mean + z * deviation - target).max(0.0);
                    gain * density(z) / deviation * width
                })
                .sum();
            let acquisition = ExpectedImprovement {
                target,
                uses_variance: false,
            };
            let prediction = Prediction {
                mean: mean as f32,
                variance: variance as f32,
            };
            assert!((acquisition.value(prediction) - integral).abs() < 1e-7);
        }
    }

    /// Values of the released expressions in `PyTorch`-like single precision,
    /// evaluated with `numpy` 2.4.6 (`float32`, `scipy.special.erf`).
    #[test]
    fn the_quirk_agrees_with_the_released_expressions() {
        for (mean, variance, target, expected) in RELEASED {
            let acquisition = ExpectedImprovement {
                target,
                uses_variance: true,
            };
            let got = acquisition.value(Prediction { mean, variance });
            assert!(
                (got - expected).abs() <= 2e-6 * expected.abs(),
                "{got} {expected}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_largest_are_the_tail_of_a_stable_sort(
            scores in prop::collection::vec(0_u8..6, 0..40),
            count in 0_usize..8,
        ) {
            let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            let tail = order.split_off(order.len().saturating_sub(count));
            prop_assert_eq!(largest(scores, count), tail);
        }
    }

    const RELEASED: [(f32, f32, f64, f64); 6] = [
        (0.91, 0.05, 0.95, 0.006_010_370_8),
        (0.7, 0.1, 1.0, 3.821_593_8e-5),
        (0.46, 0.06, 1.0, 6.167_869_65e-20),
        (0.45, 0.045, 1.0, 6.547_526_49e-35),
        (0.4, 0.03, 1.0, 0.0),
        (1.1, 0.2, 0.95, 0.176_233_411),
    ];
}
