//! Why a NATS-Bench folder cannot be read.

use std::path::PathBuf;

use reprise_domain::ArchIndex;

use crate::bytes::{FileError, SizeError};
use crate::pickle::PickleError;
use crate::table::RowsError;

/// A folder that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// A file of the folder, or the folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// An architecture has no file.
    #[error("`{}` is missing: the folder has no record of architecture {arch}", path.display())]
    Missing {
        /// The architecture.
        arch: ArchIndex,
        /// The file it should be in.
        path: PathBuf,
    },
    /// A file is not bzip2, or too long.
    #[error("cannot unpack `{}`", path.display())]
    Unpack {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SizeError,
    },
    /// A file is not a pickle of plain data.
    #[error("cannot read `{}`", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PickleError,
    },
    /// A file holds something else than a record.
    #[error("cannot read `{}`", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RecordError,
    },
    /// The records do not make a table.
    #[error("the records of `{}` do not make a table", folder.display())]
    Rows {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: RowsError,
    },
}

/// A value of a record that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at {at}: expected {expected}, found {found}")]
pub struct RecordError {
    /// Where in the record, e.g. `200/all_results/cifar10 seed 777/eval_acc1es`.
    pub at: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}
