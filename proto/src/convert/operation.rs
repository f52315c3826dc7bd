//! Workers and events between wire and domain.

use reprise_domain::record::{Occurrence, Worker, WorkerState};

use super::status::study_name;
use super::{ConvertError, digest_bytes, task_key, unknown, worker_bytes, worker_id};
use crate::pb;

impl From<&Worker> for pb::Worker {
    fn from(worker: &Worker) -> Self {
        let state = match worker.state {
            WorkerState::Connected => pb::WorkerState::Connected,
            WorkerState::Draining => pb::WorkerState::Draining,
            WorkerState::Away => pb::WorkerState::Away,
        };
        Self {
            id: worker_bytes(worker.id),
            host: worker.host.clone(),
            device: worker.device.clone(),
            version: worker.version.clone(),
            libtorch: worker.libtorch.clone(),
            slots: worker.slots,
            held_attempts: worker.held_attempts,
            state: state.into(),
        }
    }
}

impl TryFrom<pb::Worker> for Worker {
    type Error = ConvertError;

    fn try_from(worker: pb::Worker) -> Result<Self, ConvertError> {
        let state = match worker.state() {
            pb::WorkerState::Connected => WorkerState::Connected,
            pb::WorkerState::Draining => WorkerState::Draining,
            pb::WorkerState::Away => WorkerState::Away,
            state @ pb::WorkerState::Unspecified => {
                return Err(unknown("worker.state", &(state as i32)));
            }
        };
        Ok(Self {
            id: worker_id("worker.id", &worker.id)?,
            host: worker.host,
            device: worker.device,
            version: worker.version,
            libtorch: worker.libtorch,
            slots: worker.slots,
            held_attempts: worker.held_attempts,
            state,
        })
    }
}

impl From<&Occurrence> for pb::Event {
    fn from(event: &Occurrence) -> Self {
        Self {
            at_ms: event.at_ms,
            kind: event.kind.clone(),
            study: event
                .study
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            task: event
                .task
                .map_or_else(Vec::new, |task| digest_bytes(task.0)),
            attempt: event.attempt.unwrap_or_default(),
            worker: event.worker.map_or_else(Vec::new, worker_bytes),
            text: event.text.clone(),
            missed: event.missed,
        }
    }
}

impl TryFrom<pb::Event> for Occurrence {
    type Error = ConvertError;

    fn try_from(event: pb::Event) -> Result<Self, ConvertError> {
        let study = Some(event.study.as_str()).filter(|study| !study.is_empty());
        let task = Some(event.task.as_slice()).filter(|task| !task.is_empty());
        let worker = Some(event.worker.as_slice()).filter(|worker| !worker.is_empty());
        Ok(Self {
            at_ms: event.at_ms,
            study: study
                .map(|study| study_name("event.study", study))
                .transpose()?,
            task: task.map(|task| task_key("event.task", task)).transpose()?,
            attempt: Some(event.attempt).filter(|attempt| *attempt > 0),
            worker: worker
                .map(|worker| worker_id("event.worker", worker))
                .transpose()?,
            kind: event.kind,
            text: event.text,
            missed: event.missed,
        })
    }
}
