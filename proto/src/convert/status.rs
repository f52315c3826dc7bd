//! Studies between wire and domain.

use reprise_domain::status::{
    AuditCounts, Control, FailureGroup, Failures, StageStatus, StudyState, StudyStatus,
    StudySummary, TaskCounts, Unserved,
};
use reprise_domain::{Seconds, StudyName};

use super::record::{failure_class, stage};
use super::{ConvertError, digest, digest_bytes, required, task_key, unknown};
use crate::pb;

/// Reads a study's name.
pub fn study_name(field: &'static str, text: &str) -> Result<StudyName, ConvertError> {
    text.parse().map_err(|_| unknown(field, text))
}

impl From<&StudySummary> for pb::StudySummary {
    fn from(study: &StudySummary) -> Self {
        Self {
            name: study.name.to_string(),
            digest: digest_bytes(study.digest),
            owner: study.owner.clone(),
            state: pb::StudyState::from(study.state).into(),
            tasks: Some(study.tasks.into()),
            audits: Some(study.audits.into()),
            submitted_at_ms: study.submitted_at_ms,
            started_at_ms: study.started_at_ms,
            finished_at_ms: study.finished_at_ms,
        }
    }
}

impl TryFrom<pb::StudySummary> for StudySummary {
    type Error = ConvertError;

    fn try_from(study: pb::StudySummary) -> Result<Self, ConvertError> {
        Ok(Self {
            name: study_name("study.name", &study.name)?,
            digest: digest("study.digest", &study.digest)?,
            owner: study.owner.clone(),
            state: state(study.state())?,
            tasks: required("study.tasks", study.tasks)?.try_into()?,
            audits: study.audits.map_or_else(AuditCounts::default, Into::into),
            submitted_at_ms: study.submitted_at_ms,
            started_at_ms: study.started_at_ms,
            finished_at_ms: study.finished_at_ms,
        })
    }
}

impl From<AuditCounts> for pb::AuditCounts {
    fn from(audits: AuditCounts) -> Self {
        Self {
            due: audits.due,
            running: audits.running,
            agreed: audits.agreed,
            differing: audits.differing,
            given_up: audits.given_up,
        }
    }
}

impl From<pb::AuditCounts> for AuditCounts {
    fn from(audits: pb::AuditCounts) -> Self {
        Self {
            due: audits.due,
            running: audits.running,
            agreed: audits.agreed,
            differing: audits.differing,
            given_up: audits.given_up,
        }
    }
}

impl From<StudyState> for pb::StudyState {
    fn from(state: StudyState) -> Self {
        match state {
            StudyState::Running => Self::Running,
            StudyState::Paused => Self::Paused,
            StudyState::Stopped => Self::Stopped,
            StudyState::Done => Self::Done,
            StudyState::Cancelled => Self::Cancelled,
        }
    }
}

fn state(state: pb::StudyState) -> Result<StudyState, ConvertError> {
    Ok(match state {
        pb::StudyState::Running => StudyState::Running,
        pb::StudyState::Paused => StudyState::Paused,
        pb::StudyState::Stopped => StudyState::Stopped,
        pb::StudyState::Done => StudyState::Done,
        pb::StudyState::Cancelled => StudyState::Cancelled,
        pb::StudyState::Unspecified => return Err(unknown("study.state", &(state as i32))),
    })
}

impl From<TaskCounts> for pb::TaskCounts {
    fn from(tasks: TaskCounts) -> Self {
        Self {
            planned: tasks.planned,
            finished: tasks.finished,
            running: tasks.running,
            ready: tasks.ready,
            waiting: tasks.waiting,
            backing_off: tasks.backing_off,
            failed: tasks.failed,
            blocked: tasks.blocked,
            cancelled: tasks.cancelled,
            finished_slot_seconds: tasks.finished_slot_seconds.get(),
        }
    }
}

impl TryFrom<pb::TaskCounts> for TaskCounts {
    type Error = ConvertError;

    fn try_from(tasks: pb::TaskCounts) -> Result<Self, ConvertError> {
        let seconds = Seconds::new(tasks.finished_slot_seconds)
            .map_err(|_| unknown("tasks.finished_slot_seconds", &tasks.finished_slot_seconds))?;
        Ok(Self {
            planned: tasks.planned,
            finished: tasks.finished,
            running: tasks.running,
            ready: tasks.ready,
            waiting: tasks.waiting,
            backing_off: tasks.backing_off,
            failed: tasks.failed,
            blocked: tasks.blocked,
            cancelled: tasks.cancelled,
            finished_slot_seconds: seconds,
        })
    }
}

/// A stage at its place.
pub fn stage_status(index: usize, status: &StageStatus) -> pb::StageStatus {
    pb::StageStatus {
        index: index as u32,
        stage: Some((&status.stage).into()),
        tasks: Some(status.tasks.into()),
    }
}

impl TryFrom<pb::StageStatus> for StageStatus {
    type Error = ConvertError;

    fn try_from(status: pb::StageStatus) -> Result<Self, ConvertError> {
        let found = required("stages.stage", status.stage)?;
        Ok(Self {
            name: found.name.clone(),
            stage: stage(found)?,
            tasks: required("stages.tasks", status.tasks)?.try_into()?,
        })
    }
}

impl From<&StudyStatus> for pb::StudyStatus {
    fn from(status: &StudyStatus) -> Self {
        let stages = status.stages.iter().enumerate();
        Self {
            study: Some((&status.study).into()),
            stages: stages
                .map(|(index, stage)| stage_status(index, stage))
                .collect(),
            failures: status.failures.groups.iter().map(Into::into).collect(),
            other_failed_tasks: status.failures.other_tasks,
            workers_connected: status.workers_connected,
            unserved: status.unserved.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::StudyStatus> for StudyStatus {
    type Error = ConvertError;

    fn try_from(status: pb::StudyStatus) -> Result<Self, ConvertError> {
        let stages = status.stages.into_iter().map(StageStatus::try_from);
        let groups = status.failures.into_iter().map(FailureGroup::try_from);
        Ok(Self {
            study: required("study", status.study)?.try_into()?,
            stages: stages.collect::<Result<_, _>>()?,
            failures: Failures {
                groups: groups.collect::<Result<_, _>>()?,
                other_tasks: status.other_failed_tasks,
            },
            workers_connected: status.workers_connected,
            unserved: status.unserved.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<&Unserved> for pb::Unserved {
    fn from(unserved: &Unserved) -> Self {
        Self {
            tasks: unserved.tasks,
            needs: unserved.needs.clone(),
        }
    }
}

impl From<pb::Unserved> for Unserved {
    fn from(unserved: pb::Unserved) -> Self {
        Self {
            tasks: unserved.tasks,
            needs: unserved.needs,
        }
    }
}

impl From<&FailureGroup> for pb::FailureGroup {
    fn from(group: &FailureGroup) -> Self {
        Self {
            class: pb::FailureClass::from(group.class).into(),
            message: group.message.clone(),
            tasks: group.tasks,
            example: digest_bytes(group.example.0),
            example_title: group.example_title.clone(),
        }
    }
}

impl TryFrom<pb::FailureGroup> for FailureGroup {
    type Error = ConvertError;

    fn try_from(group: pb::FailureGroup) -> Result<Self, ConvertError> {
        Ok(Self {
            class: failure_class(group.class())?,
            tasks: group.tasks,
            example: task_key("failures.example", &group.example)?,
            message: group.message,
            example_title: group.example_title,
        })
    }
}

impl From<Control> for pb::Control {
    fn from(control: Control) -> Self {
        match control {
            Control::Cancel => Self::Cancel,
            Control::Pause => Self::Pause,
            Control::Resume => Self::Resume,
        }
    }
}

/// Reads what is to be done to a study.
pub fn control(control: pb::Control) -> Result<Control, ConvertError> {
    Ok(match control {
        pb::Control::Cancel => Control::Cancel,
        pb::Control::Pause => Control::Pause,
        pb::Control::Resume => Control::Resume,
        pb::Control::Unspecified => return Err(unknown("control", &(control as i32))),
    })
}
