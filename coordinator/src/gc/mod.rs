//! The garbage collector of the artifact store: lists what is stored, marks what is
//! still needed, and sweeps the rest once it has been there for a grace.
//!
//! Listed first and marked then: what was stored after the listing is not looked
//! at, and what was referred to before the marking is marked.

mod mark;
mod sweep;

use std::time::{Duration, SystemTime};

pub use mark::Referrers;
pub use sweep::{Marked, sweep};

use serde::Serialize;

use crate::artifact::{ArtifactError, ArtifactStore};
use crate::engine::Unavailable;
use crate::store::StoreError;
use crate::store::load::LoadError;

/// How long an object that nobody needs stays at least, where nothing else is
/// said.
pub const GRACE: Duration = Duration::from_hours(24);

/// What a collection did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Collected {
    /// Objects that were listed.
    pub stored: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Objects that were removed.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
}

/// Why nothing, or not everything, was collected.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// The artifact store cannot be used.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The journal cannot be read, or a finished task's result is missing: then
    /// nobody knows which artifacts it needs, and nothing is removed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal gives no state.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The engine has stopped.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Removes what nobody needs any more; only counts it in a `dry_run`.
pub async fn collect(
    artifacts: &ArtifactStore,
    referrers: &Referrers,
    now: SystemTime,
    grace: Duration,
    dry_run: bool,
) -> Result<Collected, GcError> {
    let listed = artifacts.list().await?;
    let marked = referrers.mark(&listed).await?;
    let mut collected = Collected {
        stored: listed.len() as u64,
        stored_bytes: listed.iter().map(|object| object.bytes).sum(),
        ..Collected::default()
    };
    for object in sweep(&marked, &listed, now, grace) {
        if dry_run || artifacts.sweep(object).await? {
            collected.removed += 1;
            collected.removed_bytes += object.bytes;
        }
    }
    let (count, bytes) = artifacts.remove_unfinished(now - grace, dry_run).await?;
    collected.removed += count;
    collected.removed_bytes += bytes;
    Ok(collected)
}

#[cfg(test)]
mod tests;
