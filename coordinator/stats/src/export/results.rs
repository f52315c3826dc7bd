//! Everything that a study found, in one JSON document: the final numbers of every
//! run, and the summaries made of them.

use serde::Serialize;

use super::json::pretty;
use crate::interval::Interval;
use crate::sample::{Final, RunSet, Split};
use crate::summary::Summary;
use crate::table::search::accuracy_interval;

/// Version of the document; raised when a field changes its meaning.
const VERSION: u32 = 1;

/// Writes the runs and summaries of `sets` as indented JSON. Accuracies in percent
/// in full precision; what is not known is `null`.
pub fn results_json(sets: &[RunSet]) -> String {
    let document = Document {
        version: VERSION,
        sets: sets.iter().map(SetView::of).collect(),
    };
    pretty(&document)
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    sets: Vec<SetView<'a>>,
}

#[derive(Serialize)]
struct SetView<'a> {
    method: &'a str,
    dataset: &'a str,
    planned: usize,
    finished: usize,
    failed: usize,
    missing: usize,
    validation: Option<SummaryView>,
    test: Option<SummaryView>,
    runs: Vec<RunView>,
}

impl<'a> SetView<'a> {
    fn of(set: &'a RunSet) -> Self {
        Self {
            method: set.label(),
            dataset: set.dataset().as_str(),
            planned: set.planned(),
            finished: set.finished(),
            failed: set.failed(),
            missing: set.missing(),
            validation: SummaryView::of(set, Split::Validation),
            test: SummaryView::of(set, Split::Test),
            runs: set.finals().iter().map(RunView::of).collect(),
        }
    }
}

#[derive(Serialize)]
struct SummaryView {
    n: usize,
    mean_percent: f64,
    std_percent: Option<f64>,
    population_std_percent: f64,
    median_percent: f64,
    q1_percent: f64,
    q3_percent: f64,
    min_percent: f64,
    max_percent: f64,
    mean_interval_percent: Option<[f64; 2]>,
}

impl SummaryView {
    fn of(set: &RunSet, split: Split) -> Option<Self> {
        let values = set.accuracies(split);
        let summary = Summary::of(&values)?;
        Some(Self {
            n: summary.n,
            mean_percent: summary.mean,
            std_percent: summary.std,
            population_std_percent: summary.population_std,
            median_percent: summary.median,
            q1_percent: summary.q1,
            q3_percent: summary.q3,
            min_percent: summary.min,
            max_percent: summary.max,
            mean_interval_percent: accuracy_interval(set, split, &values)
                .map(|Interval { low, high }| [low, high]),
        })
    }
}

#[derive(Serialize)]
struct RunView {
    seed: u64,
    queries: usize,
    simulated_seconds: f64,
    architecture: Option<u32>,
    validation_percent: Option<f64>,
    test_percent: Option<f64>,
}

impl RunView {
    fn of(end: &Final) -> Self {
        let accuracy = |split| Some(end.incumbent?.accuracy(split).percent());
        Self {
            seed: end.seed.0,
            queries: end.queries,
            simulated_seconds: end.simulated.get(),
            architecture: end.incumbent.map(|incumbent| incumbent.arch.0),
            validation_percent: accuracy(Split::Validation),
            test_percent: accuracy(Split::Test),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{run, run_set};

    #[test]
    fn every_run_is_there_and_absent_numbers_are_null() {
        let set = run_set("random", vec![run(2, &[]), run(1, &[(91.0, 94.0, 2.5)])]);
        let value: Value = serde_json::from_str(&results_json(&[set])).unwrap();
        let set = &value["sets"][0];
        assert_eq!(set["runs"][0]["seed"], 1);
        assert_eq!(set["runs"][0]["test_percent"], 94.0);
        assert_eq!(set["runs"][0]["simulated_seconds"], 2.5);
        assert_eq!(set["runs"][1]["test_percent"], Value::Null);
        assert_eq!(set["runs"][1]["queries"], 0);
        assert_eq!(set["test"]["n"], 1);
        assert_eq!(set["test"]["std_percent"], Value::Null);
    }
}
