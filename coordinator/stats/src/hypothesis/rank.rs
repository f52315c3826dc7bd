//! Comparisons by rank: Mann-Whitney, Wilcoxon's signed ranks, probability of
//! improvement and Cliff's delta. Options are those of scipy's defaults unless a
//! function says otherwise.

use super::mean::paired_differences;
use super::{TestError, require};
use crate::student::normal_upper;

/// A two-sided rank test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankTest {
    /// Mann-Whitney: U of the left sample. Wilcoxon: the smaller rank sum.
    pub statistic: f64,
    /// Two-sided p-value.
    pub p: f64,
}

/// Up to this size of the smaller sample Mann-Whitney is exact when no two values
/// are equal, as in scipy.
const EXACT_MANN_WHITNEY: usize = 8;

/// Bound of the product of the sample sizes for the exact Mann-Whitney
/// distribution, which takes its square in additions.
const EXACT_MANN_WHITNEY_PRODUCT: usize = 10_000;

/// Up to so many pairs Wilcoxon's test is exact, as in scipy.
const EXACT_WILCOXON: usize = 50;

/// Mann-Whitney's U test: exact for a small sample without ties, else by the
/// normal approximation.
pub fn mann_whitney(left: &[f64], right: &[f64]) -> Result<RankTest, TestError> {
    require(left, 1)?;
    require(right, 1)?;
    let smaller = left.len().min(right.len());
    let fits = left.len().saturating_mul(right.len()) <= EXACT_MANN_WHITNEY_PRODUCT;
    let (_, ties) = midranks(&pooled(left, right));
    if smaller <= EXACT_MANN_WHITNEY && fits && ties == 0.0 {
        mann_whitney_exact(left, right)
    } else {
        mann_whitney_asymptotic(left, right)
    }
}

/// Mann-Whitney's U test by the distribution of U without ties. With ties U is
/// rounded down, which makes the test conservative.
pub fn mann_whitney_exact(left: &[f64], right: &[f64]) -> Result<RankTest, TestError> {
    require(left, 1)?;
    require(right, 1)?;
    let (n, m) = (left.len(), right.len());
    if n.saturating_mul(m) > EXACT_MANN_WHITNEY_PRODUCT {
        return Err(TestError::TooLarge { left: n, right: m });
    }
    let u = u_statistic(left, right);
    let larger = u.max((n * m) as f64 - u);
    let tail: f64 = u_distribution(n, m)[larger.floor() as usize..].iter().sum();
    Ok(RankTest {
        statistic: u,
        p: (2.0 * tail).min(1.0),
    })
}

/// Mann-Whitney's U test by the normal approximation, corrected for ties and for
/// continuity.
pub fn mann_whitney_asymptotic(left: &[f64], right: &[f64]) -> Result<RankTest, TestError> {
    require(left, 1)?;
    require(right, 1)?;
    let (n, m) = (left.len() as f64, right.len() as f64);
    let total = n + m;
    let (_, ties) = midranks(&pooled(left, right));
    let u = u_statistic(left, right);
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return Err(TestError::NoSpread);
    }
    let z = (u.max(n * m - u) - n * m / 2.0 - 0.5) / variance.sqrt();
    Ok(RankTest {
        statistic: u,
        p: (2.0 * normal_upper(z)).min(1.0),
    })
}

/// Wilcoxon's signed-rank test of paired samples. Pairs without a difference are
/// left out; up to 50 pairs the distribution given the observed ranks is used,
/// which is exact with ties too, and beyond that the normal approximation.
pub fn wilcoxon(left: &[f64], right: &[f64]) -> Result<RankTest, TestError> {
    let signed = SignedRanks::of(left, right)?;
    if signed.ranks.len() <= EXACT_WILCOXON {
        Ok(signed.exact())
    } else {
        Ok(signed.asymptotic())
    }
}

/// The same by the normal approximation, corrected for ties but not for
/// continuity.
pub fn wilcoxon_asymptotic(left: &[f64], right: &[f64]) -> Result<RankTest, TestError> {
    Ok(SignedRanks::of(left, right)?.asymptotic())
}

/// Probability that a run on the left beats one on the right, ties counted half:
/// `U / (n m)`.
pub fn probability_of_improvement(left: &[f64], right: &[f64]) -> Result<f64, TestError> {
    require(left, 1)?;
    require(right, 1)?;
    Ok(u_statistic(left, right) / (left.len() as f64 * right.len() as f64))
}

/// Cliff's delta, `P(left > right) - P(left < right)`, from -1 to 1.
pub fn cliffs_delta(left: &[f64], right: &[f64]) -> Result<f64, TestError> {
    Ok(2.0 * probability_of_improvement(left, right)? - 1.0)
}

/// Ranks of the absolute differences that are not zero, split by sign.
struct SignedRanks {
    ranks: Vec<f64>,
    ties: f64,
    /// The smaller of the two rank sums.
    statistic: f64,
}

impl SignedRanks {
    fn of(left: &[f64], right: &[f64]) -> Result<Self, TestError> {
        let mut differences = paired_differences(left, right)?;
        differences.retain(|&difference| difference != 0.0);
        if differences.is_empty() {
            return Err(TestError::NoSpread);
        }
        let absolute: Vec<f64> = differences.iter().map(|d| d.abs()).collect();
        let (ranks, ties) = midranks(&absolute);
        let positive: f64 = ranks
            .iter()
            .zip(&differences)
            .filter(|(_, difference)| **difference > 0.0)
            .map(|(rank, _)| rank)
            .sum();
        let all: f64 = ranks.iter().sum();
        let statistic = positive.min(all - positive);
        Ok(Self {
            ranks,
            ties,
            statistic,
        })
    }

    /// Every assignment of signs to the ranks is equally likely.
    fn exact(&self) -> RankTest {
        // Midranks are multiples of one half, so doubled they index an array.
        let doubled: Vec<usize> = self
            .ranks
            .iter()
            .map(|rank| (2.0 * rank) as usize)
            .collect();
        let all: usize = doubled.iter().sum();
        let mut share = vec![0.0f64; all + 1];
        share[0] = 1.0;
        for &rank in &doubled {
            for sum in (0..=all).rev() {
                let with = if sum >= rank { share[sum - rank] } else { 0.0 };
                share[sum] = 0.5 * (share[sum] + with);
            }
        }
        let tail: f64 = share[..=(2.0 * self.statistic) as usize].iter().sum();
        RankTest {
            statistic: self.statistic,
            p: (2.0 * tail).min(1.0),
        }
    }

    fn asymptotic(&self) -> RankTest {
        let n = self.ranks.len() as f64;
        let mean = n * (n + 1.0) / 4.0;
        let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - self.ties / 48.0;
        let z = (mean - self.statistic) / variance.sqrt();
        RankTest {
            statistic: self.statistic,
            p: (2.0 * normal_upper(z)).min(1.0),
        }
    }
}

/// U of the left sample: pairs in which it wins, ties counted half.
fn u_statistic(left: &[f64], right: &[f64]) -> f64 {
    let (ranks, _) = midranks(&pooled(left, right));
    let n = left.len() as f64;
    ranks[..left.len()].iter().sum::<f64>() - n * (n + 1.0) / 2.0
}

/// Probabilities of `U = 0..=n m` without ties, every arrangement being equally
/// likely (the recursion of Mann and Whitney, 1947).
fn u_distribution(n: usize, m: usize) -> Vec<f64> {
    let top = n * m;
    // previous[j] is the distribution for (i - 1, j): removing the largest value
    // leaves either a smaller left sample, with j pairs won, or a smaller right one.
    let mut previous = vec![vec![1.0]; m + 1];
    for i in 1..=n {
        let mut current: Vec<Vec<f64>> = vec![vec![1.0]];
        for j in 1..=m {
            let (left, right) = (i as f64 / (i + j) as f64, j as f64 / (i + j) as f64);
            let mut shares = vec![0.0; i * j + 1];
            for (u, share) in previous[j].iter().enumerate() {
                shares[u + j] += left * share;
            }
            for (u, share) in current[j - 1].iter().enumerate() {
                shares[u] += right * share;
            }
            current.push(shares);
        }
        previous = current;
    }
    let shares = previous.swap_remove(m);
    debug_assert_eq!(shares.len(), top + 1);
    shares
}

fn pooled(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().chain(right).copied().collect()
}

/// Ranks from 1, equal values sharing their mean rank, and `sum (t³ - t)` over the
/// groups of `t` equal values.
#[expect(
    clippy::float_cmp,
    reason = "a tie is equality, not nearness, as in scipy"
)]
fn midranks(values: &[f64]) -> (Vec<f64>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut ties = 0.0;
    let mut before = 0;
    for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let size = group.len() as f64;
        for &index in group {
            ranks[index] = before as f64 + f64::midpoint(size, 1.0);
        }
        ties += size.powi(3) - size;
        before += group.len();
    }
    (ranks, ties)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Oracle, assert_close};

    type Test = fn(&[f64], &[f64]) -> Result<RankTest, TestError>;

    #[test]
    fn rank_tests_agree_with_scipy() {
        let oracle = Oracle::load();
        let (a, b) = (oracle.sample("a"), oracle.sample("b"));
        let check = |test: Test, name: &str| {
            let found = test(&a, &b).unwrap();
            let expected = oracle.numbers(&[name]);
            assert_close(found.statistic, expected[0]);
            assert_close(found.p, expected[1]);
        };
        check(mann_whitney_exact, "mwu_ab_exact_two_sided");
        check(mann_whitney_asymptotic, "mwu_ab_asymptotic_cc_two_sided");
        check(mann_whitney, "mwu_ab_asymptotic_cc_two_sided");
        check(wilcoxon, "wilcoxon_ab_exact_two_sided");
        check(wilcoxon_asymptotic, "wilcoxon_ab_approx_nocorr");
    }

    #[test]
    fn effect_sizes_agree_with_the_oracle() {
        let oracle = Oracle::load();
        let (a, b) = (oracle.sample("a"), oracle.sample("b"));
        assert_close(
            probability_of_improvement(&a, &b).unwrap(),
            oracle.number(&["prob_improvement_a_over_b"]),
        );
        assert_close(
            cliffs_delta(&a, &b).unwrap(),
            oracle.number(&["cliffs_delta_ab"]),
        );
        assert_close(probability_of_improvement(&a, &a).unwrap(), 0.5);
    }

    #[test]
    fn a_small_sample_without_ties_is_exact() {
        // Complete separation of 3 and 4 values: 2 / C(7, 3).
        let found = mann_whitney(&[5.0, 6.0, 7.0], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_close(found.statistic, 12.0);
        assert_close(found.p, 2.0 / 35.0);
        assert_close(u_distribution(3, 4).iter().sum(), 1.0);
    }

    #[test]
    fn wilcoxon_counts_sign_assignments_with_ties() {
        // Ranks 1.5, 1.5, 3; the smaller sum 1.5 is reached by 3 of 8 assignments.
        let found = wilcoxon(&[1.0, -1.0, 2.0], &[0.0, 0.0, 0.0]).unwrap();
        assert_close(found.statistic, 1.5);
        assert_close(found.p, 0.75);
    }

    #[test]
    fn tests_without_an_answer_say_why() {
        assert_eq!(
            mann_whitney(&[1.0, 1.0], &[1.0; 9]),
            Err(TestError::NoSpread)
        );
        assert_eq!(wilcoxon(&[1.0, 2.0], &[1.0, 2.0]), Err(TestError::NoSpread));
        assert!(matches!(
            mann_whitney_exact(&[1.0; 500], &[1.0; 500]),
            Err(TestError::TooLarge { .. })
        ));
        assert!(matches!(
            mann_whitney(&[], &[1.0]),
            Err(TestError::TooFew { .. })
        ));
    }

    proptest! {
        #[test]
        fn swapping_the_samples_keeps_the_p_value(
            left in prop::collection::vec(0u8..40, 1..20),
            right in prop::collection::vec(0u8..40, 1..20),
        ) {
            let left: Vec<f64> = left.into_iter().map(f64::from).collect();
            let right: Vec<f64> = right.into_iter().map(f64::from).collect();
            if let Ok(found) = mann_whitney(&left, &right) {
                let swapped = mann_whitney(&right, &left).unwrap();
                prop_assert!((found.p - swapped.p).abs() < 1e-9);
                let pairs = (left.len() * right.len()) as f64;
                prop_assert!((found.statistic + swapped.statistic - pairs).abs() < 1e-9);
                prop_assert!((0.0..=1.0).contains(&found.p));
            }
            let wins = probability_of_improvement(&left, &right).unwrap();
            let losses = probability_of_improvement(&right, &left).unwrap();
            prop_assert!((wins + losses - 1.0).abs() < 1e-12);
        }
    }
}
