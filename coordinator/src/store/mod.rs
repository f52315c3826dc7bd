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

/// Receives the journal's records during a replay.
pub type Visitor<'a> = dyn FnMut(Timestamp, Vec<Event>) + Send + 'a;

/// A durable journal with results beside it.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Makes a batch durable, all of it or none.
    async fn commit(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Visits every record in commit order; returns how many there were.
    async fn replay(&self, visit: &mut Visitor<'_>) -> Result<u64, StoreError>;

    /// The result of a finished task.
    async fn result(&self, key: TaskKey) -> Result<Option<StoredResult>, StoreError>;
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
