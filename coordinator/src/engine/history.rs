//! How the engine comes by its state, and how it keeps that quick: a snapshot
//! whenever the journal has grown far enough beyond the last one.
//!
//! While the engine serves, snapshots are not taken of its own state but by
//! [`compactor`](super::compactor), beside it.

use std::sync::Arc;
use std::time::Instant;

use reprise_core::lifecycle::Core;

use super::compactor::Compactor;
use super::service::{Config, EngineError, now};
use super::told::Teller;
use crate::store::load::{Loaded, load};
use crate::store::{Pace, Reader, Sequence, Snapshot, Store, StoreError};

/// Records of before the start whose events are told to those who ask for the newest
/// ones: reading them takes some tens of milliseconds.
const TOLD: Sequence = 200;

/// Bytes beyond which a coordinator that ends in peace takes a snapshot.
const LONGEST_TAIL_AT_CLOSE: u64 = 1 << 20;

/// What the journal holds beyond the newest snapshot.
#[derive(Debug)]
pub(super) struct History {
    tail: u64,
    longest_tail: u64,
    compactor: Compactor,
}

impl History {
    /// Reads the state, and has the journal kept short from then on.
    pub(super) async fn read(
        config: Config,
        store: &Arc<dyn Store>,
    ) -> Result<(Core, Self), EngineError> {
        let Config {
            core: settings,
            longest_tail,
        } = config;
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
        let history = Self {
            tail,
            longest_tail,
            compactor,
        };
        Ok((core, history))
    }

    /// Notes a record.
    pub(super) fn grow(&mut self, bytes: u64) {
        self.tail += bytes;
    }

    /// Has a snapshot taken if it is time. The tail may grow to half of the snapshot,
    /// so that snapshots cost a bounded share of all that is written.
    pub(super) fn shorten(&mut self) {
        if self.tail > self.longest_tail.max(self.compactor.snapshot_bytes() / 2) {
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
    match store
        .keep_snapshot(&Snapshot { through, state }, Pace::AtOnce)
        .await
    {
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
