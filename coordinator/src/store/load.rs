//! The state that a store holds: its newest snapshot and the records beyond it. How an
//! engine keeps that quick to read is not here.

use reprise_core::lifecycle::{Core, Misfit, Settings};

use super::{Pace, Reader, Sequence, Snapshot, Store, StoreError};

/// Why a store gives no state.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The journal could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal does not make a state.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

/// A state, and what it was read from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) core: Core,
    /// The last record that is in it.
    pub(crate) through: Sequence,
    /// Bytes of the snapshot.
    pub(crate) snapshot: u64,
    /// Records beyond the snapshot, and their bytes.
    pub(crate) records: u64,
    pub(crate) tail: u64,
}

/// Reads the state by the newest snapshot and the records beyond it.
pub(crate) async fn load(settings: Settings, reader: &dyn Reader) -> Result<Loaded, LoadError> {
    let (mut core, after, snapshot) = begin(settings, reader).await?;
    let mut misfit = None;
    let mut through = after;
    let replayed = reader
        .replay(after, &mut |sequence, at, events| {
            through = sequence;
            for event in events {
                if misfit.is_none() {
                    misfit = core.replay(&event, at).err();
                }
            }
        })
        .await?;
    match misfit {
        Some(misfit) => Err(misfit.into()),
        None => Ok(Loaded {
            core,
            through,
            snapshot,
            records: replayed.records,
            tail: replayed.bytes,
        }),
    }
}

/// The state of the newest snapshot, the last record in it, and its size. A snapshot
/// that cannot be used costs time only, as long as the records before it are there.
async fn begin(
    settings: Settings,
    reader: &dyn Reader,
) -> Result<(Core, Sequence, u64), LoadError> {
    let reason = match reader.snapshot().await {
        Ok(Some(Snapshot { through, state })) => match Core::restore(settings, &state) {
            Ok(core) => return Ok((core, through, state.len() as u64)),
            Err(error) => Some(error.to_string()),
        },
        Ok(None) => None,
        Err(error @ StoreError::Snapshot { .. }) => Some(error.to_string()),
        Err(error) => return Err(error.into()),
    };
    if reader.is_compacted().await? {
        let reason = reason.unwrap_or_else(|| "it is missing".to_owned());
        return Err(StoreError::Incomplete { reason }.into());
    }
    if let Some(error) = reason {
        tracing::warn!(%error, "the whole journal is read instead");
    }
    Ok((Core::new(settings), 0, 0))
}

/// The state of a store that no engine runs on.
pub(crate) async fn read_state(reader: &dyn Reader) -> Result<Core, LoadError> {
    Ok(load(Settings::default(), reader).await?.core)
}

/// Takes a snapshot of what a store holds, removes the records that it covers, and
/// gives their space back; returns how many.
pub(crate) async fn shorten(store: &dyn Store) -> Result<u64, LoadError> {
    let loaded = load(Settings::default(), store.reader().as_ref()).await?;
    let snapshot = Snapshot {
        through: loaded.through,
        state: loaded.core.snapshot(),
    };
    store.keep_snapshot(&snapshot, Pace::AtOnce).await?;
    let removed = store.compact(Pace::AtOnce).await?;
    store.reclaim().await?;
    Ok(removed)
}
