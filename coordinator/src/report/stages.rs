//! What is kept of the records of one stage.

use reprise_domain::record::{Outcome, TaskRecord};
use reprise_domain::study::{Pairing, StudySpec};
use reprise_domain::{EvaluateSpec, Seed, Stage, TaskResult, TaskSpec};
use reprise_stats::table::{PretrainRow, PretrainSet};
use reprise_stats::{Group, RunSet, Runs};

use super::digits_table::Trainings;
use super::experiment::Level;
use super::{Report, is_blocked, is_failed};

/// The records of a stage.
#[derive(Debug)]
pub(super) enum Members {
    /// Trials of a method on a data set.
    Search {
        group: Group,
        planned: usize,
        failed: usize,
        blocked: usize,
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
            Stage::Search {
                method,
                dataset,
                level,
            } => Self::Search {
                group: Group {
                    method: method.clone(),
                    level: level.clone(),
                    dataset: *dataset,
                    crossed: false,
                },
                planned: 0,
                failed: 0,
                blocked: 0,
                runs: Runs::default(),
            },
            Stage::Pretrain {
                model,
                label,
                level,
                ..
            } => Self::Pretrain(PretrainSet {
                model: model.to_string(),
                name: label.clone(),
                level: level.clone(),
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

    /// Takes a record of the stage; `tells_embeddings` as
    /// [`StudySpec::tells_embeddings`].
    pub(super) fn add(
        &mut self,
        record: &TaskRecord,
        tells_embeddings: bool,
    ) -> anyhow::Result<()> {
        let seed = record.spec.seed();
        let result = record.outcome.as_ref().map(|outcome| &outcome.result);
        match self {
            Self::Search {
                planned,
                failed,
                blocked,
                runs,
                ..
            } => {
                *planned += 1;
                *failed += usize::from(is_failed(record));
                *blocked += usize::from(is_blocked(record));
                if let Some(TaskResult::Search(result)) = result {
                    let embedded = record.task.pretrain_seed.filter(|_| tells_embeddings);
                    runs.push_on(seed, embedded.map(Seed), &result.trajectory)?;
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
                group,
                planned,
                failed,
                blocked,
                runs,
            } => {
                let crossed = spec.search.as_ref().is_some_and(|search| {
                    let mut methods = search.methods.iter();
                    let embedded = methods.any(|plan| {
                        (&plan.label, &plan.level) == (&group.method, &group.level)
                            && plan.encoding.is_some()
                    });
                    search.pairing == Pairing::Crossed && embedded
                });
                let group = Group { crossed, ..group };
                let set = RunSet::of(group, (planned, failed), runs)?;
                report.sets.push(set.with_blocked(blocked));
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
