//! Adjustment of p-values for several tests. Each function takes the p-values of
//! one family, in [0, 1], and gives the adjusted ones in the same order.

/// Bonferroni: `min(1, m p)`. Controls the family-wise error rate.
pub fn bonferroni(p: &[f64]) -> Vec<f64> {
    let family = p.len() as f64;
    p.iter().map(|p| (family * p).min(1.0)).collect()
}

/// Holm's step-down procedure: controls the family-wise error rate under any
/// dependence, and never rejects less than Bonferroni.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0f64;
    for (rank, &index) in ascending(p).iter().enumerate() {
        largest = largest.max(((p.len() - rank) as f64 * p[index]).min(1.0));
        adjusted[index] = largest;
    }
    adjusted
}

/// Benjamini and Hochberg's step-up procedure: controls the false discovery rate
/// for independent or positively dependent tests.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![0.0; p.len()];
    let mut smallest = 1.0f64;
    for (rank, &index) in ascending(p).iter().enumerate().rev() {
        smallest = smallest.min(p.len() as f64 / (rank + 1) as f64 * p[index]);
        adjusted[index] = smallest;
    }
    adjusted
}

/// Positions of the values from the smallest to the largest.
fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Oracle, assert_close};

    #[test]
    fn adjustments_agree_with_statsmodels() {
        let oracle = Oracle::load();
        let check = |name: &str, adjust: fn(&[f64]) -> Vec<f64>| {
            let found = adjust(&oracle.numbers(&[name, "p"]));
            let expected = oracle.numbers(&[name, "adj"]);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.into_iter().zip(expected) {
                assert_close(found, expected);
            }
        };
        check("adjust_bonferroni", bonferroni);
        check("adjust_holm", holm);
        check("adjust_fdr_bh", benjamini_hochberg);
    }

    proptest! {
        #[test]
        fn the_procedures_are_ordered_by_strictness(
            p in prop::collection::vec(0.0..=1.0f64, 0..20),
        ) {
            let (strict, holm, mild) = (bonferroni(&p), holm(&p), benjamini_hochberg(&p));
            for index in 0..p.len() {
                prop_assert!(strict[index] >= holm[index] - 1e-12);
                prop_assert!(holm[index] >= mild[index] - 1e-12);
                prop_assert!(mild[index] >= p[index] - 1e-12);
                prop_assert!(strict[index] <= 1.0);
            }
        }
    }
}
