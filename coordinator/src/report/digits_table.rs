//! The benchmark table that a study of real trainings adds up to.

use std::collections::HashMap;

use reprise_data::{DigitsRow, DigitsTable};
use reprise_domain::record::{Outcome, TaskRecord};
use reprise_domain::{
    ArchIndex, Dataset, EvaluateResult, Seconds, SpaceName, TaskResult, TaskSpec,
};

use crate::architectures;

/// Repetition seeds of the table, in the order of its columns.
const SEEDS: [u64; 3] = [1, 2, 3];

/// The table, if the records hold every distinct cell of NAS-Bench-201 trained on
/// the digits with seeds 1, 2 and 3; `None` otherwise.
pub(super) fn digits_table(records: &[&TaskRecord]) -> Option<DigitsTable> {
    let trained: HashMap<(ArchIndex, u64), Training> = records
        .iter()
        .filter_map(|record| training(record))
        .collect();
    let representatives = architectures::representatives(SpaceName::Nasbench201);
    let row = |representative: &ArchIndex| {
        let [one, two, three] = SEEDS.map(|seed| trained.get(&(*representative, seed)));
        let runs = [one?, two?, three?];
        let seconds: f64 = runs.iter().map(|run| run.seconds.get()).sum();
        Some(DigitsRow {
            representative: *representative,
            validation: runs.map(|run| run.result.validation),
            test: runs.map(|run| run.result.test),
            training: Seconds::new(seconds / SEEDS.len() as f64).ok()?,
            parameters: runs[0].result.parameters,
            flops: runs[0].result.flops,
        })
    };
    let rows = representatives
        .iter()
        .map(row)
        .collect::<Option<Vec<_>>>()?;
    DigitsTable::new(rows).ok()
}

#[derive(Debug, Clone, Copy)]
struct Training {
    result: EvaluateResult,
    seconds: Seconds,
}

fn training(record: &TaskRecord) -> Option<((ArchIndex, u64), Training)> {
    match (&record.spec, &record.outcome) {
        (
            TaskSpec::Evaluate(spec),
            Some(Outcome {
                result: TaskResult::Evaluate(result),
                usage,
                ..
            }),
        ) if spec.space == SpaceName::Nasbench201 && spec.dataset == Dataset::Digits => {
            let training = Training {
                result: *result,
                seconds: usage.training?,
            };
            Some(((spec.arch, spec.seed.0), training))
        }
        _ => None,
    }
}
