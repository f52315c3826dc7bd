//! From what a snapshot holds to the state. Counts, queues, orders and indexes are
//! built anew, by the code that keeps them in a live step.

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{ArchIndex, Capability, Digest, Failure, Seconds, Seed, TaskKey, WorkerId};

use super::form::{
    FrozenAspect, FrozenAudit, FrozenAudits, FrozenLease, FrozenState, FrozenTask, FrozenWorker,
    Head, Tail,
};
use super::{SnapshotError, damaged, parsed};
use crate::Timestamp;
use crate::lifecycle::restore::Restores;
use crate::lifecycle::state::State;
use crate::lifecycle::study::{Control, Study, StudyIx};
use crate::lifecycle::table::TaskTable;
use crate::lifecycle::task::{Audit, Interest, Lease, Saved, Task, TaskIx, TaskState};
use crate::lifecycle::template::{Aspect, TemplateIx};
use crate::lifecycle::worker::Worker;
use crate::plan::Stage;

/// Studies without their tasks yet.
pub(super) fn thaw_studies(state: &mut State, head: &Head) -> Result<(), SnapshotError> {
    for frozen in &head.studies {
        let digest = Digest::from_bytes(frozen.digest);
        let owner = frozen.owner.clone();
        let mut study = Study::new(parsed(&frozen.spec)?, digest, owner, frozen.submitted);
        study.control = frozen.control;
        study.virtual_time = frozen.virtual_time;
        study.started = frozen.started;
        study.finished = frozen.finished;
        for (stage, _) in &frozen.stages {
            study.stage(&parsed::<Stage>(stage)?);
        }
        // Every place is filled by a task; see `finish`.
        study.tasks = vec![TaskIx(u32::MAX); frozen.tasks as usize];
        let ix = StudyIx(state.studies.len() as u32);
        if study.control != Control::Deleted {
            state.study_index.insert(study.spec.name.clone(), ix);
        }
        state.studies.push(study);
    }
    Ok(())
}

pub(super) fn thaw_worker(state: &mut State, frozen: &FrozenWorker) -> Result<(), SnapshotError> {
    let capability: Capability = parsed(&frozen.capability)?;
    let credit = state.credit.of(capability.slots);
    let mut worker = Worker::new(capability, credit, Timestamp::default());
    worker.rates = frozen.rates.iter().copied().collect();
    worker.inputs = frozen.inputs.iter().copied().map(TaskIx).collect();
    worker.drained = frozen.drained;
    state.workers.insert(worker_id(frozen.id), worker);
    Ok(())
}

pub(super) fn thaw_task(state: &mut State, frozen: &FrozenTask) -> Result<(), SnapshotError> {
    if frozen.template as usize >= state.tasks.templates().len() {
        return Err(damaged("a task of an unknown template"));
    }
    let aspect = match frozen.aspect {
        FrozenAspect::Plain => Aspect::Plain,
        FrozenAspect::Arch(arch) => Aspect::Arch(ArchIndex(arch)),
        FrozenAspect::Input(input) if (input as usize) < state.tasks.len() => {
            Aspect::Input(TaskIx(input))
        }
        FrozenAspect::Input(_) => return Err(damaged("a task before its input")),
    };
    let mut task = Task::new(
        TaskKey(Digest::from_bytes(frozen.key)),
        TemplateIx(frozen.template),
        Seed(frozen.seed),
        aspect,
        TaskState::Waiting,
    );
    if matches!(frozen.state, FrozenState::Deleted) {
        task.attempts = frozen.attempts;
        task.state = TaskState::Deleted;
        state.tasks.push_unlisted(task);
        return Ok(());
    }
    let ix = state.add(task, TaskTable::push);
    let next = match &frozen.state {
        FrozenState::Waiting => TaskState::Waiting,
        FrozenState::Ready => TaskState::Ready,
        FrozenState::BackingOff(until) => TaskState::BackingOff {
            until: Timestamp(*until),
        },
        FrozenState::Leased(lease) => TaskState::Leased(thaw_lease(state, ix, *lease)?),
        FrozenState::Finished { result, seconds } => TaskState::Finished {
            result: Digest::from_bytes(*result),
            seconds: Seconds::new(*seconds).map_err(damaged)?,
        },
        FrozenState::GivenUp(failure) => TaskState::GivenUp(Box::new(parsed::<Failure>(failure)?)),
        FrozenState::Blocked => TaskState::Blocked,
        FrozenState::Cancelled => TaskState::Cancelled,
        FrozenState::Deleted => TaskState::Deleted,
    };
    state.place(ix, next);
    let second = frozen.second.map(|second| thaw_lease(state, ix, second));
    let second = second.transpose()?;
    let task = &mut state.tasks[ix];
    task.attempts = frozen.attempts;
    let checkpoint = frozen.checkpoint.map(|saved| Saved {
        number: saved.number,
        artifact: ArtifactRef {
            digest: Digest::from_bytes(saved.digest),
            bytes: saved.bytes,
        },
        done: saved.done,
    });
    task.change(|extra| {
        extra.failures = frozen.failures;
        extra.lost = frozen.lost;
        extra.disputed = frozen.disputed;
        extra.second = second;
        extra.checkpoint = checkpoint;
        // Its time is in the tail.
        extra.avoid = frozen.avoid.map(|id| (worker_id(id), Timestamp::default()));
        extra.before = frozen.before.map(Digest::from_bytes);
    });
    for &(study, position, stage) in &frozen.interests {
        let owner = state.studies.get(study as usize);
        if owner.is_none_or(|owner| stage as usize >= owner.stages.len()) {
            return Err(damaged("a task of an unknown study or stage"));
        }
        state.date_stage(StudyIx(study), stage, ix);
        let owner = &mut state.studies[study as usize];
        let task = &mut state.tasks[ix];
        let place = owner.tasks.get_mut(position as usize);
        *place.ok_or_else(|| damaged("a task beyond the end of its study"))? = ix;
        owner.enter(stage, position, task);
        task.add_interest(Interest {
            study: StudyIx(study),
            position,
            stage,
        });
    }
    Ok(())
}

pub(super) fn thaw_audits(state: &mut State, audits: FrozenAudits) -> Result<(), SnapshotError> {
    for (ix, frozen) in audits.0 {
        if ix as usize >= state.tasks.len() {
            return Err(damaged("an audit of an unknown task"));
        }
        let worker = |id: Option<[u8; 16]>| id.map(worker_id);
        let audit = match frozen {
            FrozenAudit::Due(not) => Audit::Due { not: worker(not) },
            FrozenAudit::Running(not) => Audit::Running { not: worker(not) },
            FrozenAudit::Agreed => Audit::Agreed,
            FrozenAudit::Differed => Audit::Differed,
            FrozenAudit::GivenUp => Audit::GivenUp { not: None },
            FrozenAudit::GivenUpOf(not) => Audit::GivenUp { not: worker(not) },
        };
        state.place_audit(TaskIx(ix), Some(audit));
    }
    Ok(())
}

/// What only format 5 has.
pub(super) fn thaw_tail(state: &mut State, tail: &Tail) -> Result<(), SnapshotError> {
    state.restores.floor = tail.number_floor;
    state.restores.at = tail.restored;
    state.drained = tail.drained.iter().copied().map(worker_id).collect();
    for &(ix, at) in &tail.avoided {
        if ix as usize >= state.tasks.len() {
            return Err(damaged("a worker avoided by an unknown task"));
        }
        state.tasks[TaskIx(ix)].change(|extra| {
            extra.avoid = extra.avoid.map(|(worker, _)| (worker, at));
        });
    }
    Ok(())
}

/// A lease, given back to its worker.
fn thaw_lease(state: &mut State, ix: TaskIx, frozen: FrozenLease) -> Result<Lease, SnapshotError> {
    let lease = Lease {
        worker: worker_id(frozen.worker),
        number: frozen.number,
        since: Timestamp(frozen.since),
        sequence: frozen.sequence,
        cost: frozen.cost,
    };
    let holder = state.workers.get_mut(&lease.worker);
    holder
        .ok_or_else(|| damaged("a lease of an unknown worker"))?
        .take(ix, &lease);
    Ok(lease)
}

/// What can only be set when all tasks are there.
pub(super) fn finish(state: &mut State, head: &Head) -> Result<(), SnapshotError> {
    state.tasks.free_deleted();
    // An earlier release may have told other classes apart. Durations are only expected.
    if state.classes.rows().len() == head.classes.len() {
        state.classes.set_means(&head.classes);
    }
    state.leases = head.leases;
    state.restores = Restores::of_count(head.restores);
    state.fair.set_clock(head.fair_clock);
    for (row, frozen) in head.studies.iter().enumerate() {
        let study = &mut state.studies[row];
        if study.tasks.contains(&TaskIx(u32::MAX)) {
            return Err(damaged("a study lacks one of its tasks"));
        }
        for (tally, (_, seconds)) in study.stages.iter_mut().zip(&frozen.stages) {
            tally.seconds = Seconds::new(*seconds).map_err(damaged)?;
        }
        study.runnable = study.control == Control::Running && !study.queue.is_empty();
        if study.runnable {
            state.fair.restore(StudyIx(row as u32), study.virtual_time);
        }
    }
    Ok(())
}

fn worker_id(bytes: [u8; 16]) -> WorkerId {
    WorkerId(reprise_domain::Uuid::from_bytes(bytes))
}
