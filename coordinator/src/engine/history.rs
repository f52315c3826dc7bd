//! How the engine comes by its state, and how it keeps that quick: a snapshot
//! whenever the journal has grown far enough beyond the last one.
//!
//! While the engine serves, snapshots are not taken of its own state but by
//! [`compactor`](super::compactor), beside it.

use std::sync::Arc;
use std::time::Instant;

use reprise_core::lifecycle::{Core, Settings};

use super::compactor::Compactor;
use super::service::{EngineError, now};
use super::told::Teller;
use crate::store::{Reader, Sequence, Snapshot, Store, StoreError};

/// Bytes of records beyond the snapshot that a restart may have to read: some
/// tenths of a second.
const LONGEST_TAIL: u64 = 32 << 20;

/// Records of before the start whose events are told to those who ask for the newest
/// ones: reading them takes some tens of milliseconds.
const TOLD: Sequence = 200;

/// Bytes beyond which a coordinator that ends in peace takes a snapshot.
const LONGEST_TAIL_AT_CLOSE: u64 = 1 << 20;

/// What the journal holds beyond the newest snapshot.
#[derive(Debug)]
pub(super) struct History {
    tail: u64,
    compactor: Compactor,
}

/// A state, and what it was read from.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) core: Core,
    /// The last record that is in it.
    pub(super) through: Sequence,
    /// Bytes of the snapshot.
    pub(super) snapshot: u64,
    /// Records beyond the snapshot, and their bytes.
    pub(super) records: u64,
    pub(super) tail: u64,
}

/// Reads the state by the newest snapshot and the records beyond it.
pub(super) async fn load(settings: Settings, reader: &dyn Reader) -> Result<Loaded, EngineError> {
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
) -> Result<(Core, Sequence, u64), EngineError> {
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

impl History {
    /// Reads the state, and has the journal kept short from then on.
    pub(super) async fn read(
        settings: Settings,
        store: &Arc<dyn Store>,
    ) -> Result<(Core, Self), EngineError> {
        let started = Instant::now();
        let reader = store.reader();
        let Loaded {
            mut core,
            snapshot,
            records,
            tail,
            ..
        } = load(settings, reader.as_ref()).await?;
        core.resume(now());
        tracing::info!(
            records,
            snapshot_bytes = snapshot,
            ms = started.elapsed().as_millis() as u64,
            "journal read"
        );
        // Counting reads the whole table, so nobody waits for it.
        let frozen = reader.frozen().await?;
        let finished = core.finished().count() as u64;
        tokio::spawn(async move { count(frozen.as_ref(), finished).await });
        let compactor = Compactor::start(settings, Arc::clone(store), snapshot);
        Ok((core, Self { tail, compactor }))
    }

    /// Notes a record.
    pub(super) fn grow(&mut self, bytes: u64) {
        self.tail += bytes;
    }

    /// Has a snapshot taken if it is time. The tail may grow to half of the snapshot,
    /// so that snapshots cost a bounded share of all that is written.
    pub(super) fn shorten(&mut self) {
        if self.tail > LONGEST_TAIL.max(self.compactor.snapshot_bytes() / 2) {
            self.tail = 0;
            self.compactor.wake();
        }
    }

    /// Leaves little to read for the next start.
    pub(super) async fn close(self, core: &Core, store: &dyn Store) -> Result<(), StoreError> {
        self.compactor.stop().await;
        if self.tail > LONGEST_TAIL_AT_CLOSE {
            let through = store.reader().newest().await?;
            keep(core, through, store).await;
        }
        Ok(())
    }
}

/// Has the newest events of the journal told, those of a compacted one as far as they
/// are there. Nothing depends on them, so that what cannot be read is left out.
pub(super) async fn tell_newest(reader: &dyn Reader, teller: &mut Teller) {
    let told = async {
        let newest = reader.newest().await?;
        let mut tell = |_, at, events| teller.tell(at, events);
        match reader.replay((newest - TOLD).max(0), &mut tell).await {
            // Compacted: what is there begins at the snapshot, or with the newest record.
            Err(StoreError::Gap { to, .. }) => reader.replay(to, &mut tell).await,
            replayed => replayed,
        }
    };
    if let Err(error) = told.await {
        tracing::warn!(%error, "what happened before the start cannot be told");
    }
}

/// Says whether each finished task has a stored result.
async fn count(reader: &dyn Reader, finished: u64) {
    match reader.result_count().await {
        Ok(stored) if stored == finished => {}
        Ok(stored) => tracing::error!(
            finished,
            stored,
            "stored results are missing, or are of no finished task; `reprise journal check` \
             names them: restore a backup, or let the tasks run again with `reprise invalidate`"
        ),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "stored results cannot be counted");
        }
    }
}

/// Keeps a snapshot of a state.
async fn keep(core: &Core, through: Sequence, store: &dyn Store) {
    let started = Instant::now();
    let state = core.snapshot();
    let bytes = state.len();
    match store.keep_snapshot(&Snapshot { through, state }).await {
        Ok(()) => tracing::info!(
            through,
            bytes,
            ms = started.elapsed().as_millis() as u64,
            "snapshot taken"
        ),
        // The journal is whole without it: no reason to stop.
        Err(error) => tracing::warn!(%error, "snapshot not taken"),
    }
}

/// The state of a store that no engine runs on.
pub(crate) async fn read_state(reader: &dyn Reader) -> Result<Core, EngineError> {
    Ok(load(Settings::default(), reader).await?.core)
}

/// Takes a snapshot of what a store holds, removes the records that it covers, and
/// gives their space back; returns how many.
pub(crate) async fn shorten(store: &dyn Store) -> Result<u64, EngineError> {
    let loaded = load(Settings::default(), store.reader().as_ref()).await?;
    let snapshot = Snapshot {
        through: loaded.through,
        state: loaded.core.snapshot(),
    };
    store.keep_snapshot(&snapshot).await?;
    let removed = store.compact().await?;
    store.reclaim().await?;
    Ok(removed)
}
