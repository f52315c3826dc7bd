//! Tail areas and quantiles of Student's t and of the normal distribution, with
//! full relative precision far out in the tails, where a difference of a
//! distribution function from 1 has none.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::beta::beta_reg;

/// `P(|T| >= |t|)` for `df > 0` degrees of freedom.
pub fn two_sided(t: f64, df: f64) -> f64 {
    if df > LARGE_DF {
        return (2.0 * normal_upper(t.abs())).min(1.0);
    }
    // I_x(df/2, 1/2) with x = df / (df + t²).
    beta_reg(df / 2.0, 0.5, df / (df + t * t))
}

/// `P(T >= t)` for `df > 0` degrees of freedom.
pub fn upper(t: f64, df: f64) -> f64 {
    let half = two_sided(t, df) / 2.0;
    if t >= 0.0 { half } else { 1.0 - half }
}

/// The `t > 0` with `P(|T| >= t) = alpha`, for `alpha` in (0, 1).
pub fn critical(alpha: f64, df: f64) -> f64 {
    // The tail falls monotonically, so a bracket is doubled and then halved until
    // the ends are neighbours.
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided(high, df) > alpha && high < 1e300 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if two_sided(middle, df) > alpha {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// `P(Z >= z)` of the standard normal distribution.
pub fn normal_upper(z: f64) -> f64 {
    Normal::standard().sf(z)
}

/// `P(Z <= z)` of the standard normal distribution.
pub fn normal_lower(z: f64) -> f64 {
    Normal::standard().cdf(z)
}

/// Quantile of the standard normal distribution, `probability` in (0, 1).
pub fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

/// Beyond this Student's t is the normal distribution to the last digit that a
/// reader could see, and the incomplete beta function loses digits.
const LARGE_DF: f64 = 1e9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;

    #[test]
    fn tails_and_critical_values_are_each_others_inverse() {
        // t(0.975, 9) and t(0.975, 1) from printed tables.
        assert_close(critical(0.05, 9.0), 2.262_157_162_740_992);
        assert_close(critical(0.05, 1.0), 12.706_204_736_174_7);
        for alpha in [1e-6, 0.05, 0.5] {
            for df in [1.0, 17.9, 1e4, 1e12] {
                let found = two_sided(critical(alpha, df), df);
                assert!((found / alpha - 1.0).abs() < 1e-9, "{alpha} {df} {found}");
            }
        }
        assert_close(upper(-1.5, 8.0) + upper(1.5, 8.0), 1.0);
    }

    #[test]
    fn the_far_tail_keeps_its_digits() {
        assert!(two_sided(60.0, 900.0) > 0.0);
        assert_close(critical(0.05, 1e12), 1.959_963_984_540_054);
        assert_close(normal_quantile(0.975), 1.959_963_984_540_054);
        assert_close(normal_lower(1.0) + normal_upper(1.0), 1.0);
    }
}
