//! How many runs a verdict needs (normal approximation, two arms of equal spread
//! and size).

use crate::student::normal_quantile;

/// Runs per arm for an equivalence test with margin `margin` to succeed with
/// probability `power` when the arms do not differ:
/// `2 s² (z(1-alpha) + z(1-beta/2))² / margin²`, rounded up.
pub fn runs_for_equivalence(std: f64, margin: f64, alpha: f64, power: f64) -> u64 {
    let z = normal_quantile(1.0 - alpha) + normal_quantile(f64::midpoint(1.0, power));
    runs_per_arm(std, margin, z)
}

/// Runs per arm for a two-sided test to detect `difference` with probability
/// `power`: `2 s² (z(1-alpha/2) + z(power))² / difference²`, rounded up.
pub fn runs_to_detect(std: f64, difference: f64, alpha: f64, power: f64) -> u64 {
    let z = normal_quantile(1.0 - alpha / 2.0) + normal_quantile(power);
    runs_per_arm(std, difference, z)
}

fn runs_per_arm(std: f64, resolution: f64, z: f64) -> u64 {
    (2.0 * (std * z / resolution).powi(2)).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Oracle, floats};

    #[test]
    fn sample_sizes_agree_with_the_oracle() {
        let oracle = Oracle::load();
        let cases = oracle
            .get(&["sample_size_normal_approx"])
            .as_object()
            .unwrap();
        assert_eq!(cases.len(), 7);
        for (name, case) in cases {
            let std = case["sd"].as_f64().unwrap();
            let check = |key: &str, runs: &dyn Fn(f64) -> u64| {
                let expected = floats(&case[key]);
                for (margin, expected) in [0.05, 0.1, 0.2].into_iter().zip(expected) {
                    assert_eq!(runs(margin), expected as u64, "{name} {key} {margin}");
                }
            };
            check(
                "n_per_arm_tost_margin_0.05/0.1/0.2 (true diff 0, alpha .05, power .9)",
                &|margin| runs_for_equivalence(std, margin, 0.05, 0.9),
            );
            check("n_per_arm_detect_0.05/0.1/0.2", &|margin| {
                runs_to_detect(std, margin, 0.05, 0.9)
            });
        }
    }
}
