//! Two one-sided tests (TOST; Schuirmann, 1987), and the verdict on a published
//! number that they give together with the test of a difference.

use super::MeanTest;
use crate::student;

/// Two one-sided tests of "the difference lies outside the margin".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Equivalence {
    /// Statistic of the test against `-margin`.
    pub lower_t: f64,
    /// Its p-value.
    pub lower_p: f64,
    /// Statistic of the test against `+margin`.
    pub upper_t: f64,
    /// Its p-value.
    pub upper_p: f64,
    /// The larger of the two p-values: that of equivalence.
    pub p: f64,
}

impl Equivalence {
    /// Tests whether the difference of `test` lies within `margin`, in the unit of
    /// the values; Welch or paired, as `test` is.
    pub fn of(test: &MeanTest, margin: f64) -> Self {
        let lower_t = (test.difference + margin) / test.standard_error;
        let upper_t = (test.difference - margin) / test.standard_error;
        let lower_p = student::upper(lower_t, test.df);
        let upper_p = student::upper(-upper_t, test.df);
        Self {
            lower_t,
            lower_p,
            upper_t,
            upper_p,
            p: lower_p.max(upper_p),
        }
    }
}

/// What the runs say of a published number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The difference is within the margin.
    Reproduced,
    /// There is a difference, and it is not within the margin.
    NotReproduced,
    /// The runs do not decide: more seeds are needed.
    Inconclusive,
}

impl Verdict {
    /// Reproduced when the equivalence test rejects at `alpha`; not reproduced when
    /// the difference test rejects and the whole `1 - 2 alpha` interval of the
    /// difference lies outside the margin; otherwise inconclusive.
    pub fn of(test: &MeanTest, margin: f64, alpha: f64) -> Self {
        if Equivalence::of(test, margin).p < alpha {
            return Self::Reproduced;
        }
        let interval = test.interval(1.0 - 2.0 * alpha);
        let outside = interval.low >= margin || interval.high <= -margin;
        if test.p < alpha && outside {
            Self::NotReproduced
        } else {
            Self::Inconclusive
        }
    }

    /// The verdict in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::NotReproduced => "not reproduced",
            Self::Inconclusive => "inconclusive",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Moments;
    use super::super::mean::{paired, welch};
    use super::*;
    use crate::testing::{Oracle, assert_close, floats};

    #[test]
    fn both_tests_agree_with_statsmodels_at_four_margins() {
        let oracle = Oracle::load();
        let (a, b) = (oracle.sample("a"), oracle.sample("b"));
        let welch = welch(Moments::of(&a).unwrap(), Moments::of(&b).unwrap()).unwrap();
        let paired = paired(&a, &b).unwrap();
        for margin in [0.05, 0.1, 0.15, 0.2] {
            for (kind, test) in [("welch", &welch), ("paired", &paired)] {
                let expected = oracle.get(&[&format!("tost_{kind}_ab_margin_{margin}")]);
                let found = Equivalence::of(test, margin);
                assert_close(found.p, expected["p"].as_f64().unwrap());
                let lower = floats(&expected["lower"]);
                let upper = floats(&expected["upper"]);
                assert_close(found.lower_t, lower[0]);
                assert_close(found.lower_p, lower[1]);
                assert_close(found.upper_t, upper[0]);
                assert_close(found.upper_p, upper[1]);
                assert_close(test.df, lower[2]);
            }
        }
    }

    #[test]
    fn the_verdict_follows_from_both_tests() {
        let check = |difference: f64, n: usize, expected: Verdict| {
            let ours = Moments::published(94.18 + difference, 0.24, n).unwrap();
            let published = Moments::published(94.18, 0.24, 500).unwrap();
            let test = welch(ours, published).unwrap();
            assert_eq!(Verdict::of(&test, 0.1, 0.05), expected, "{difference} {n}");
        };
        check(0.0, 500, Verdict::Reproduced);
        // Significant, and still within the margin.
        check(0.06, 500, Verdict::Reproduced);
        check(-0.06, 500, Verdict::Reproduced);
        check(0.3, 500, Verdict::NotReproduced);
        check(-0.3, 500, Verdict::NotReproduced);
        // Significant, yet the interval reaches into the margin.
        check(0.11, 500, Verdict::Inconclusive);
        check(0.0, 5, Verdict::Inconclusive);
    }
}
