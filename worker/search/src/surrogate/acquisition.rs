//! Expected improvement, as the released code computes it or correctly, and upper
//! bounds of what these computations give.

use super::posterior::Prediction;

/// Expected improvement over a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpectedImprovement {
    /// The accuracy to exceed.
    pub target: f64,
    /// Protocol notes, Q8: the variance takes the place of the standard
    /// deviation. The released code also computes in single precision. Dividing by
    /// the variance reaches tails where the precision decides: beyond 14
    /// "deviations" every value is zero, and the order of ties decides what is
    /// bought. The quirk therefore includes the precision.
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

impl ExpectedImprovement {
    /// No less than [`Self::value`] gives for any mean and variance up to these,
    /// rounding included; grows with both.
    pub fn ceiling(&self, mean: f64, variance: f64) -> f64 {
        let (spread, distance) = self.standardised(mean, variance);
        let dense = density(distance);
        let gain = (dense + distance * distribution(distance)).max(0.0);
        if self.uses_variance {
            // Single precision: the density's exponent is rounded, the distribution
            // function is a difference from 1 that is zero below -6 and wrong by some
            // units in the last place of 1 above. It is never negative, so that left
            // of the target the density alone is a bound.
            let exponent = 2e-6 * (1.0 + distance * distance) * dense;
            let rounded = gain + exponent + 1.2e-6 + 4e-7 * distance.max(0.0);
            let bound = if distance < 0.0 {
                rounded.min(dense + exponent)
            } else {
                rounded
            };
            // The smallest numbers are multiples of 1.4e-45.
            spread * bound * (1.0 + 1e-6) + 3e-45 * (1.0 + spread)
        } else {
            let error = if distance < 0.0 {
                dense
            } else {
                1.0 + distance
            };
            spread * (gain + 1e-13 * error) * (1.0 + 1e-12)
        }
    }

    /// Whether [`Self::value`] is exactly zero for every mean and variance up to
    /// these: the exponential underflows, and the distribution function with it.
    pub fn vanishes(&self, mean: f64, variance: f64) -> bool {
        // exp(-0.5 * 14.5^2) is beyond single precision, exp(-0.5 * 39^2) beyond
        // double.
        let limit = if self.uses_variance { -14.5 } else { -39.0 };
        self.standardised(mean, variance).1 < limit
    }

    /// What stands for the deviation, and the mean's distance from the target in it.
    fn standardised(&self, mean: f64, variance: f64) -> (f64, f64) {
        let (spread, target) = if self.uses_variance {
            (variance, f64::from(self.target as f32))
        } else {
            (variance.sqrt(), self.target)
        };
        (spread, (mean - target) / spread)
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
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        /// Over the variances and distances that occur, the far tails included where
        /// rounding decides.
        #[test]
        fn nothing_below_exceeds_the_ceiling(
            log_variance in -18.0_f64..5.0,
            distance in -16.0_f64..4.0,
            less_mean in 0.0_f64..1e-3,
            less_variance in 0.0_f64..0.2,
            less in 0_u8..4,
            uses_variance: bool,
        ) {
            let variance = log_variance.exp() as f32;
            let acquisition = ExpectedImprovement { target: 0.95, uses_variance };
            let spread = if uses_variance { variance } else { variance.sqrt() };
            let mean = (0.95 + distance * f64::from(spread)) as f32;
            let ceiling = acquisition.ceiling(mean.into(), variance.into());
            let lower = Prediction {
                mean: if less & 1 == 1 { mean - less_mean as f32 } else { mean },
                variance: if less & 2 == 2 { variance * (1.0 - less_variance as f32) } else { variance },
            };
            let value = acquisition.value(lower);
            prop_assert!(value <= ceiling, "{value:e} {ceiling:e} {lower:?}");
            if acquisition.vanishes(mean.into(), variance.into()) {
                prop_assert!(value == 0.0, "{value:e}");
            }
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
