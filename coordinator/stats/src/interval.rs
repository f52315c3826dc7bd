//! Intervals for a mean: bootstrap (percentile and BCa), Student's t, and the
//! DKW band of a distribution function.
//!
//! A bootstrap stream is keyed by what it is for, not by when it is drawn, so
//! that an interval does not change when a row is added to its table.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use crate::student;
use crate::summary::{Summary, mean, quantile};

/// Confidence level of every interval that a table shows.
pub const LEVEL: f64 = 0.95;

/// Bootstrap samples behind every interval that a table shows. The end points of
/// a 95 % interval then vary by about 1 % of its width.
pub const RESAMPLES: usize = 10_000;

/// Values from which on resampled means are not drawn but taken from the limit of
/// their distribution. The end points then differ by less than what
/// [`RESAMPLES`] resamples leave to chance, and a million values cost no 10^10 draws.
pub const LARGE: usize = 20_000;

/// Two ends of a confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A bootstrap: how often it resamples, and the stream it draws from.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    seed: [u8; 32],
    resamples: usize,
}

impl Bootstrap {
    /// A bootstrap with [`RESAMPLES`] resamples whose stream is keyed by `parts`,
    /// for instance row label, data set and metric.
    pub fn keyed(parts: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("reprise-stats bootstrap v1");
        for part in parts {
            // The length keeps ("ab", "c") and ("a", "bc") apart.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self {
            seed: *hasher.finalize().as_bytes(),
            resamples: RESAMPLES,
        }
    }

    /// The same with another number of resamples, at least 1.
    #[must_use]
    pub fn with_resamples(mut self, resamples: usize) -> Self {
        self.resamples = resamples.max(1);
        self
    }

    /// Percentile interval of the mean; absent for fewer than two values or when
    /// one is not finite.
    ///
    /// It covers less than `level` for small samples (it uses the divisor `n` and
    /// no t quantile): about 93.6 % at n = 30 for a level of 95 %.
    pub fn percentile(&self, values: &[f64], level: f64) -> Option<Interval> {
        let summary = Summary::of(values)?;
        summary.std?;
        let means = self.resampled_means(values, &summary);
        let tail = (1.0 - level) / 2.0;
        Some(Interval {
            low: means.quantile(tail),
            high: means.quantile(1.0 - tail),
        })
    }

    /// Bias-corrected and accelerated interval of the mean (Efron, 1987); absent
    /// for fewer than two values or when one is not finite.
    pub fn bca(&self, values: &[f64], level: f64) -> Option<Interval> {
        let summary = Summary::of(values)?;
        summary.std?;
        if summary.min >= summary.max {
            return Some(Interval {
                low: summary.mean,
                high: summary.mean,
            });
        }
        let means = self.resampled_means(values, &summary);
        let bias = student::normal_quantile(means.share_below(mean(values)));
        let acceleration = acceleration_of_mean(values);
        let adjusted = |probability: f64| {
            let z = bias + student::normal_quantile(probability);
            student::normal_lower(bias + z / (1.0 - acceleration * z))
        };
        let tail = (1.0 - level) / 2.0;
        Some(Interval {
            low: means.quantile(adjusted(tail)),
            high: means.quantile(adjusted(1.0 - tail)),
        })
    }

    /// The distribution of the means of resamples.
    fn resampled_means(&self, values: &[f64], summary: &Summary) -> ResampledMeans {
        if values.len() >= LARGE {
            return ResampledMeans::Limit {
                mean: summary.mean,
                error: summary.population_std / (values.len() as f64).sqrt(),
                // The acceleration is a sixth of the skewness of the mean.
                skewness: 6.0 * acceleration_of_mean(values),
            };
        }
        ResampledMeans::Drawn(self.drawn_means(values))
    }

    /// Means of all resamples in ascending order.
    fn drawn_means(&self, values: &[f64]) -> Vec<f64> {
        let mut rng = ChaCha8Rng::from_seed(self.seed);
        let count = values.len() as u64;
        let mut means: Vec<f64> = (0..self.resamples)
            .map(|_| {
                let sum: f64 = (0..count)
                    .map(|_| {
                        // Maps 32 random bits onto the positions; the bias is below
                        // n / 2^32 and far under the resampling error.
                        let position = (u64::from(rng.next_u32()) * count) >> 32;
                        values[position as usize]
                    })
                    .sum();
                sum / count as f64
            })
            .collect();
        means.sort_unstable_by(f64::total_cmp);
        means
    }
}

/// The distribution of the mean of a resample.
#[derive(Debug)]
enum ResampledMeans {
    /// Means that were drawn, in ascending order.
    Drawn(Vec<f64>),
    /// The first two terms of the Edgeworth expansion (Hall, 1992, section 2.3), whose
    /// error is of the order of the reciprocal of the number of values.
    Limit {
        mean: f64,
        /// Standard error of the mean, divisor `n`.
        error: f64,
        /// Skewness of the mean.
        skewness: f64,
    },
}

impl ResampledMeans {
    fn quantile(&self, probability: f64) -> f64 {
        match self {
            Self::Drawn(means) => quantile(means, probability),
            Self::Limit {
                mean,
                error,
                skewness,
            } => {
                // Cornish-Fisher: the expansion solved for the quantile.
                let z = student::normal_quantile(probability);
                mean + error * (z + skewness / 6.0 * (z * z - 1.0))
            }
        }
    }

    /// The share of means below the `observed` one, half of those that are equal
    /// counted; kept off 0 and 1, where the bias correction would be infinite.
    fn share_below(&self, observed: f64) -> f64 {
        match self {
            Self::Drawn(means) => {
                let count = means.len() as f64;
                let below = means.partition_point(|&resampled| resampled < observed) as f64;
                let up_to = means.partition_point(|&resampled| resampled <= observed) as f64;
                ((below + up_to) / (2.0 * count)).clamp(0.5 / count, 1.0 - 0.5 / count)
            }
            // The expansion at the mean itself: half, and what the skewness adds.
            Self::Limit { skewness, .. } => {
                let density = 1.0 / (2.0 * std::f64::consts::PI).sqrt();
                0.5 + skewness / 6.0 * density
            }
        }
    }
}

/// The acceleration constant of BCa for the mean, from the jackknife:
/// `sum d^3 / (6 (sum d^2)^(3/2))` with `d` the centred leave-one-out means
/// reversed in sign. Zero when all values are equal.
pub fn acceleration_of_mean(values: &[f64]) -> f64 {
    let centre = mean(values);
    // The leave-one-out mean lies (value - mean) / (n - 1) below the mean, and
    // the factor 1 / (n - 1) cancels in the ratio.
    let (squares, cubes) = values.iter().fold((0.0, 0.0), |(squares, cubes), value| {
        let deviation = value - centre;
        (squares + deviation.powi(2), cubes + deviation.powi(3))
    });
    if squares > 0.0 {
        cubes / (6.0 * squares.powf(1.5))
    } else {
        0.0
    }
}

/// Student's t interval of the mean; absent for fewer than two values or when one
/// is not finite.
pub fn student_interval(values: &[f64], level: f64) -> Option<Interval> {
    let summary = Summary::of(values)?;
    let error = summary.std? / (summary.n as f64).sqrt();
    let reach = error * student::critical(1.0 - level, summary.n as f64 - 1.0);
    Some(Interval {
        low: summary.mean - reach,
        high: summary.mean + reach,
    })
}

/// Half width of the simultaneous band of an empirical distribution function,
/// `sqrt(ln(2 / alpha) / (2 n))` (Dvoretzky-Kiefer-Wolfowitz with Massart's
/// constant).
pub fn dkw_half_width(n: usize, alpha: f64) -> f64 {
    ((2.0 / alpha).ln() / (2.0 * n as f64)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Oracle, assert_close};

    #[test]
    fn closed_forms_agree_with_scipy() {
        let oracle = Oracle::load();
        let a = oracle.sample("a");
        let expected = oracle.numbers(&["t_ci95_mean_a"]);
        let found = student_interval(&a, LEVEL).unwrap();
        assert_close(found.low, expected[0]);
        assert_close(found.high, expected[1]);
        assert_close(
            acceleration_of_mean(&a),
            oracle.number(&["bca_acceleration_mean_a"]),
        );
        assert_close(
            dkw_half_width(500, 0.05),
            oracle.number(&["dkw_halfwidth_n500_alpha0.05"]),
        );
    }

    #[test]
    fn the_limit_of_a_large_sample_is_what_drawing_gives() {
        // Strongly skewed: the quantiles of an exponential distribution.
        let values: Vec<f64> = (0..LARGE)
            .map(|rank| -(1.0 - (rank as f64 + 0.5) / LARGE as f64).ln())
            .collect();
        let bootstrap = Bootstrap::keyed(&["large"]).with_resamples(2_000);
        let drawn = ResampledMeans::Drawn(bootstrap.drawn_means(&values));
        let limit = bootstrap.resampled_means(&values, &Summary::of(&values).unwrap());
        assert!(matches!(limit, ResampledMeans::Limit { .. }));
        let error = (LARGE as f64).sqrt().recip();
        for probability in [0.025, 0.5, 0.975] {
            // Four standard errors of a tail quantile of 2,000 normal draws: the
            // test fails by chance in less than one of 5,000 runs of other streams.
            let tolerance = 4.0 * 0.06 * error;
            let difference = drawn.quantile(probability) - limit.quantile(probability);
            assert!(difference.abs() < tolerance, "{probability}: {difference}");
        }
        // A quarter of a percent of skewness is far above what 2,000 draws can show.
        let share = limit.share_below(mean(&values));
        assert!((share - drawn.share_below(mean(&values))).abs() < 0.05);
        assert!(
            share > 0.5,
            "the mean of a sample that is skewed to the right"
        );
    }

    #[test]
    fn streams_differ_by_key_and_repeat_by_key() {
        let a = Oracle::load().sample("a");
        let of = |parts: &[&str]| Bootstrap::keyed(parts).percentile(&a, LEVEL).unwrap();
        assert_eq!(of(&["random", "cifar10"]), of(&["random", "cifar10"]));
        assert_ne!(of(&["random", "cifar10"]), of(&["random", "cifar100"]));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    }

    #[test]
    fn both_bootstraps_lie_near_the_normal_interval() {
        // The bootstrap's spread is the population standard deviation over sqrt(n).
        let a = Oracle::load().sample("a");
        let summary = Summary::of(&a).unwrap();
        let reach = 1.96 * summary.population_std / 10f64.sqrt();
        let bootstrap = Bootstrap::keyed(&["a"]);
        for found in [bootstrap.percentile(&a, LEVEL), bootstrap.bca(&a, LEVEL)] {
            let found = found.unwrap();
            assert!((found.low - (summary.mean - reach)).abs() < 0.1 * reach);
            assert!((found.high - (summary.mean + reach)).abs() < 0.1 * reach);
        }
    }

    #[test]
    fn bca_leans_towards_the_long_tail() {
        let skewed = [1.0, 1.1, 1.2, 1.2, 1.3, 1.4, 1.5, 4.0, 9.0];
        let bootstrap = Bootstrap::keyed(&["skewed"]);
        let percentile = bootstrap.percentile(&skewed, LEVEL).unwrap();
        let bca = bootstrap.bca(&skewed, LEVEL).unwrap();
        assert!(bca.low > percentile.low && bca.high > percentile.high);
    }

    #[test]
    fn what_cannot_be_known_is_absent() {
        let bootstrap = Bootstrap::keyed(&[]);
        for values in [&[][..], &[1.0], &[1.0, f64::NAN]] {
            assert_eq!(bootstrap.percentile(values, LEVEL), None);
            assert_eq!(bootstrap.bca(values, LEVEL), None);
            assert_eq!(student_interval(values, LEVEL), None);
        }
        let constant = bootstrap.bca(&[2.0, 2.0, 2.0], LEVEL).unwrap();
        assert_eq!((constant.low, constant.high), (2.0, 2.0));
    }
}
