//! What a snapshot holds, in the order in which it is written.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::lifecycle::study::Control;

/// What comes before the tasks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) tasks: u64,
    /// What the specs of tasks have in common, in the order in which they appeared.
    pub(super) templates: Vec<Vec<u8>>,
    pub(super) studies: Vec<FrozenStudy>,
    pub(super) workers: Vec<FrozenWorker>,
    /// Mean seconds of each class of tasks, in the order in which they appeared.
    pub(super) classes: Vec<Option<f64>>,
    pub(super) fair_clock: u64,
    pub(super) leases: u64,
    pub(super) restores: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrozenStudy {
    pub(super) spec: Vec<u8>,
    pub(super) digest: [u8; 32],
    pub(super) owner: Option<String>,
    pub(super) control: Control,
    /// Each with the slot seconds of its finished tasks: a sum of floats depends
    /// on its order, so it is kept.
    pub(super) stages: Vec<(Vec<u8>, f64)>,
    pub(super) tasks: u32,
    pub(super) virtual_time: u64,
    pub(super) submitted: Timestamp,
    pub(super) started: Option<Timestamp>,
    pub(super) finished: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrozenWorker {
    pub(super) id: [u8; 16],
    pub(super) capability: Vec<u8>,
    pub(super) rates: Vec<(u16, f64)>,
    /// The last one first.
    pub(super) inputs: Vec<u32>,
    pub(super) drained: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrozenTask {
    pub(super) key: [u8; 32],
    pub(super) template: u32,
    pub(super) seed: u64,
    pub(super) aspect: FrozenAspect,
    /// Study, position and stage.
    pub(super) interests: Vec<(u32, u32, u32)>,
    pub(super) attempts: u32,
    pub(super) failures: u32,
    pub(super) lost: u32,
    pub(super) disputed: bool,
    pub(super) checkpoint: Option<FrozenCheckpoint>,
    pub(super) state: FrozenState,
    pub(super) second: Option<FrozenLease>,
    pub(super) avoid: Option<[u8; 16]>,
    pub(super) before: Option<[u8; 32]>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct FrozenCheckpoint {
    pub(super) number: u32,
    pub(super) digest: [u8; 32],
    pub(super) bytes: u64,
    pub(super) done: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum FrozenAspect {
    Plain,
    Arch(u32),
    Input(u32),
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct FrozenLease {
    pub(super) worker: [u8; 16],
    pub(super) number: u32,
    pub(super) since: u64,
    pub(super) sequence: u64,
    pub(super) cost: u32,
}

/// What comes last, since format 5.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Tail {
    /// See `Restores`.
    pub(super) number_floor: u32,
    pub(super) restored: Option<Timestamp>,
    /// Workers that left while they were drained.
    pub(super) drained: Vec<[u8; 16]>,
    /// Since when tasks avoid a worker.
    pub(super) avoided: Vec<(u32, Timestamp)>,
}

/// Where the audit of a task stands. Comes after all tasks: few have one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrozenAudits(pub(super) Vec<(u32, FrozenAudit)>);

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum FrozenAudit {
    Due(Option<[u8; 16]>),
    Running(Option<[u8; 16]>),
    Agreed,
    Differed,
    /// Of format 4, which forgot who made the result.
    GivenUp,
    GivenUpOf(Option<[u8; 16]>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FrozenState {
    Waiting,
    Ready,
    BackingOff(u64),
    Leased(FrozenLease),
    Finished { result: [u8; 32], seconds: f64 },
    GivenUp(Vec<u8>),
    Blocked,
    Cancelled,
    Deleted,
}
