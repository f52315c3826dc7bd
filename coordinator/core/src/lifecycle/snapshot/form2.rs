//! Format 2 of a snapshot, which earlier versions wrote: no owners, no drained
//! workers, no deletions, and checkpoints without the attempt that saved them.

use serde::{Deserialize, Serialize};

use super::form::{
    FrozenAspect, FrozenCheckpoint, FrozenLease, FrozenState, FrozenStudy, FrozenTask,
    FrozenWorker, Head,
};
use crate::Timestamp;
use crate::lifecycle::study::Control;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head2 {
    tasks: u64,
    templates: Vec<Vec<u8>>,
    studies: Vec<FrozenStudy2>,
    workers: Vec<FrozenWorker2>,
    classes: Vec<Option<f64>>,
    fair_clock: u64,
    leases: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct FrozenStudy2 {
    spec: Vec<u8>,
    digest: [u8; 32],
    control: Control,
    stages: Vec<(Vec<u8>, f64)>,
    tasks: u32,
    virtual_time: u64,
    submitted: Timestamp,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FrozenWorker2 {
    id: [u8; 16],
    capability: Vec<u8>,
    rates: Vec<(u16, f64)>,
    inputs: Vec<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrozenTask2 {
    key: [u8; 32],
    template: u32,
    seed: u64,
    aspect: FrozenAspect,
    interests: Vec<(u32, u32, u32)>,
    attempts: u32,
    failures: u32,
    lost: u32,
    disputed: bool,
    checkpoint: Option<([u8; 32], u64)>,
    state: FrozenState,
    second: Option<FrozenLease>,
}

impl From<Head2> for Head {
    fn from(old: Head2) -> Self {
        Self {
            tasks: old.tasks,
            templates: old.templates,
            studies: old.studies.into_iter().map(Into::into).collect(),
            workers: old.workers.into_iter().map(Into::into).collect(),
            classes: old.classes,
            fair_clock: old.fair_clock,
            leases: old.leases,
            restores: 0,
        }
    }
}

impl From<FrozenStudy2> for FrozenStudy {
    fn from(old: FrozenStudy2) -> Self {
        Self {
            spec: old.spec,
            digest: old.digest,
            owner: None,
            control: old.control,
            stages: old.stages,
            tasks: old.tasks,
            virtual_time: old.virtual_time,
            submitted: old.submitted,
            started: old.started,
            finished: old.finished,
        }
    }
}

impl From<FrozenWorker2> for FrozenWorker {
    fn from(old: FrozenWorker2) -> Self {
        Self {
            id: old.id,
            capability: old.capability,
            rates: old.rates,
            inputs: old.inputs,
            drained: false,
        }
    }
}

impl From<FrozenTask2> for FrozenTask {
    fn from(old: FrozenTask2) -> Self {
        let newest = old.attempts;
        Self {
            key: old.key,
            template: old.template,
            seed: old.seed,
            aspect: old.aspect,
            interests: old.interests,
            attempts: old.attempts,
            failures: old.failures,
            lost: old.lost,
            disputed: old.disputed,
            checkpoint: old.checkpoint.map(|(digest, bytes)| FrozenCheckpoint {
                number: newest,
                digest,
                bytes,
                done: 0,
            }),
            state: old.state,
            second: old.second,
            avoid: None,
            before: None,
        }
    }
}
