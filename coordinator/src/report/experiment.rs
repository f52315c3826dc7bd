//! From the records of an experiment's tasks to a row of its table.

use reprise_domain::record::{Outcome, TaskRecord};
use reprise_domain::study::{MetricPlan, StudySpec};
use reprise_domain::{Factor, TaskResult, TaskSpec};
use reprise_stats::{LevelSet, ProgramRun, SampleError};

use super::is_failed;

/// The runs of one level.
pub(super) fn level_set(
    spec: &StudySpec,
    experiment: &str,
    level: &[Factor],
    members: &[&TaskRecord],
) -> Result<LevelSet, SampleError> {
    let runs = members.iter().filter_map(|record| run(record));
    let failed = members.iter().filter(|record| is_failed(record)).count();
    LevelSet::new(
        experiment,
        level.to_vec(),
        metrics(spec, experiment, members),
        (members.len(), failed),
        runs.collect(),
    )
}

/// The metrics as the study describes them, else by the names that the tasks have.
fn metrics(spec: &StudySpec, experiment: &str, members: &[&TaskRecord]) -> Vec<MetricPlan> {
    let mut plans = spec.experiments.iter();
    if let Some(plan) = plans.find(|plan| plan.name == experiment) {
        return plan.metrics.clone();
    }
    let names = members.iter().find_map(|record| match &record.spec {
        TaskSpec::Program(spec) => Some(spec.metrics.clone()),
        _ => None,
    });
    let bare = |name| MetricPlan {
        name,
        unit: None,
        goal: None,
    };
    names.unwrap_or_default().into_iter().map(bare).collect()
}

fn run(record: &TaskRecord) -> Option<ProgramRun> {
    let Outcome {
        result: TaskResult::Program(result),
        usage,
        host,
    } = record.outcome.as_ref()?
    else {
        return None;
    };
    Some(ProgramRun {
        seed: record.spec.seed(),
        task: record.task.key.to_string(),
        metrics: result.metrics.clone(),
        attempts: record.task.attempts,
        host: host.clone(),
        wall: usage.wall,
    })
}
