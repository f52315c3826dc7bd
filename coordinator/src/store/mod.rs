//! The journal and the results: what survives a crash of the coordinator.
//!
//! A store knows records, not their meaning: it never interprets an event.
//!
//! # Contract
//!
//! Every implementation passes the contract in `suite`.
//! * When [`Store::commit`] returns, the whole batch is durable; after a crash
//!   during it, either all of the batch is there or none of it.
//! * Records are replayed in the order they were committed, each once, and only if
//!   they are what was written.
//! * A result is committed together with the event that names its digest, and is
//!   read by that digest: a row that is missing or holds anything else is an error.
//! * A snapshot is whole or not there, and the newest one replaces the others.
//! * Compaction removes records that the snapshot covers, and only those.
//! * A store has one writer. Where several processes may open it, the one that
//!   has lost it cannot commit any more ([`Store::lost`]). Readers are apart from
//!   the writer and never wait for it.
//!
//! # Retention
//!
//! * A record is kept until a snapshot covers it; the newest record stays.
//! * Two snapshots are there for a moment only, while a new one is written.
//! * A result stays until [`Batch::removed`] names its task.
//! * Provenance records stay: there is one for each kind of worker that ever won.
//! * Of attempts that ended in vain the newest 200,000 stay.
//! * SQLite's file does not shrink by that: freed pages are used again. `reprise
//!   journal compact` gives them back.

mod attempts;
pub mod check;
mod error;
mod lease;
pub mod load;
pub mod postgres;
mod row;
pub mod sqlite;
#[cfg(test)]
mod suite;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use reprise_core::Timestamp;
use reprise_core::lifecycle::Event;
use reprise_domain::record::AttemptRecord;
use reprise_domain::{Digest, TaskKey};

pub use error::{Fault, Mismatch, RowProblem, StoreError};
pub use reprise_domain::record::StoredResult;

/// What one commit makes durable.
#[derive(Debug, Default)]
pub struct Batch {
    /// When the events were decided.
    pub at: Timestamp,
    /// Events in the order that the core applied them.
    pub events: Vec<Event>,
    /// Tasks whose stored results are forgotten, before `results` are stored.
    pub removed: Vec<TaskKey>,
    /// Results that the events refer to; of two for one task the later one counts.
    pub results: Vec<(TaskKey, StoredResult)>,
    /// Records that results name as [`StoredResult::provenance`], by their digests.
    /// One that is stored already stays.
    pub provenance: Vec<(Digest, String)>,
    /// Attempts that ended without finishing their task, for people; see `attempts`.
    pub attempts: Vec<(TaskKey, AttemptRecord)>,
}

impl Batch {
    /// Whether there is nothing to make durable.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.removed.is_empty()
            && self.results.is_empty()
            && self.provenance.is_empty()
            && self.attempts.is_empty()
    }
}

/// Number of a record in the order of commits.
pub type Sequence = i64;

/// The state after some record, as the core wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last record that it covers.
    pub through: Sequence,
    /// What `Core::snapshot` gave.
    pub state: Vec<u8>,
}

/// How much a replay read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Records visited.
    pub records: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Largest piece of a snapshot in one row and one transaction, in bytes.
const SNAPSHOT_CHUNK: usize = 1 << 20;

/// How long upkeep beside commits rests after each step, in times of the step.
const RESTS: u32 = 3;

/// Whether upkeep leaves the disk to commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// One step follows another: nobody else uses the store.
    AtOnce,
    /// Rests come between the steps. A step that flushes a megabyte delays the next
    /// commit, and steps without rests delay all of them.
    Beside,
}

impl Pace {
    /// Rests after a step.
    async fn rest(self, begun: Instant) {
        if self == Self::Beside {
            tokio::time::sleep(begun.elapsed() * RESTS).await;
        }
    }
}

/// Receives the journal's records during a replay.
pub type Visitor<'a> = dyn FnMut(Sequence, Timestamp, Vec<Event>) + Send + 'a;

/// Receives stored results, each with the digest of its result, and the faults of
/// those that are damaged.
pub type ResultVisitor<'a> =
    dyn FnMut(TaskKey, Result<(Digest, StoredResult), StoreError>) + Send + 'a;

/// The one writer of a durable journal with results beside it.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Makes a batch durable, all of it or none; returns the size of its record
    /// in bytes.
    async fn commit(&self, batch: &Batch) -> Result<u64, StoreError>;

    /// Reads beside the writer, at a low priority where that can be had.
    fn reader(&self) -> Arc<dyn Reader>;

    /// Reads that commits wait for: nothing else stands in their way.
    fn prompt_reader(&self) -> Arc<dyn Reader> {
        self.reader()
    }

    /// Returns when another process may have taken the store over.
    async fn lost(&self) -> StoreError {
        std::future::pending().await
    }

    /// A number for the chunks of a snapshot in the making.
    async fn begin_snapshot(&self) -> Result<i64, StoreError>;

    /// Stores a chunk of a snapshot in the making.
    async fn put_chunk(&self, generation: i64, chunk: i64, state: &[u8]) -> Result<(), StoreError>;

    /// Makes a snapshot the newest one, unless there is one that covers more; says
    /// whether it did.
    async fn end_snapshot(
        &self,
        generation: i64,
        through: Sequence,
        chunks: i64,
    ) -> Result<bool, StoreError>;

    /// Removes a few chunks that are not of the newest snapshot; returns how many.
    async fn sweep_chunks(&self) -> Result<u64, StoreError>;

    /// Removes a few records that the newest snapshot covers, except the newest
    /// record; returns how many.
    async fn sweep_records(&self) -> Result<u64, StoreError>;

    /// Gives space that is not used any more back to the file system. Nobody else may
    /// use the store meanwhile.
    async fn reclaim(&self) -> Result<(), StoreError>;

    /// Keeps a snapshot instead of the one before. In many short transactions, so
    /// that commits get their turn between them; not at the same time by two callers.
    async fn keep_snapshot(&self, snapshot: &Snapshot, pace: Pace) -> Result<(), StoreError> {
        // Left behind by a process that ended in the middle of this.
        self.sweep_all_chunks(pace).await?;
        let generation = self.begin_snapshot().await?;
        let mut chunks = 0;
        for state in snapshot.state.chunks(SNAPSHOT_CHUNK) {
            let begun = Instant::now();
            self.put_chunk(generation, chunks, state).await?;
            pace.rest(begun).await;
            chunks += 1;
        }
        self.end_snapshot(generation, snapshot.through, chunks)
            .await?;
        self.sweep_all_chunks(pace).await
    }

    /// Removes all chunks that are not of the newest snapshot.
    async fn sweep_all_chunks(&self, pace: Pace) -> Result<(), StoreError> {
        loop {
            let begun = Instant::now();
            if self.sweep_chunks().await? == 0 {
                return Ok(());
            }
            pace.rest(begun).await;
        }
    }

    /// Removes the records that the newest snapshot covers, except the newest
    /// record, by which the numbers go on; returns how many it removed.
    async fn compact(&self, pace: Pace) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let begun = Instant::now();
            match self.sweep_records().await? {
                0 => return Ok(removed),
                more => removed += more,
            }
            pace.rest(begun).await;
        }
    }
}

/// Reads a journal, also while another process writes it. No method changes anything.
#[async_trait]
pub trait Reader: Send + Sync + std::fmt::Debug {
    /// A reader whose reads all see the state of now.
    async fn frozen(&self) -> Result<Arc<dyn Reader>, StoreError>;

    /// Visits every record beyond `after` in commit order.
    async fn replay(
        &self,
        after: Sequence,
        visit: &mut Visitor<'_>,
    ) -> Result<Replayed, StoreError>;

    /// Number of the newest record, 0 without any.
    async fn newest(&self) -> Result<Sequence, StoreError>;

    /// The newest snapshot.
    async fn snapshot(&self) -> Result<Option<Snapshot>, StoreError>;

    /// Whether records were ever removed, so that the journal alone does not give
    /// the state.
    async fn is_compacted(&self) -> Result<bool, StoreError>;

    /// The results of finished tasks in the given order, each by the digest that the
    /// task finished with. Fails for the first one that is not stored so.
    async fn results(&self, wanted: &[(TaskKey, Digest)]) -> Result<Vec<StoredResult>, StoreError>;

    /// How many results are stored.
    async fn result_count(&self) -> Result<u64, StoreError>;

    /// Visits every stored result in the order of keys.
    async fn scan(&self, visit: &mut ResultVisitor<'_>) -> Result<(), StoreError>;

    /// A record of a program and a device; see [`StoredResult::provenance`].
    async fn provenance(&self, digest: Digest) -> Result<Option<String>, StoreError>;

    /// The newest attempts at a task that ended without finishing it, the oldest one
    /// first.
    async fn attempts(&self, task: TaskKey) -> Result<Vec<AttemptRecord>, StoreError>;

    /// What the database finds wrong with its own structure.
    async fn faults(&self) -> Result<Vec<String>, StoreError>;
}
