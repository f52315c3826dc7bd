//! Helpers of the unit tests: the oracle file, and runs written in one line.

use reprise_domain::{Accuracy, ArchIndex, Dataset, Seconds, Seed, Trajectory};
use serde_json::Value;

use crate::sample::{RunSet, Runs};

const ORACLE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/fixtures/oracle_stats.json"
));

/// Three samples of ten values, and what scipy 1.17.1 and statsmodels 0.15.0 say
/// of them.
pub(crate) struct Oracle(Value);

impl Oracle {
    pub(crate) fn load() -> Self {
        Self(serde_json::from_str(ORACLE).unwrap())
    }

    /// One of the samples `a`, `b`, `c`.
    pub(crate) fn sample(&self, name: &str) -> Vec<f64> {
        floats(&self.0["data"][name])
    }

    /// An expected value by its path below `oracle`.
    pub(crate) fn get(&self, path: &[&str]) -> &Value {
        path.iter()
            .fold(&self.0["oracle"], |value, key| &value[key])
    }

    /// An expected number.
    pub(crate) fn number(&self, path: &[&str]) -> f64 {
        self.get(path).as_f64().unwrap()
    }

    /// An expected list of numbers.
    pub(crate) fn numbers(&self, path: &[&str]) -> Vec<f64> {
        floats(self.get(path))
    }
}

/// The numbers of a JSON list.
pub(crate) fn floats(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Asserts that two numbers agree to 1e-9, relative to large ones.
#[track_caller]
pub(crate) fn assert_close(found: f64, expected: f64) {
    let tolerance = 1e-9 * expected.abs().max(1.0);
    assert!(
        (found - expected).abs() <= tolerance,
        "found {found}, expected {expected}"
    );
}

/// A run from `(validation %, test %, cost s)` per query; the reported validation
/// accuracy is the guiding one.
pub(crate) fn run(seed: u64, queries: &[(f64, f64, f64)]) -> (Seed, Trajectory) {
    (Seed(seed), trajectory(queries))
}

/// Such runs as a set has them.
pub(crate) fn gathered(runs: Vec<(Seed, Trajectory)>) -> Runs {
    let mut gathered = Runs::default();
    for (seed, trajectory) in runs {
        gathered.push(seed, &trajectory).unwrap();
    }
    gathered
}

/// The trajectory of such a run.
pub(crate) fn trajectory(queries: &[(f64, f64, f64)]) -> Trajectory {
    let percent = |value| Accuracy::from_percent(value).unwrap();
    let validation: Vec<_> = queries.iter().map(|query| percent(query.0)).collect();
    Trajectory {
        arch: (0..queries.len() as u32).map(ArchIndex).collect(),
        reported_validation: validation.clone(),
        validation,
        test: queries.iter().map(|query| percent(query.1)).collect(),
        cost: queries
            .iter()
            .map(|query| Seconds::new(query.2).unwrap())
            .collect(),
    }
}

/// A complete set of runs on CIFAR-10.
pub(crate) fn run_set(label: &str, runs: Vec<(Seed, Trajectory)>) -> RunSet {
    RunSet::new(label, Dataset::Cifar10, runs.len(), 0, gathered(runs)).unwrap()
}

/// A complete set of one-query runs with these test accuracies in percent.
pub(crate) fn one_query_runs(label: &str, test: &[f64]) -> RunSet {
    let runs = (1..)
        .zip(test)
        .map(|(seed, &test)| run(seed, &[(test - 2.0, test, 100.0)]))
        .collect();
    run_set(label, runs)
}
