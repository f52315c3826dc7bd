//! Published PyTorch checkpoints (`.pt`): the named parameters of a model, out of
//! both containers that `torch.save` has used. Nothing in the file is executed.
//!
//! A checkpoint is a state dictionary (name to tensor) or a dictionary with one
//! under one of its keys, as arch2vec's `{epoch, model_state, optimizer_state}`.
//!
//! Not here: libtorch, and what the names mean to a model.

mod error;
mod legacy_form;
mod state_dict;
mod storage;
mod zip_form;

use std::collections::BTreeMap;
use std::path::Path;

pub use error::CheckpointError;

use crate::bytes::read_file;
use crate::pickle::Limits;

/// Bound of a file, of its storages together and of its tensors together, in
/// bytes. The published autoencoders take 1 MB.
const LIMIT: u64 = 256 << 20;

/// The pickle of a checkpoint holds names and shapes only.
const PICKLE_LIMITS: Limits = Limits::DEFAULT;

/// A parameter or buffer of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Sizes of its dimensions; none for a scalar.
    pub shape: Vec<usize>,
    /// Its values in row-major order. Other element types are converted:
    /// batch norms count their batches in 64-bit integers.
    pub data: Vec<f32>,
}

/// Reads a checkpoint file.
pub fn read_checkpoint_file(path: &Path) -> Result<BTreeMap<String, NamedTensor>, CheckpointError> {
    read_checkpoint(&read_file(path, LIMIT)?)
}

/// Reads a checkpoint, telling the container by its first bytes.
pub fn read_checkpoint(bytes: &[u8]) -> Result<BTreeMap<String, NamedTensor>, CheckpointError> {
    if bytes.starts_with(zip_form::MAGIC) {
        zip_form::read(bytes)
    } else if bytes.starts_with(legacy_form::MAGIC) {
        legacy_form::read(bytes)
    } else {
        let found = bytes.iter().take(8).map(|byte| format!("{byte:02x}"));
        Err(CheckpointError::Container {
            found: found.collect::<Vec<_>>().join(" "),
        })
    }
}

#[cfg(test)]
mod tests;
