//! What is kept of the records of an experiment's level, for a row of its table.

use reprise_domain::record::{Outcome, TaskRecord};
use reprise_domain::study::{MetricPlan, StudySpec};
use reprise_domain::{Factor, TaskResult, TaskSpec};
use reprise_stats::{LevelSet, ProgramRun, SampleError};

use super::is_failed;

/// The records of one level.
#[derive(Debug)]
pub(super) struct Level {
    experiment: String,
    factors: Vec<Factor>,
    /// The metrics that the tasks have, for a study that does not describe them.
    metrics: Vec<String>,
    planned: usize,
    failed: usize,
    runs: Vec<ProgramRun>,
}

impl Level {
    /// A level without records yet.
    pub(super) fn of(experiment: &str, factors: &[Factor]) -> Self {
        Self {
            experiment: experiment.to_owned(),
            factors: factors.to_vec(),
            metrics: Vec::new(),
            planned: 0,
            failed: 0,
            runs: Vec::new(),
        }
    }

    /// Takes a record of the level.
    pub(super) fn add(&mut self, record: &TaskRecord) {
        self.planned += 1;
        self.failed += usize::from(is_failed(record));
        if let (true, TaskSpec::Program(spec)) = (self.metrics.is_empty(), &record.spec) {
            self.metrics.clone_from(&spec.metrics);
        }
        self.runs.extend(run(record));
    }

    /// The row of the level; its metrics as the study describes them.
    pub(super) fn set(self, spec: &StudySpec) -> Result<LevelSet, SampleError> {
        let bare = |name| MetricPlan {
            name,
            unit: None,
            goal: None,
        };
        let mut plans = spec.experiments.iter();
        let metrics = match plans.find(|plan| plan.name == self.experiment) {
            Some(plan) => plan.metrics.clone(),
            None => self.metrics.into_iter().map(bare).collect(),
        };
        LevelSet::new(
            &self.experiment,
            self.factors,
            metrics,
            (self.planned, self.failed),
            self.runs,
        )
    }
}

fn run(record: &TaskRecord) -> Option<ProgramRun> {
    let Outcome {
        result: TaskResult::Program(result),
        ..
    } = record.outcome.as_ref()?
    else {
        return None;
    };
    Some(ProgramRun {
        seed: record.spec.seed(),
        metrics: result.metrics.clone(),
    })
}
