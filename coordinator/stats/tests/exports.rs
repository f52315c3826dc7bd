//! Whole exports: that their bytes do not depend on the order of the runs, and
//! that the intervals in them cover as often as they claim.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot build its input has failed"
)]

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use reprise_domain::{Accuracy, ArchIndex, Dataset, EpochMeasures, Seconds, Seed, Trajectory};
use reprise_stats::curve::panels;
use reprise_stats::export::{csv, json, latex, markdown, results_json, svg};
use reprise_stats::interval::{Bootstrap, LEVEL};
use reprise_stats::student::normal_quantile;
use reprise_stats::table::{
    Criterion, PretrainRow, PretrainSet, Published, compare, compare_table, curve_table,
    pairwise_table, pretrain_table, runs_table, search_overview, search_table,
};
use reprise_stats::{RunSet, Runs, Split, Table};

/// The trajectory of a run whose accuracies and costs follow from its seed.
fn synthetic_run(seed: u64, queries: usize) -> Trajectory {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut unit = || f64::from(rng.next_u32()) / 2f64.powi(32);
    let mut trajectory = Trajectory::default();
    for query in 0..queries {
        let validation = 0.85 + 0.07 * unit();
        trajectory.arch.push(ArchIndex(query as u32));
        trajectory
            .validation
            .push(Accuracy::new(validation).unwrap());
        let reported = Accuracy::new(validation + 0.002 * unit()).unwrap();
        trajectory.reported_validation.push(reported);
        let test = Accuracy::new(validation + 0.03 * unit()).unwrap();
        trajectory.test.push(test);
        trajectory
            .cost
            .push(Seconds::new(100.0 + 50.0 * unit()).unwrap());
    }
    trajectory
}

fn set(label: &str, seeds: &[u64]) -> RunSet {
    let mut runs = Runs::default();
    for &seed in seeds {
        let trajectory = synthetic_run(seed, (seed % 7) as usize);
        runs.push(Seed(seed), &trajectory).unwrap();
    }
    RunSet::new(label, Dataset::Cifar10, seeds.len() + 2, 1, runs).unwrap()
}

/// Every file that a study exports.
fn everything(seeds: &[u64], pretrain: &[PretrainSet]) -> Vec<String> {
    let sets = [set("random", seeds), set("dngo", seeds)];
    let published = Published {
        label: "dngo".to_owned(),
        dataset: Dataset::Cifar10,
        split: Split::Test,
        mean: 94.18,
        spread: Some((0.24, 500)),
    };
    let criterion = Criterion {
        margin: 0.1,
        alpha: 0.05,
    };
    let panels = panels(&sets);
    let tables: [Table; 7] = [
        search_table(&sets),
        search_overview(&sets),
        runs_table(&sets),
        pairwise_table(&sets),
        compare_table(&compare(&sets, &[published], criterion), criterion),
        curve_table(&panels),
        pretrain_table(pretrain),
    ];
    let mut results = Vec::new();
    results_json(&sets, &mut results).unwrap();
    let mut files = vec![svg(&panels), String::from_utf8(results).unwrap()];
    for table in &tables {
        files.extend([csv(table), json(table), markdown(table), latex(table)]);
    }
    files
}

fn pretrain_row(seed: u64) -> PretrainRow {
    PretrainRow {
        seed: Seed(seed),
        epochs: vec![EpochMeasures {
            loss: 0.1,
            ops_accuracy: 0.99,
            ops_accuracy_real_nodes: 0.98,
            edge_accuracy: 0.97,
            true_edge_probability: 0.9,
            false_edge_probability: 0.1,
            exact_match: 0.95,
            validity: 1.0 / (1.0 + seed as f64),
            uniqueness: 0.8,
        }],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn the_order_of_runs_changes_no_byte(
        seeds in prop::collection::btree_set(1u64..200, 0..12)
            .prop_map(|seeds| seeds.into_iter().collect::<Vec<_>>())
            .prop_flat_map(|seeds| (Just(seeds.clone()), Just(seeds).prop_shuffle())),
    ) {
        let (sorted, shuffled) = seeds;
        let pretrained = |seeds: &[u64]| PretrainSet {
            model: "arch2vec".to_owned(),
            name: None,
            level: Vec::new(),
            planned: seeds.len() + 1,
            failed: 1,
            runs: seeds.iter().map(|&seed| pretrain_row(seed)).collect(),
        };
        let expected = everything(&sorted, &[pretrained(&sorted)]);
        let found = everything(&shuffled, &[pretrained(&shuffled)]);
        prop_assert_eq!(&found, &expected);
        for file in &found {
            prop_assert!(!file.contains("NaN") && !file.contains("inf,"));
        }
    }
}

/// Percentile bootstrap of a mean of 30 normal values covers less than its level,
/// since it takes the divisor n and no t quantile:
/// `P(|t(29)| < 1.96 sqrt(29 / 30)) = 93.6 %`. Over 1,000 samples the share
/// found has a standard error of 0.8 %, and three of those are allowed.
#[test]
fn the_bootstrap_covers_as_often_as_stated() {
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let mut covered = 0;
    for sample in 0..1_000 {
        let values: Vec<f64> = (0..30)
            .map(|_| normal_quantile((f64::from(rng.next_u32()) + 0.5) / 2f64.powi(32)))
            .collect();
        let interval = Bootstrap::keyed(&["coverage", &sample.to_string()])
            .with_resamples(2_000)
            .percentile(&values, LEVEL)
            .unwrap();
        covered += u32::from(interval.low <= 0.0 && interval.high >= 0.0);
    }
    assert!((912..=960).contains(&covered), "covered {covered} of 1000");
}
