//! Tasks and attempts between wire and domain.

use reprise_domain::record::{
    AttemptRecord, AttemptState, Outcome, Task, TaskDetail, TaskRecord, TaskState, TaskStateKind,
};
use reprise_domain::{Factor, Failure, FailureClass, Scalar, Stage};

use super::status::study_name;
use super::{
    ConvertError, digest, digest_bytes, from_json, named, required, task_key, to_json, unknown,
    worker_bytes, worker_id,
};
use crate::pb;

impl From<&Stage> for pb::Stage {
    fn from(stage: &Stage) -> Self {
        use pb::stage::Stage as Wire;
        let name = stage.to_string();
        let stage = match stage {
            Stage::Pretrain {
                entry,
                model,
                label,
                level,
            } => Wire::Pretrain(pb::PretrainStage {
                entry: *entry as u32,
                model: model.to_string(),
                label: label.clone(),
                level: level.iter().map(Into::into).collect(),
            }),
            Stage::Search {
                method,
                dataset,
                level,
            } => Wire::Search(pb::SearchStage {
                method: method.clone(),
                dataset: dataset.to_string(),
                level: level.iter().map(Into::into).collect(),
            }),
            Stage::Evaluate => Wire::Evaluate(pb::EvaluateStage {}),
            Stage::Noop => Wire::Noop(pb::NoopStage {}),
            Stage::Experiment { experiment, level } => Wire::Experiment(pb::ExperimentStage {
                experiment: experiment.clone(),
                level: level.iter().map(Into::into).collect(),
            }),
        };
        Self {
            name,
            stage: Some(stage),
        }
    }
}

/// Reads a stage.
pub fn stage(stage: pb::Stage) -> Result<Stage, ConvertError> {
    use pb::stage::Stage as Wire;
    Ok(match required("stage", stage.stage)? {
        Wire::Pretrain(pretrain) => Stage::Pretrain {
            entry: pretrain.entry as usize,
            model: named("stage.pretrain.model", &pretrain.model)?,
            label: pretrain.label,
            level: level(pretrain.level)?,
        },
        Wire::Search(search) => Stage::Search {
            dataset: named("stage.search.dataset", &search.dataset)?,
            method: search.method,
            level: level(search.level)?,
        },
        Wire::Evaluate(_) => Stage::Evaluate,
        Wire::Noop(_) => Stage::Noop,
        Wire::Experiment(stage) => Stage::Experiment {
            experiment: stage.experiment,
            level: level(stage.level)?,
        },
    })
}

fn level(level: Vec<pb::Factor>) -> Result<Vec<Factor>, ConvertError> {
    level.into_iter().map(Factor::try_from).collect()
}

impl From<&Factor> for pb::Factor {
    fn from(factor: &Factor) -> Self {
        use pb::factor::Value;
        let value = match &factor.value {
            Scalar::Flag(flag) => Value::Flag(*flag),
            Scalar::Whole(number) => Value::Whole(*number),
            Scalar::Real(number) => Value::Real(*number),
            Scalar::Text(text) => Value::Text(text.clone()),
        };
        Self {
            name: factor.name.clone(),
            value: Some(value),
        }
    }
}

impl TryFrom<pb::Factor> for Factor {
    type Error = ConvertError;

    fn try_from(factor: pb::Factor) -> Result<Self, ConvertError> {
        use pb::factor::Value;
        let value = match required("stage.level.value", factor.value)? {
            Value::Flag(flag) => Scalar::Flag(flag),
            Value::Whole(number) => Scalar::Whole(number),
            Value::Real(number) => Scalar::Real(number),
            Value::Text(text) => Scalar::Text(text),
        };
        Ok(Self {
            name: factor.name,
            value,
        })
    }
}

impl From<&Task> for pb::Task {
    fn from(task: &Task) -> Self {
        let mut wire = Self {
            key: digest_bytes(task.key.0),
            title: task.title.clone(),
            stage: Some((&task.stage).into()),
            stage_index: task.stage_index,
            seed: task.seed,
            state: pb::TaskState::from(task.state.kind()).into(),
            attempts: task.attempts,
            pretrain_seed: task.pretrain_seed,
            failure: task.state.failure().map(Into::into),
            ..Self::default()
        };
        match &task.state {
            TaskState::BackingOff { until_ms } => wire.until_ms = Some(*until_ms),
            TaskState::Running { worker } => wire.worker = worker_bytes(*worker),
            TaskState::Blocked { by, .. } => wire.blocked_by = digest_bytes(by.0),
            _ => {}
        }
        wire
    }
}

impl TryFrom<pb::Task> for Task {
    type Error = ConvertError;

    fn try_from(task: pb::Task) -> Result<Self, ConvertError> {
        let state = state(&task)?;
        Ok(Self {
            key: task_key("task.key", &task.key)?,
            title: task.title,
            stage: stage(required("task.stage", task.stage)?)?,
            stage_index: task.stage_index,
            seed: task.seed,
            state,
            attempts: task.attempts,
            pretrain_seed: task.pretrain_seed,
        })
    }
}

fn state(task: &pb::Task) -> Result<TaskState, ConvertError> {
    let failure = || failure(required("task.failure", task.failure.clone())?);
    Ok(match state_kind(task.state())? {
        TaskStateKind::Waiting => TaskState::Waiting,
        TaskStateKind::Ready => TaskState::Ready,
        TaskStateKind::BackingOff => TaskState::BackingOff {
            until_ms: required("task.until_ms", task.until_ms)?,
        },
        TaskStateKind::Running => TaskState::Running {
            worker: worker_id("task.worker", &task.worker)?,
        },
        TaskStateKind::Finished => TaskState::Finished,
        TaskStateKind::Failed => TaskState::Failed {
            failure: failure()?,
        },
        TaskStateKind::Blocked => TaskState::Blocked {
            by: task_key("task.blocked_by", &task.blocked_by)?,
            failure: failure()?,
        },
        TaskStateKind::Cancelled => TaskState::Cancelled,
    })
}

impl From<TaskStateKind> for pb::TaskState {
    fn from(state: TaskStateKind) -> Self {
        match state {
            TaskStateKind::Waiting => Self::Waiting,
            TaskStateKind::Ready => Self::Ready,
            TaskStateKind::BackingOff => Self::BackingOff,
            TaskStateKind::Running => Self::Running,
            TaskStateKind::Finished => Self::Finished,
            TaskStateKind::Failed => Self::Failed,
            TaskStateKind::Blocked => Self::Blocked,
            TaskStateKind::Cancelled => Self::Cancelled,
        }
    }
}

/// Reads which state a task is in.
pub fn state_kind(state: pb::TaskState) -> Result<TaskStateKind, ConvertError> {
    Ok(match state {
        pb::TaskState::Waiting => TaskStateKind::Waiting,
        pb::TaskState::Ready => TaskStateKind::Ready,
        pb::TaskState::BackingOff => TaskStateKind::BackingOff,
        pb::TaskState::Running => TaskStateKind::Running,
        pb::TaskState::Finished => TaskStateKind::Finished,
        pb::TaskState::Failed => TaskStateKind::Failed,
        pb::TaskState::Blocked => TaskStateKind::Blocked,
        pb::TaskState::Cancelled => TaskStateKind::Cancelled,
        pb::TaskState::Unspecified => return Err(unknown("task.state", &(state as i32))),
    })
}

impl From<&Failure> for pb::Failure {
    fn from(failure: &Failure) -> Self {
        Self {
            class: pb::FailureClass::from(failure.class).into(),
            message: failure.message.clone(),
            log: failure.log.clone(),
        }
    }
}

fn failure(failure: pb::Failure) -> Result<Failure, ConvertError> {
    Ok(Failure {
        class: failure_class(failure.class())?,
        message: failure.message,
        log: failure.log,
    })
}

impl From<FailureClass> for pb::FailureClass {
    fn from(class: FailureClass) -> Self {
        match class {
            FailureClass::Task => Self::Task,
            FailureClass::Permanent => Self::Permanent,
            FailureClass::WorkerLost => Self::WorkerLost,
            FailureClass::OutOfMemory => Self::OutOfMemory,
            FailureClass::TimeLimit => Self::TimeLimit,
            FailureClass::Stalled => Self::Stalled,
            FailureClass::InputLost => Self::InputLost,
        }
    }
}

/// Reads a kind of failure.
pub fn failure_class(class: pb::FailureClass) -> Result<FailureClass, ConvertError> {
    Ok(match class {
        pb::FailureClass::Task => FailureClass::Task,
        pb::FailureClass::Permanent => FailureClass::Permanent,
        pb::FailureClass::WorkerLost => FailureClass::WorkerLost,
        pb::FailureClass::OutOfMemory => FailureClass::OutOfMemory,
        pb::FailureClass::TimeLimit => FailureClass::TimeLimit,
        pb::FailureClass::Stalled => FailureClass::Stalled,
        pb::FailureClass::InputLost => FailureClass::InputLost,
        pb::FailureClass::Unspecified => return Err(unknown("failure.class", &(class as i32))),
    })
}

/// A record with its result in the forms that were asked for.
pub fn task_record(record: &TaskRecord, form: pb::ResultForm) -> pb::TaskRecord {
    let typed = form != pb::ResultForm::Json;
    let json = form != pb::ResultForm::Unspecified;
    let outcome = record.outcome.as_ref();
    let result = outcome.map(|outcome| &outcome.result);
    pb::TaskRecord {
        task: Some((&record.task).into()),
        result: result.filter(|_| typed).map(Into::into),
        usage: outcome.map(|outcome| outcome.usage.into()),
        host: outcome.map_or_else(String::new, |outcome| outcome.host.clone()),
        spec_json: to_json(&record.spec),
        result_json: result.filter(|_| json).map_or_else(Vec::new, to_json),
        worker: outcome
            .and_then(|outcome| outcome.worker)
            .map_or_else(Vec::new, worker_bytes),
        provenance: outcome
            .and_then(|outcome| outcome.provenance)
            .map_or_else(Vec::new, digest_bytes),
        provenance_json: record.made_with.as_ref().map_or_else(Vec::new, to_json),
    }
}

impl TryFrom<pb::TaskRecord> for TaskRecord {
    type Error = ConvertError;

    /// Of a record that holds its result as JSON.
    fn try_from(record: pb::TaskRecord) -> Result<Self, ConvertError> {
        let task: Task = required("record.task", record.task)?.try_into()?;
        let worker = Some(&record.worker).filter(|bytes| !bytes.is_empty());
        let provenance = Some(&record.provenance).filter(|bytes| !bytes.is_empty());
        let outcome = match task.state {
            TaskState::Finished => Some(Outcome {
                result: from_json("record.result_json", &record.result_json)?,
                usage: required("record.usage", record.usage)?.try_into()?,
                host: record.host,
                worker: worker
                    .map(|bytes| worker_id("record.worker", bytes))
                    .transpose()?,
                provenance: provenance
                    .map(|bytes| digest("record.provenance", bytes))
                    .transpose()?,
            }),
            _ => None,
        };
        let made_with = match record.provenance_json.as_slice() {
            [] => None,
            json => Some(from_json("record.provenance_json", json)?),
        };
        Ok(Self {
            spec: from_json("record.spec_json", &record.spec_json)?,
            task,
            outcome,
            made_with,
        })
    }
}

impl From<&TaskDetail> for pb::TaskDetail {
    fn from(detail: &TaskDetail) -> Self {
        Self {
            task: Some((&detail.task).into()),
            spec_json: to_json(&detail.spec),
            studies: detail.studies.iter().map(ToString::to_string).collect(),
            attempts: detail.attempt_records.iter().map(Into::into).collect(),
            result: detail.result.as_ref().map(Into::into),
            usage: detail.usage.map(Into::into),
            result_json: detail.result.as_ref().map_or_else(Vec::new, to_json),
            disputed: detail.disputed,
            provenance_json: detail.provenance.as_ref().map_or_else(Vec::new, to_json),
        }
    }
}

impl TryFrom<pb::TaskDetail> for TaskDetail {
    type Error = ConvertError;

    fn try_from(detail: pb::TaskDetail) -> Result<Self, ConvertError> {
        let studies = detail.studies.iter();
        let attempts = detail.attempts.into_iter().map(AttemptRecord::try_from);
        let result = match detail.result_json.as_slice() {
            [] => None,
            json => Some(from_json("task.result_json", json)?),
        };
        let provenance = match detail.provenance_json.as_slice() {
            [] => None,
            json => Some(from_json("task.provenance_json", json)?),
        };
        Ok(Self {
            task: required("task", detail.task)?.try_into()?,
            spec: from_json("task.spec_json", &detail.spec_json)?,
            studies: studies
                .map(|name| study_name("task.studies", name))
                .collect::<Result<_, _>>()?,
            attempt_records: attempts.collect::<Result<_, _>>()?,
            result,
            usage: detail.usage.map(TryInto::try_into).transpose()?,
            disputed: detail.disputed,
            provenance,
        })
    }
}

impl From<&AttemptRecord> for pb::AttemptRecord {
    fn from(attempt: &AttemptRecord) -> Self {
        let failure = match &attempt.state {
            AttemptState::Failed { failure } => Some(failure.into()),
            _ => None,
        };
        Self {
            number: attempt.number,
            worker: worker_bytes(attempt.worker),
            host: attempt.host.clone(),
            device: attempt.device.clone(),
            program: attempt.program.clone(),
            started_at_ms: attempt.started_at_ms,
            ended_at_ms: attempt.ended_at_ms,
            state: pb::AttemptState::from(&attempt.state).into(),
            failure,
        }
    }
}

impl From<&AttemptState> for pb::AttemptState {
    fn from(state: &AttemptState) -> Self {
        match state {
            AttemptState::Running => Self::Running,
            AttemptState::Finished => Self::Finished,
            AttemptState::Failed { .. } => Self::Failed,
            AttemptState::Returned => Self::Returned,
            AttemptState::Lost => Self::Lost,
            AttemptState::Stopped => Self::Stopped,
            AttemptState::Agreed => Self::Agreed,
            AttemptState::Differed => Self::Differed,
        }
    }
}

impl TryFrom<pb::AttemptRecord> for AttemptRecord {
    type Error = ConvertError;

    fn try_from(attempt: pb::AttemptRecord) -> Result<Self, ConvertError> {
        let state = match attempt.state() {
            pb::AttemptState::Running => AttemptState::Running,
            pb::AttemptState::Finished => AttemptState::Finished,
            pb::AttemptState::Failed => AttemptState::Failed {
                failure: failure(required("attempt.failure", attempt.failure)?)?,
            },
            pb::AttemptState::Returned => AttemptState::Returned,
            pb::AttemptState::Lost => AttemptState::Lost,
            pb::AttemptState::Stopped => AttemptState::Stopped,
            pb::AttemptState::Agreed => AttemptState::Agreed,
            pb::AttemptState::Differed => AttemptState::Differed,
            state @ pb::AttemptState::Unspecified => {
                return Err(unknown("attempt.state", &(state as i32)));
            }
        };
        Ok(Self {
            number: attempt.number,
            worker: worker_id("attempt.worker", &attempt.worker)?,
            host: attempt.host,
            device: attempt.device,
            program: attempt.program,
            started_at_ms: attempt.started_at_ms,
            ended_at_ms: attempt.ended_at_ms,
            state,
        })
    }
}
