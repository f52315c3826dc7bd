//! Networks stacked from a searched cell, trained on real images.

mod digits;
mod network;
mod op;
mod train;

pub use op::{CellOp, EDGES};
pub use train::{Trained, flops, train};

/// Why a training gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CellNetError {
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}
