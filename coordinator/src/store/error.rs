//! What is wrong with a store, and how to go on.

use std::fmt;

use reprise_domain::{Digest, TaskKey};

use super::Sequence;

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
        source: Fault,
    },
    /// A journal of a later version, or a file that is not a journal.
    #[error("journal `{path}` has format {found}, this program reads 1 to {supported}")]
    Version {
        /// Where it is.
        path: String,
        /// Its format.
        found: i64,
        /// The newest format that is read.
        supported: i64,
    },
    /// A journal that is read as it is, and is older than that.
    #[error(
        "journal `{path}` has format {found}; a coordinator of this version that opens it \
         makes format {supported} of it"
    )]
    Older {
        /// Where it is.
        path: String,
        /// Its format.
        found: i64,
        /// The format that is read.
        supported: i64,
    },
    /// A statement failed: a full disk, a vanished file.
    #[error("{operation} the journal `{path}`")]
    Access {
        /// Where it is.
        path: String,
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: Fault,
    },
    /// A database that is not what was written.
    #[error("journal `{path}` is damaged: {verdict}; restore a backup")]
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
        source: Fault,
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
    /// A record that is not what was written.
    #[error("record {sequence} of the journal `{path}` {problem}; restore a backup")]
    Record {
        /// Where it is.
        path: String,
        /// Its number.
        sequence: Sequence,
        /// What is wrong with it.
        problem: RowProblem,
    },
    /// Records that are not there.
    #[error("records {from} to {to} of the journal `{path}` are missing; restore a backup")]
    Gap {
        /// Where it is.
        path: String,
        /// The first one.
        from: Sequence,
        /// The last one.
        to: Sequence,
    },
    /// A snapshot that is not what was written.
    #[error("the snapshot in the journal `{path}` is damaged: {problem}")]
    Snapshot {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A record of what results were made with that is not what was written.
    #[error(
        "the record `{digest}` of what results were made with, in the journal `{path}`, is not \
         what was written; restore a backup"
    )]
    Provenance {
        /// Where it is.
        path: String,
        /// The digest that results name it by.
        digest: Digest,
    },
    /// A stored result that is not what its task finished with.
    #[error(
        "the stored result of task `{task}` in the journal `{path}` {problem}; restore a \
         backup, or let the task run again with `reprise invalidate {task}`"
    )]
    Result {
        /// Where it is.
        path: String,
        /// Whose result.
        task: TaskKey,
        /// What is wrong with it.
        problem: RowProblem,
    },
}

impl StoreError {
    /// The task whose stored result is of no use, where that is what is wrong.
    pub const fn task(&self) -> Option<TaskKey> {
        match self {
            Self::Result { task, .. } => Some(*task),
            _ => None,
        }
    }
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
pub enum RowProblem {
    /// There is none.
    #[error("is missing")]
    Missing,
    /// Its checksum is another one.
    #[error("is not what was written: its checksum does not match")]
    Checksum,
    /// It is not of the expected form.
    #[error("is not readable: {0}")]
    Unreadable(serde_json::Error),
    /// It holds another result than the one that finished the task.
    #[error("has digest `{}`, but the task finished with `{}`", .0.found, .0.expected)]
    Digest(Box<Mismatch>),
}

/// A stored result of another digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    /// What the task finished with.
    pub expected: Digest,
    /// What is stored.
    pub found: Digest,
}

/// What a database says, told once: its driver repeats its words at every level of
/// the error.
#[derive(Debug)]
pub struct Fault(sqlx::Error);

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            sqlx::Error::Database(error) => {
                write!(f, "{}", error.message())?;
                match error.code().as_deref() {
                    // The log's index cannot grow: SQLite has no words for it.
                    Some(code @ "4874") => write!(f, " (code {code}; is the disk full?)"),
                    Some(code) => write!(f, " (code {code})"),
                    None => Ok(()),
                }
            }
            sqlx::Error::Io(error) => error.fmt(f),
            error => error.fmt(f),
        }
    }
}

impl std::error::Error for Fault {}
