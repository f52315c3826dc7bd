//! From the state to what a snapshot holds.

use reprise_domain::WorkerId;

use super::form::{
    FrozenAspect, FrozenAudit, FrozenAudits, FrozenCheckpoint, FrozenLease, FrozenState,
    FrozenStudy, FrozenTask, FrozenWorker, Tail,
};
use super::json;
use crate::lifecycle::state::State;
use crate::lifecycle::study::Study;
use crate::lifecycle::task::{Audit, Lease, Task, TaskState};
use crate::lifecycle::template::Aspect;
use crate::lifecycle::worker::Worker;

pub(super) fn freeze_study(study: &Study) -> FrozenStudy {
    FrozenStudy {
        spec: json(&study.spec),
        digest: *study.digest.as_bytes(),
        owner: study.owner.clone(),
        control: study.control,
        stages: study
            .stages
            .iter()
            .map(|tally| (json(&tally.stage), tally.seconds.get()))
            .collect(),
        tasks: study.tasks.len() as u32,
        virtual_time: study.virtual_time,
        submitted: study.submitted,
        started: study.started,
        finished: study.finished,
    }
}

pub(super) fn freeze_worker(id: WorkerId, worker: &Worker) -> FrozenWorker {
    FrozenWorker {
        id: *id.0.as_bytes(),
        capability: json(&worker.capability),
        rates: worker.rates.iter().collect(),
        inputs: worker.inputs.iter().map(|input| input.0).collect(),
        drained: worker.drained,
    }
}

pub(super) fn freeze_task(task: &Task) -> FrozenTask {
    let extra = task.extra();
    FrozenTask {
        key: *task.key.0.as_bytes(),
        template: task.template.0,
        seed: task.seed.0,
        aspect: match task.aspect {
            Aspect::Plain => FrozenAspect::Plain,
            Aspect::Arch(arch) => FrozenAspect::Arch(arch.0),
            Aspect::Input(input) => FrozenAspect::Input(input.0),
        },
        interests: task
            .interests()
            .map(|interest| (interest.study.0, interest.position, interest.stage))
            .collect(),
        attempts: task.attempts,
        failures: extra.failures,
        lost: extra.lost,
        disputed: extra.disputed,
        checkpoint: extra.checkpoint.map(|saved| FrozenCheckpoint {
            number: saved.number,
            digest: *saved.artifact.digest.as_bytes(),
            bytes: saved.artifact.bytes,
            done: saved.done,
        }),
        state: match &task.state {
            TaskState::Waiting => FrozenState::Waiting,
            TaskState::Ready => FrozenState::Ready,
            TaskState::BackingOff { until } => FrozenState::BackingOff(until.0),
            TaskState::Leased(lease) => FrozenState::Leased(freeze_lease(lease)),
            TaskState::Finished { result, seconds } => FrozenState::Finished {
                result: *result.as_bytes(),
                seconds: seconds.get(),
            },
            TaskState::GivenUp(failure) => FrozenState::GivenUp(json(failure)),
            TaskState::Blocked => FrozenState::Blocked,
            TaskState::Cancelled => FrozenState::Cancelled,
            TaskState::Deleted => FrozenState::Deleted,
        },
        second: extra.second.as_ref().map(freeze_lease),
        avoid: extra.avoid.map(|(worker, _)| *worker.0.as_bytes()),
        before: extra.before.map(|digest| *digest.as_bytes()),
    }
}

fn freeze_lease(lease: &Lease) -> FrozenLease {
    FrozenLease {
        worker: *lease.worker.0.as_bytes(),
        number: lease.number,
        since: lease.since.0,
        sequence: lease.sequence,
        cost: lease.cost,
    }
}

pub(super) fn freeze_tail(state: &State) -> Tail {
    Tail {
        number_floor: state.restores.floor,
        restored: state.restores.at,
        drained: state.drained.iter().map(|id| *id.0.as_bytes()).collect(),
        avoided: (0..)
            .zip(state.tasks.iter())
            .filter_map(|(ix, task)| Some((ix, task.extra().avoid?.1)))
            .collect(),
    }
}

pub(super) fn freeze_audits(state: &State) -> FrozenAudits {
    let worker = |id: Option<WorkerId>| id.map(|id| *id.0.as_bytes());
    let tasks = (0..).zip(state.tasks.iter());
    let audits = tasks.filter_map(|(ix, task)| {
        let frozen = match task.extra().audit? {
            Audit::Due { not } => FrozenAudit::Due(worker(not)),
            Audit::Running { not } => FrozenAudit::Running(worker(not)),
            Audit::Agreed => FrozenAudit::Agreed,
            Audit::Differed => FrozenAudit::Differed,
            Audit::GivenUp { not } => FrozenAudit::GivenUpOf(worker(not)),
        };
        Some((ix, frozen))
    });
    FrozenAudits(audits.collect())
}
