//! The journal and the results: what survives a crash of the coordinator.
//!
//! A store knows records, not their meaning: it never interprets an event.
//!
//! # Contract
//!
//! Every implementation passes the contract in `suite`.
//! * When [`Store::commit`] returns, the whole batch is durable; after a crash
//!   during it, either all of the batch is there or none of it.
//! * Records are replayed in the order they were committed, each once.
//! * Committing a result for a key that has one leaves the first untouched: a
//!   finished task's result never changes (INV-2).
//! * A snapshot is whole or not there, and the newest one replaces the others.
//! * Compaction removes records that the snapshot covers, and only those.
//! * A store has one writer. Where several processes may open it, the one that
//!   has lost it cannot commit any more ([`Store::lost`]).

pub mod postgres;
pub mod sqlite;
#[cfg(test)]
mod suite;

use async_trait::async_trait;
use reprise_core::Timestamp;
use reprise_core::lifecycle::Event;
use reprise_domain::{TaskKey, TaskResult, Usage};
use serde::{Deserialize, Serialize};

/// What one commit makes durable.
#[derive(Debug, Default)]
pub struct Batch {
    /// When the events were decided.
    pub at: Timestamp,
    /// Events in the order that the core applied them.
    pub events: Vec<Event>,
    /// Results that the events refer to.
    pub results: Vec<(TaskKey, StoredResult)>,
}

impl Batch {
    /// Whether there is nothing to make durable.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.results.is_empty()
    }
}

/// A finished task's result with what its winning attempt cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredResult {
    /// The result.
    pub result: TaskResult,
    /// Its cost.
    pub usage: Usage,
    /// Host that ran it.
    pub host: String,
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

/// Largest piece of a snapshot in one row, in bytes.
const SNAPSHOT_CHUNK: usize = 16 << 20;

/// Receives the journal's records during a replay.
pub type Visitor<'a> = dyn FnMut(Timestamp, Vec<Event>) + Send + 'a;

/// A durable journal with results beside it.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Makes a batch durable, all of it or none; returns the size of its record
    /// in bytes.
    async fn commit(&self, batch: &Batch) -> Result<u64, StoreError>;

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

    /// Keeps a snapshot instead of the one before.
    async fn keep_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError>;

    /// Removes the records that the newest snapshot covers, except the newest
    /// record, by which the numbers go on; returns how many it removed.
    async fn compact(&self) -> Result<u64, StoreError>;

    /// Whether records were ever removed, so that the journal alone does not give
    /// the state.
    async fn is_compacted(&self) -> Result<bool, StoreError>;

    /// Returns when another process may have taken the store over.
    async fn lost(&self) -> StoreError {
        std::future::pending().await
    }

    /// The result of a finished task.
    async fn result(&self, key: TaskKey) -> Result<Option<StoredResult>, StoreError>;
}

impl Replayed {
    /// Reads one record and passes it on.
    fn visit(
        &mut self,
        sequence: Sequence,
        at_ms: i64,
        text: &str,
        visit: &mut Visitor<'_>,
    ) -> Result<(), StoreError> {
        let events =
            serde_json::from_str(text).map_err(|source| StoreError::Record { sequence, source })?;
        self.records += 1;
        self.bytes += text.len() as u64;
        visit(Timestamp(at_ms as u64), events);
        Ok(())
    }
}

/// A result from the row that holds it, if there is one.
fn decoded(row: Option<String>) -> Result<Option<StoredResult>, StoreError> {
    row.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|source| StoreError::Record {
            sequence: 0,
            source,
        })
}

/// A snapshot from the rows that hold it.
fn joined(chunks: Vec<(Sequence, Vec<u8>)>) -> Option<Snapshot> {
    let mut chunks = chunks.into_iter();
    let (through, mut state) = chunks.next()?;
    for (_, chunk) in chunks {
        state.extend_from_slice(&chunk);
    }
    Some(Snapshot { through, state })
}

fn reading(source: sqlx::Error) -> StoreError {
    StoreError::Access {
        operation: "read",
        source,
    }
}

/// A store that does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be opened or is not ours.
    #[error("open the journal `{path}`")]
    Open {
        /// Where it is.
        path: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A journal of a later version.
    #[error("journal `{path}` has format {found}, this program reads up to {supported}")]
    Version {
        /// Where it is.
        path: String,
        /// Its format.
        found: i64,
        /// The newest format that is read.
        supported: i64,
    },
    /// A statement failed: a full disk, a vanished file.
    #[error("{operation} the journal")]
    Access {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// A file that is not what was written.
    #[error("journal `{path}` is damaged: {verdict}")]
    Damaged {
        /// Where it is.
        path: String,
        /// What the database says.
        verdict: String,
    },
    /// Another process may write now.
    #[error("lost the lead of `{place}`; another coordinator may have it now")]
    Lost {
        /// Which store.
        place: String,
        /// How that was noticed.
        #[source]
        source: sqlx::Error,
    },
    /// Records were removed that the state cannot be had without.
    #[error(
        "the journal was compacted, and its snapshot cannot be used: {reason}; start the \
         version of `reprise` that wrote it, or restore a backup"
    )]
    Incomplete {
        /// What is wrong with the snapshot.
        reason: String,
    },
    /// A record that cannot be read back.
    #[error("record {sequence} of the journal is not readable")]
    Record {
        /// Its number.
        sequence: i64,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}
