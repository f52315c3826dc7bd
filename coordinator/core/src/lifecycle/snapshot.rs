//! The state in one compact piece, so that a restart reads only what the journal
//! holds beyond it.
//!
//! A snapshot is a shortcut and never the truth: where there is none that this
//! version reads, the journal is replayed from its beginning (INV-5). It holds
//! what no other part of the state determines; counts, queues, orders and indexes
//! are built anew, by the code that keeps them in a live step. Specs travel in
//! their canonical JSON, the rest as postcard.

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{ArchIndex, Capability, Digest, Failure, Seconds, Seed, TaskKey, WorkerId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::core::Core;
use super::settings::Settings;
use super::state::State;
use super::study::{Control, Study, StudyIx};
use super::task::{Interest, Lease, Task, TaskIx, TaskState};
use super::template::{Aspect, TemplateIx};
use super::worker::Worker;
use crate::Timestamp;
use crate::plan::Stage;
use crate::scheduler::Mean;

/// Version of the form below. A snapshot of another one is not read.
pub const SNAPSHOT_FORMAT: u32 = 2;

/// Bytes of a snapshot's digest, at its end.
const DIGEST_BYTES: usize = 32;

/// A snapshot that makes no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It was written by another version.
    #[error("snapshot has format `{found}`, this program reads `{SNAPSHOT_FORMAT}`")]
    Format {
        /// Its format.
        found: u32,
    },
    /// It is not what was written.
    #[error("snapshot is damaged: {0}")]
    Damaged(String),
}

/// What comes before the tasks.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    tasks: u64,
    /// What the specs of tasks have in common, in the order in which they appeared.
    templates: Vec<Vec<u8>>,
    studies: Vec<FrozenStudy>,
    workers: Vec<FrozenWorker>,
    /// Mean seconds of each class of tasks, in the order in which they appeared.
    classes: Vec<Option<f64>>,
    fair_clock: u64,
    leases: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct FrozenStudy {
    spec: Vec<u8>,
    digest: [u8; 32],
    control: Control,
    /// Each with the slot seconds of its finished tasks: a sum of floats depends
    /// on its order, so it is kept.
    stages: Vec<(Vec<u8>, f64)>,
    tasks: u32,
    virtual_time: u64,
    submitted: Timestamp,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FrozenWorker {
    id: [u8; 16],
    capability: Vec<u8>,
    rates: Vec<(u16, f64)>,
    /// The last one first.
    inputs: Vec<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FrozenTask {
    key: [u8; 32],
    template: u32,
    seed: u64,
    aspect: FrozenAspect,
    /// Study, position and stage.
    interests: Vec<(u32, u32, u32)>,
    attempts: u32,
    failures: u32,
    lost: u32,
    disputed: bool,
    checkpoint: Option<([u8; 32], u64)>,
    state: FrozenState,
    second: Option<FrozenLease>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum FrozenAspect {
    Plain,
    Arch(u32),
    Input(u32),
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct FrozenLease {
    worker: [u8; 16],
    number: u32,
    since: u64,
    sequence: u64,
    cost: u32,
}

#[derive(Debug, Serialize, Deserialize)]
enum FrozenState {
    Waiting,
    Ready,
    BackingOff(u64),
    Leased(FrozenLease),
    Finished { result: [u8; 32], seconds: f64 },
    GivenUp(Vec<u8>),
    Blocked,
    Cancelled,
}

impl Core {
    /// The state as bytes for [`Core::restore`].
    ///
    /// # Panics
    /// Never: all parts serialise.
    pub fn snapshot(&self) -> Vec<u8> {
        let state = &self.state;
        let mut bytes = SNAPSHOT_FORMAT.to_le_bytes().to_vec();
        // A finished task takes some 85 bytes.
        bytes.reserve(state.tasks.len() * 96);
        let head = Head {
            tasks: state.tasks.len() as u64,
            templates: state.tasks.templates().specs().map(json).collect(),
            studies: state.studies.iter().map(freeze_study).collect(),
            workers: state
                .workers
                .iter()
                .map(|(id, worker)| freeze_worker(*id, worker))
                .collect(),
            classes: state
                .classes
                .rows()
                .iter()
                .map(|row| row.mean.map(Mean::seconds))
                .collect(),
            fair_clock: state.fair.clock(),
            leases: state.leases,
        };
        bytes = append(bytes, &head);
        for task in state.tasks.iter() {
            bytes = append(bytes, &freeze_task(task));
        }
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// The state that a snapshot was taken of, all workers disconnected: what a
    /// replay of the journal up to it gives.
    pub fn restore(settings: Settings, bytes: &[u8]) -> Result<Self, SnapshotError> {
        let format = bytes.first_chunk().copied().map(u32::from_le_bytes);
        let format = format.ok_or_else(|| damaged("it is empty"))?;
        if format != SNAPSHOT_FORMAT {
            return Err(SnapshotError::Format { found: format });
        }
        let (content, digest) = bytes
            .len()
            .checked_sub(DIGEST_BYTES)
            .filter(|&length| length > size_of::<u32>())
            .map(|length| bytes.split_at(length))
            .ok_or_else(|| damaged("it is too short"))?;
        if blake3::hash(content).as_bytes() != digest {
            return Err(damaged("its digest does not match"));
        }
        let (head, mut rest): (Head, _) =
            postcard::take_from_bytes(&content[size_of::<u32>()..]).map_err(damaged)?;
        let mut state = State::new(&settings);
        let tasks = usize::try_from(head.tasks).map_err(damaged)?;
        // No more than the bytes can hold: a wrong count must not take all memory.
        let capacity = tasks.min(rest.len());
        state.tasks.reserve(capacity);
        for template in &head.templates {
            state.tasks.template(&parsed(template)?, &mut state.classes);
        }
        if state.tasks.templates().len() != head.templates.len() {
            return Err(damaged("it has a template twice"));
        }
        thaw_studies(&mut state, &head)?;
        for worker in &head.workers {
            thaw_worker(&mut state, worker)?;
        }
        for _ in 0..tasks {
            let (task, after): (FrozenTask, _) =
                postcard::take_from_bytes(rest).map_err(damaged)?;
            thaw_task(&mut state, &task)?;
            rest = after;
        }
        finish(&mut state, &head)?;
        Ok(Self { settings, state })
    }
}

fn freeze_study(study: &Study) -> FrozenStudy {
    FrozenStudy {
        spec: json(&study.spec),
        digest: *study.digest.as_bytes(),
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

fn freeze_worker(id: WorkerId, worker: &Worker) -> FrozenWorker {
    FrozenWorker {
        id: *id.0.as_bytes(),
        capability: json(&worker.capability),
        rates: worker.rates.iter().collect(),
        inputs: worker.inputs.iter().map(|input| input.0).collect(),
    }
}

fn freeze_task(task: &Task) -> FrozenTask {
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
        checkpoint: extra
            .checkpoint
            .map(|checkpoint| (*checkpoint.digest.as_bytes(), checkpoint.bytes)),
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
        },
        second: extra.second.as_ref().map(freeze_lease),
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

/// Studies without their tasks yet.
fn thaw_studies(state: &mut State, head: &Head) -> Result<(), SnapshotError> {
    for frozen in &head.studies {
        let digest = Digest::from_bytes(frozen.digest);
        let mut study = Study::new(parsed(&frozen.spec)?, digest, frozen.submitted);
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
        state.study_index.insert(study.spec.name.clone(), ix);
        state.studies.push(study);
    }
    Ok(())
}

fn thaw_worker(state: &mut State, frozen: &FrozenWorker) -> Result<(), SnapshotError> {
    let capability: Capability = parsed(&frozen.capability)?;
    let credit = state.credit.of(capability.slots);
    let mut worker = Worker::new(capability, credit, Timestamp::default());
    worker.rates = frozen.rates.iter().copied().collect();
    worker.inputs = frozen.inputs.iter().copied().map(TaskIx).collect();
    state.workers.insert(worker_id(frozen.id), worker);
    Ok(())
}

fn thaw_task(state: &mut State, frozen: &FrozenTask) -> Result<(), SnapshotError> {
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
    let ix = state.add(Task::new(
        TaskKey(Digest::from_bytes(frozen.key)),
        TemplateIx(frozen.template),
        Seed(frozen.seed),
        aspect,
        TaskState::Waiting,
    ));
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
    };
    state.place(ix, next);
    let second = frozen.second.map(|second| thaw_lease(state, ix, second));
    let second = second.transpose()?;
    let task = &mut state.tasks[ix];
    task.attempts = frozen.attempts;
    let checkpoint = frozen.checkpoint.map(|(digest, bytes)| ArtifactRef {
        digest: Digest::from_bytes(digest),
        bytes,
    });
    task.change(|extra| {
        extra.failures = frozen.failures;
        extra.lost = frozen.lost;
        extra.disputed = frozen.disputed;
        extra.second = second;
        extra.checkpoint = checkpoint;
    });
    for &(study, position, stage) in &frozen.interests {
        let owner = state.studies.get_mut(study as usize);
        let owner = owner
            .filter(|owner| (stage as usize) < owner.stages.len())
            .ok_or_else(|| damaged("a task of an unknown study or stage"))?;
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
fn finish(state: &mut State, head: &Head) -> Result<(), SnapshotError> {
    if state.classes.rows().len() != head.classes.len() {
        return Err(damaged("it has other classes of tasks"));
    }
    state.classes.set_means(&head.classes);
    state.leases = head.leases;
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

fn append(bytes: Vec<u8>, value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, bytes).expect("memory takes what it is given")
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("domain types serialise")
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, SnapshotError> {
    serde_json::from_slice(bytes).map_err(damaged)
}

fn worker_id(bytes: [u8; 16]) -> WorkerId {
    WorkerId(reprise_domain::Uuid::from_bytes(bytes))
}

fn damaged(why: impl std::fmt::Display) -> SnapshotError {
    SnapshotError::Damaged(why.to_string())
}
