//! Difference of two means: Welch's t from samples or from published summary
//! numbers, and the paired t.

use super::{TestError, require};
use crate::interval::Interval;
use crate::student;
use crate::summary::Summary;

/// What a t test needs to know of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    mean: f64,
    /// Variance of the mean: `s² / n`.
    error_variance: f64,
    /// Degrees of freedom of the variance; infinite for a number taken as exact.
    df: f64,
}

impl Moments {
    /// From the mean, sample standard deviation and size of a sample, as a paper
    /// states them.
    pub fn published(mean: f64, std: f64, n: usize) -> Result<Self, TestError> {
        if n < 2 {
            return Err(TestError::TooFew {
                found: n,
                needed: 2,
            });
        }
        if !mean.is_finite() || !std.is_finite() || std < 0.0 {
            return Err(TestError::NotFinite);
        }
        Ok(Self {
            mean,
            error_variance: std * std / n as f64,
            df: n as f64 - 1.0,
        })
    }

    /// A number without spread or sample size, taken as exact: a test against it
    /// is the one-sample t test.
    pub fn exact(value: f64) -> Result<Self, TestError> {
        if !value.is_finite() {
            return Err(TestError::NotFinite);
        }
        Ok(Self {
            mean: value,
            error_variance: 0.0,
            df: f64::INFINITY,
        })
    }

    /// Of a sample.
    pub fn of(sample: &[f64]) -> Result<Self, TestError> {
        require(sample, 2)?;
        let summary = Summary::of(sample).ok_or(TestError::NotFinite)?;
        let std = summary.std.ok_or(TestError::NoSpread)?;
        Self::published(summary.mean, std, summary.n)
    }
}

/// A two-sided t test of a difference, with all that follows from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanTest {
    /// Mean of the left sample less that of the right one.
    pub difference: f64,
    /// Standard error of the difference, above zero.
    pub standard_error: f64,
    /// The difference in standard errors.
    pub t: f64,
    /// Degrees of freedom.
    pub df: f64,
    /// Two-sided p-value of "no difference".
    pub p: f64,
}

impl MeanTest {
    fn new(difference: f64, standard_error: f64, df: f64) -> Result<Self, TestError> {
        // Overflow of huge values gives NaN.
        if standard_error.is_nan() || standard_error <= 0.0 {
            return Err(TestError::NoSpread);
        }
        let t = difference / standard_error;
        Ok(Self {
            difference,
            standard_error,
            t,
            df,
            p: student::two_sided(t, df),
        })
    }

    /// Confidence interval of the difference.
    pub fn interval(&self, level: f64) -> Interval {
        let reach = self.standard_error * student::critical(1.0 - level, self.df);
        Interval {
            low: self.difference - reach,
            high: self.difference + reach,
        }
    }
}

/// Welch's t test: equal variances are not assumed; degrees of freedom after
/// Satterthwaite.
pub fn welch(left: Moments, right: Moments) -> Result<MeanTest, TestError> {
    let variance = left.error_variance + right.error_variance;
    let df = variance.powi(2)
        / (left.error_variance.powi(2) / left.df + right.error_variance.powi(2) / right.df);
    MeanTest::new(left.mean - right.mean, variance.sqrt(), df)
}

/// Paired t test. Valid only where position `i` of both samples shares its source
/// of randomness, for instance the seed of the initial architectures.
pub fn paired(left: &[f64], right: &[f64]) -> Result<MeanTest, TestError> {
    let differences = paired_differences(left, right)?;
    let moments = Moments::of(&differences)?;
    MeanTest::new(moments.mean, moments.error_variance.sqrt(), moments.df)
}

/// `left - right`, pair by pair.
pub(super) fn paired_differences(left: &[f64], right: &[f64]) -> Result<Vec<f64>, TestError> {
    if left.len() != right.len() {
        return Err(TestError::NotPaired {
            left: left.len(),
            right: right.len(),
        });
    }
    let differences: Vec<f64> = left.iter().zip(right).map(|(l, r)| l - r).collect();
    require(&differences, 1)?;
    Ok(differences)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Oracle, assert_close};

    fn welch_of(left: &[f64], right: &[f64]) -> Result<MeanTest, TestError> {
        welch(Moments::of(left)?, Moments::of(right)?)
    }

    #[test]
    fn t_tests_agree_with_scipy() {
        let oracle = Oracle::load();
        let (a, b) = (oracle.sample("a"), oracle.sample("b"));
        let check = |found: MeanTest, name: &str| {
            let expected = oracle.numbers(&[name]);
            assert_close(found.t, expected[0]);
            assert_close(found.p, expected[1]);
        };
        let found = welch_of(&a, &b).unwrap();
        check(found, "welch_t_ab");
        assert_close(found.df, oracle.number(&["welch_df_ab"]));
        check(paired(&a, &b).unwrap(), "paired_t_ab");
    }

    #[test]
    fn published_summaries_give_the_tests_of_table_3() {
        let oracle = Oracle::load();
        let arch2vec_bo = Moments::published(94.18, 0.24, 500).unwrap();
        for (name, mean, std) in [
            ("arch2vec-BO vs RE", 93.84, 0.43),
            ("arch2vec-BO vs RS", 93.75, 0.37),
            ("arch2vec-BO vs REINFORCE", 93.82, 0.31),
            ("arch2vec-BO vs BOHB", 93.61, 0.52),
            ("arch2vec-BO vs arch2vec-RL", 94.12, 0.42),
        ] {
            let other = Moments::published(mean, std, 500).unwrap();
            let found = welch(arch2vec_bo, other).unwrap();
            let of = |key| oracle.number(&["table3_cifar10_welch_from_summary", name, key]);
            assert!((found.difference - of("diff")).abs() < 1e-9);
            assert!((found.t / of("t") - 1.0).abs() < 1e-9, "{name} {}", found.t);
            // 1e-84 has to agree in its digits, not in its smallness.
            assert!((found.p / of("p") - 1.0).abs() < 1e-6, "{name} {}", found.p);
        }
    }

    #[test]
    fn against_an_exact_number_welch_is_the_one_sample_test() {
        let a = Oracle::load().sample("a");
        let found = welch(Moments::of(&a).unwrap(), Moments::exact(94.0).unwrap()).unwrap();
        assert_close(found.df, 9.0);
        let zeros = [94.0; 10];
        let expected = paired(&a, &zeros).unwrap();
        assert_close(found.t, expected.t);
        assert_close(found.p, expected.p);
    }

    #[test]
    fn tests_without_an_answer_say_why() {
        let few = TestError::TooFew {
            found: 1,
            needed: 2,
        };
        assert_eq!(welch_of(&[1.0], &[1.0, 2.0]), Err(few));
        assert_eq!(welch_of(&[1.0, 1.0], &[2.0, 2.0]), Err(TestError::NoSpread));
        assert_eq!(
            welch_of(&[1.0, f64::NAN], &[2.0, 2.0]),
            Err(TestError::NotFinite)
        );
        assert_eq!(
            paired(&[1.0], &[1.0, 2.0]),
            Err(TestError::NotPaired { left: 1, right: 2 })
        );
        assert_eq!(Moments::published(1.0, -0.1, 5), Err(TestError::NotFinite));
    }

    proptest! {
        #[test]
        fn welch_is_antisymmetric_and_blind_to_shift(
            left in prop::collection::vec(0.0..100.0f64, 2..20),
            right in prop::collection::vec(0.0..100.0f64, 2..20),
            shift in -10.0..10.0f64,
        ) {
            if let Ok(found) = welch_of(&left, &right) {
                let swapped = welch_of(&right, &left).unwrap();
                prop_assert!((found.t + swapped.t).abs() < 1e-9 * (1.0 + found.t.abs()));
                prop_assert!((found.p - swapped.p).abs() < 1e-9);
                let smallest = left.len().min(right.len()) as f64 - 1.0;
                let pooled = (left.len() + right.len()) as f64 - 2.0;
                prop_assert!(found.df >= smallest - 1e-6 && found.df <= pooled + 1e-6);
                let move_all = |v: &[f64]| v.iter().map(|x| x + shift).collect::<Vec<_>>();
                let moved = welch_of(&move_all(&left), &move_all(&right)).unwrap();
                prop_assert!((moved.p - found.p).abs() < 1e-6);
                // The interval at level 1 - p ends at zero.
                if found.p > 1e-6 && found.p < 0.999 {
                    let interval = found.interval(1.0 - found.p);
                    let nearest = interval.low.abs().min(interval.high.abs());
                    prop_assert!(nearest < 1e-6 * (1.0 + found.difference.abs()));
                }
            }
        }
    }
}
