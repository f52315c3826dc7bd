//! Why a checkpoint cannot be read.

use zip::result::ZipError;

use crate::bytes::{FileError, SizeError};
use crate::pickle::PickleError;

/// A checkpoint that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// Neither container's first bytes.
    #[error(
        "not a torch checkpoint: expected a zip archive or torch's legacy magic number, found the bytes `{found}`"
    )]
    Container {
        /// The first bytes, hexadecimal.
        found: String,
    },
    /// The archive is broken or an entry is missing.
    #[error("cannot read `{entry}` of the checkpoint's zip archive")]
    Archive {
        /// The entry.
        entry: String,
        /// Why.
        source: ZipError,
    },
    /// An entry of the archive is broken or too long.
    #[error("cannot unpack `{entry}` of the checkpoint's zip archive")]
    Entry {
        /// The entry.
        entry: String,
        /// Why.
        source: SizeError,
    },
    /// The object description is refused.
    #[error("the checkpoint's {part} is refused")]
    Pickle {
        /// Which pickle of the file.
        part: &'static str,
        /// Why.
        source: PickleError,
    },
    /// A part is not what torch writes there.
    #[error("the checkpoint's {part} should be {expected}, found {found}")]
    Part {
        /// Which part of the file.
        part: &'static str,
        /// What torch writes.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A storage is missing, cut or too long.
    #[error("storage `{key}` should have {expected} bytes, found {found}")]
    Storage {
        /// Its key in the file.
        key: String,
        /// Bytes by its element count.
        expected: u64,
        /// Bytes in the file.
        found: u64,
    },
    /// There is more data than a reader takes.
    #[error("the checkpoint's tensors exceed {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: u64,
    },
    /// No dictionary of tensors.
    #[error("no state dictionary at top level or under one key, found {found}")]
    NoStateDict {
        /// What is there.
        found: String,
    },
    /// Several dictionaries of tensors.
    #[error("state dictionaries under {keys}, expected one")]
    SeveralStateDicts {
        /// The keys.
        keys: String,
    },
    /// A tensor that cannot be read.
    #[error("tensor `{name}`: {problem}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}
