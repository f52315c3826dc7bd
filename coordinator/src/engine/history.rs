//! How the engine comes by its state, and how it keeps that quick: a snapshot
//! whenever the journal has grown far enough beyond the last one.

use std::time::Instant;

use reprise_core::lifecycle::{Core, Settings};

use super::service::{EngineError, now};
use crate::store::{Snapshot, Store, StoreError};

/// Bytes of records beyond the snapshot that a restart may have to read: some
/// tenths of a second.
const LONGEST_TAIL: u64 = 32 << 20;

/// Bytes beyond which a coordinator that ends in peace takes a snapshot.
const LONGEST_TAIL_AT_CLOSE: u64 = 1 << 20;

/// What the journal holds beyond the newest snapshot.
#[derive(Debug, Default)]
pub(super) struct History {
    tail: u64,
    /// Size of the newest snapshot. The tail may grow to half of it, so that
    /// snapshots cost a bounded share of all that is written.
    snapshot: u64,
}

impl History {
    /// The state by the newest snapshot and the records beyond it.
    pub(super) async fn read(
        settings: Settings,
        store: &dyn Store,
    ) -> Result<(Core, Self), EngineError> {
        let started = Instant::now();
        let snapshot = store.snapshot().await?;
        let size = snapshot.as_ref().map_or(0, |snapshot| snapshot.state.len());
        let (mut core, after) = match snapshot {
            Some(Snapshot { through, state }) => match Core::restore(settings, &state) {
                Ok(core) => (core, through),
                Err(error) if store.is_compacted().await? => {
                    let reason = error.to_string();
                    return Err(StoreError::Incomplete { reason }.into());
                }
                Err(error) => {
                    tracing::warn!(%error, "the whole journal is read instead");
                    (Core::new(settings), 0)
                }
            },
            None if store.is_compacted().await? => {
                let reason = "it is missing".to_owned();
                return Err(StoreError::Incomplete { reason }.into());
            }
            None => (Core::new(settings), 0),
        };
        let mut misfit = None;
        let replayed = store
            .replay(after, &mut |at, events| {
                for event in events {
                    if misfit.is_none() {
                        misfit = core.replay(&event, at).err();
                    }
                }
            })
            .await?;
        if let Some(misfit) = misfit {
            return Err(misfit.into());
        }
        core.resume(now());
        tracing::info!(
            records = replayed.records,
            snapshot_bytes = size,
            ms = started.elapsed().as_millis() as u64,
            "journal read"
        );
        let history = Self {
            tail: replayed.bytes,
            snapshot: size as u64,
        };
        Ok((core, history))
    }

    /// Notes a record.
    pub(super) fn grow(&mut self, bytes: u64) {
        self.tail += bytes;
    }

    /// Takes a snapshot if it is time. To be called between two commits.
    pub(super) async fn shorten(
        &mut self,
        core: &Core,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        if self.tail > LONGEST_TAIL.max(self.snapshot / 2) {
            self.take(core, store).await?;
        }
        Ok(())
    }

    /// Leaves little to read for the next start.
    pub(super) async fn close(&mut self, core: &Core, store: &dyn Store) -> Result<(), StoreError> {
        if self.tail > LONGEST_TAIL_AT_CLOSE {
            self.take(core, store).await?;
        }
        Ok(())
    }

    async fn take(&mut self, core: &Core, store: &dyn Store) -> Result<(), StoreError> {
        let started = Instant::now();
        let state = core.snapshot();
        self.snapshot = state.len() as u64;
        let through = store.newest().await?;
        match store.keep_snapshot(Snapshot { through, state }).await {
            Ok(()) => tracing::info!(
                through,
                bytes = self.snapshot,
                ms = started.elapsed().as_millis() as u64,
                "snapshot taken"
            ),
            // The journal is whole without it: no reason to stop.
            Err(error) => tracing::warn!(%error, "snapshot not taken"),
        }
        self.tail = 0;
        Ok(())
    }
}

/// Takes a snapshot of what a store holds and removes the records that it covers;
/// returns how many.
pub(crate) async fn shorten(store: &dyn Store) -> Result<u64, EngineError> {
    let (core, mut history) = History::read(Settings::default(), store).await?;
    history.take(&core, store).await?;
    Ok(store.compact().await?)
}
