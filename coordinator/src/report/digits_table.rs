//! The benchmark table that a study of real trainings adds up to.

use std::collections::HashMap;

use reprise_data::{DigitsRow, DigitsTable};
use reprise_domain::record::Outcome;
use reprise_domain::{
    ArchIndex, Dataset, EvaluateResult, EvaluateSpec, Seconds, SpaceName, TaskResult,
};

use crate::architectures;

/// Repetition seeds of the table, in the order of its columns.
const SEEDS: [u64; 3] = [1, 2, 3];

/// Trainings of NAS-Bench-201 cells on the digits, by cell and seed.
#[derive(Debug, Default)]
pub(super) struct Trainings(HashMap<(ArchIndex, u64), Training>);

#[derive(Debug, Clone, Copy)]
struct Training {
    result: EvaluateResult,
    seconds: Seconds,
}

impl Trainings {
    /// Takes a training, if it can be of the table.
    pub(super) fn add(&mut self, spec: &EvaluateSpec, outcome: &Outcome) {
        let is_of_table = spec.space == SpaceName::Nasbench201 && spec.dataset == Dataset::Digits;
        if let (true, TaskResult::Evaluate(result), Some(seconds)) =
            (is_of_table, &outcome.result, outcome.usage.training)
        {
            let training = Training {
                result: *result,
                seconds,
            };
            self.0.insert((spec.arch, spec.seed.0), training);
        }
    }

    /// The table, if there is every distinct cell of NAS-Bench-201 with seeds 1, 2
    /// and 3; `None` otherwise.
    pub(super) fn table(&self) -> Option<DigitsTable> {
        let representatives = architectures::representatives(SpaceName::Nasbench201);
        let rows = representatives.iter().map(|cell| self.row(*cell));
        DigitsTable::new(rows.collect::<Option<Vec<_>>>()?).ok()
    }

    fn row(&self, representative: ArchIndex) -> Option<DigitsRow> {
        let [one, two, three] = SEEDS.map(|seed| self.0.get(&(representative, seed)));
        let runs = [one?, two?, three?];
        let seconds: f64 = runs.iter().map(|run| run.seconds.get()).sum();
        Some(DigitsRow {
            representative,
            validation: runs.map(|run| run.result.validation),
            test: runs.map(|run| run.result.test),
            training: Seconds::new(seconds / SEEDS.len() as f64).ok()?,
            parameters: runs[0].result.parameters,
            flops: runs[0].result.flops,
        })
    }
}
