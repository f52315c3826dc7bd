//! The state in one compact piece, so that a restart reads only what the journal
//! holds beyond it.
//!
//! A snapshot is a shortcut and never the truth: where there is none that this
//! version reads, the journal is replayed from its beginning (INV-5). It holds
//! what no other part of the state determines. Specs travel in their canonical
//! JSON, the rest as postcard.
//!
//! Format 3 has no audits, and is otherwise format 4. That has no tail, and is
//! otherwise format 5.

mod form;
mod form2;
mod freeze;
mod thaw;

use std::ops::RangeInclusive;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::form::{FrozenTask, Head};
use self::form2::{FrozenTask2, Head2};
use self::freeze::{freeze_audits, freeze_study, freeze_tail, freeze_task, freeze_worker};
use self::thaw::{finish, thaw_audits, thaw_studies, thaw_tail, thaw_task, thaw_worker};
use super::core::Core;
use super::settings::Settings;
use super::state::State;
use crate::scheduler::Mean;

/// Version of the form in which snapshots are written.
pub const SNAPSHOT_FORMAT: u32 = 5;

/// Versions that are read.
const READ_FORMATS: RangeInclusive<u32> = 2..=SNAPSHOT_FORMAT;

/// The first version that has audits.
const WITH_AUDITS: u32 = 4;

/// The first version that has a tail.
const WITH_TAIL: u32 = 5;

/// Bytes of a snapshot's digest, at its end.
const DIGEST_BYTES: usize = 32;

/// A snapshot that makes no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It was written by another version.
    #[error("snapshot has format `{found}`, this program reads 2 to {SNAPSHOT_FORMAT}")]
    Format {
        /// Its format.
        found: u32,
    },
    /// It is not what was written.
    #[error("snapshot is damaged: {0}")]
    Damaged(String),
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
            restores: state.restores.count,
        };
        bytes = append(bytes, &head);
        for task in state.tasks.iter() {
            bytes = append(bytes, &freeze_task(task));
        }
        bytes = append(bytes, &freeze_audits(state));
        bytes = append(bytes, &freeze_tail(state));
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// The state that a snapshot was taken of, all workers disconnected: what a
    /// replay of the journal up to it gives.
    pub fn restore(settings: Settings, bytes: &[u8]) -> Result<Self, SnapshotError> {
        let format = bytes.first_chunk().copied().map(u32::from_le_bytes);
        let format = format.ok_or_else(|| damaged("it is empty"))?;
        if !READ_FORMATS.contains(&format) {
            return Err(SnapshotError::Format { found: format });
        }
        let is_old = format == 2;
        let (content, digest) = bytes
            .len()
            .checked_sub(DIGEST_BYTES)
            .filter(|&length| length > size_of::<u32>())
            .map(|length| bytes.split_at(length))
            .ok_or_else(|| damaged("it is too short"))?;
        if blake3::hash(content).as_bytes() != digest {
            return Err(damaged("its digest does not match"));
        }
        let content = &content[size_of::<u32>()..];
        let (head, mut rest) = taken::<Head, Head2>(content, is_old)?;
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
            let (task, after) = taken::<FrozenTask, FrozenTask2>(rest, is_old)?;
            thaw_task(&mut state, &task)?;
            rest = after;
        }
        if format >= WITH_AUDITS {
            let (audits, after) = postcard::take_from_bytes(rest).map_err(damaged)?;
            thaw_audits(&mut state, audits)?;
            rest = after;
        }
        finish(&mut state, &head)?;
        if format >= WITH_TAIL {
            let (tail, _) = postcard::take_from_bytes(rest).map_err(damaged)?;
            thaw_tail(&mut state, &tail)?;
        }
        Ok(Self { settings, state })
    }
}

/// Reads a value, in its own form or in the older one.
fn taken<T, Old>(bytes: &[u8], is_old: bool) -> Result<(T, &[u8]), SnapshotError>
where
    T: DeserializeOwned + From<Old>,
    Old: DeserializeOwned,
{
    if is_old {
        let (old, rest) = postcard::take_from_bytes::<Old>(bytes).map_err(damaged)?;
        Ok((old.into(), rest))
    } else {
        postcard::take_from_bytes(bytes).map_err(damaged)
    }
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

fn damaged(why: impl std::fmt::Display) -> SnapshotError {
    SnapshotError::Damaged(why.to_string())
}
