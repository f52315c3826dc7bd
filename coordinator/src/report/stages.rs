//! What is kept of the records of one stage.

use reprise_domain::record::{Outcome, TaskRecord};
use reprise_domain::study::StudySpec;
use reprise_domain::{Dataset, EvaluateSpec, Stage, TaskResult, TaskSpec};
use reprise_stats::table::{PretrainRow, PretrainSet};
use reprise_stats::{RunSet, Runs};

use super::digits_table::Trainings;
use super::experiment::Level;
use super::{Report, is_failed};

/// The records of a stage.
#[derive(Debug)]
pub(super) enum Members {
    /// Trials of a method on a data set.
    Search {
        method: String,
        dataset: Dataset,
        planned: usize,
        failed: usize,
        runs: Runs,
    },
    /// Pretrainings of a model.
    Pretrain(PretrainSet),
    /// Real trainings.
    Evaluate {
        lines: Vec<String>,
        trainings: Trainings,
    },
    /// Programs of a level of an experiment.
    Experiment(Level),
    /// Tasks that find nothing.
    Noop,
}

impl Members {
    /// A stage without records yet.
    pub(super) fn of(stage: &Stage) -> Self {
        match stage {
            Stage::Search { method, dataset } => Self::Search {
                method: method.clone(),
                dataset: *dataset,
                planned: 0,
                failed: 0,
                runs: Runs::default(),
            },
            Stage::Pretrain { model, .. } => Self::Pretrain(PretrainSet {
                label: model.to_string(),
                planned: 0,
                failed: 0,
                runs: Vec::new(),
            }),
            Stage::Evaluate => Self::Evaluate {
                lines: Vec::new(),
                trainings: Trainings::default(),
            },
            Stage::Experiment { experiment, level } => {
                Self::Experiment(Level::of(experiment, level))
            }
            Stage::Noop => Self::Noop,
        }
    }

    /// Takes a record of the stage.
    pub(super) fn add(&mut self, record: &TaskRecord) -> anyhow::Result<()> {
        let seed = record.spec.seed();
        let result = record.outcome.as_ref().map(|outcome| &outcome.result);
        match self {
            Self::Search {
                planned,
                failed,
                runs,
                ..
            } => {
                *planned += 1;
                *failed += usize::from(is_failed(record));
                if let Some(TaskResult::Search(result)) = result {
                    runs.push(seed, &result.trajectory)?;
                }
            }
            Self::Pretrain(set) => {
                set.planned += 1;
                set.failed += usize::from(is_failed(record));
                if let Some(TaskResult::Pretrain(result)) = result {
                    set.runs.push(PretrainRow {
                        seed,
                        epochs: result.epochs.clone(),
                    });
                }
            }
            Self::Evaluate { lines, trainings } => {
                if let (TaskSpec::Evaluate(spec), Some(outcome)) = (&record.spec, &record.outcome) {
                    lines.extend(line(spec, outcome));
                    trainings.add(spec, outcome);
                }
            }
            Self::Experiment(level) => level.add(record),
            Self::Noop => {}
        }
        Ok(())
    }

    /// Adds what the stage found to a report.
    pub(super) fn report(self, spec: &StudySpec, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Self::Search {
                method,
                dataset,
                planned,
                failed,
                runs,
            } => {
                let set = RunSet::new(method, dataset, planned, failed, runs)?;
                report.sets.push(set);
            }
            Self::Pretrain(set) => report.pretrained.push(set),
            Self::Evaluate { lines, trainings } => {
                report.evaluations.extend(lines);
                report.benchmark = trainings.table();
            }
            Self::Experiment(level) => report.levels.push(level.set(spec)?),
            Self::Noop => {}
        }
        Ok(())
    }
}

/// A real training as a line of CSV.
fn line(spec: &EvaluateSpec, outcome: &Outcome) -> Option<String> {
    let Outcome {
        result: TaskResult::Evaluate(result),
        usage,
        ..
    } = outcome
    else {
        return None;
    };
    let training = usage
        .training
        .map_or_else(String::new, |seconds| format!("{:.4}", seconds.get()));
    Some(format!(
        "{},{},{},{},{training},{},{}",
        spec.arch,
        spec.seed,
        result.validation.fraction(),
        result.test.fraction(),
        result.parameters,
        result.flops
    ))
}
