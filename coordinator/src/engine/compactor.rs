//! Keeps the journal short while the engine serves, without holding it up.
//!
//! The compactor never touches the engine's state: it reads the newest snapshot and
//! the records beyond it into a core of its own, which is the state after the last of
//! them (INV-5), on a thread of its own. It writes the new snapshot, and removes the
//! records that this one covers, in short transactions between which commits get
//! their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use reprise_core::lifecycle::Settings;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::background;
use crate::store::load::{LoadError, load};
use crate::store::{Pace, Snapshot, Store};

/// The compactor as the engine has it; it ends with this value.
#[derive(Debug)]
pub(super) struct Compactor {
    wake: Arc<Notify>,
    snapshot: Arc<AtomicU64>,
    task: JoinHandle<()>,
    stop: DropGuard,
}

impl Compactor {
    /// Waits to be woken. The newest snapshot has `snapshot` bytes.
    pub(super) fn start(settings: Settings, store: Arc<dyn Store>, snapshot: u64) -> Self {
        let wake = Arc::new(Notify::new());
        let snapshot = Arc::new(AtomicU64::new(snapshot));
        let stop = CancellationToken::new();
        let task = {
            let (wake, snapshot, stop) = (Arc::clone(&wake), Arc::clone(&snapshot), stop.clone());
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        () = wake.notified() => {}
                    }
                    let (store, snapshot) = (Arc::clone(&store), Arc::clone(&snapshot));
                    let done =
                        tokio::spawn(
                            async move { compact(settings, store.as_ref(), &snapshot).await },
                        );
                    match done.await {
                        Ok(Ok(())) => {}
                        // The journal grows, and is whole.
                        Ok(Err(error)) => {
                            let error: &dyn std::error::Error = &error;
                            tracing::error!(error, "the journal was not compacted");
                        }
                        Err(error) => tracing::error!(%error, "the journal was not compacted"),
                    }
                }
            })
        };
        Self {
            wake,
            snapshot,
            task,
            stop: stop.drop_guard(),
        }
    }

    /// Bytes of the newest snapshot.
    pub(super) fn snapshot_bytes(&self) -> u64 {
        self.snapshot.load(Ordering::Relaxed)
    }

    /// Lets it work, again if it works already.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Ends it, after what it has begun.
    pub(super) async fn stop(self) {
        drop(self.stop);
        // A task that panicked has been reported.
        let _ = self.task.await;
    }
}

/// Takes a snapshot of what the journal says, and removes the records before it.
async fn compact(
    settings: Settings,
    store: &dyn Store,
    snapshot: &AtomicU64,
) -> Result<(), LoadError> {
    let started = Instant::now();
    let reader = store.reader();
    // Reading a state keeps a processor busy for a second. What follows commits wait for.
    let read = background::run_future(async move {
        let loaded = load(settings, reader.as_ref()).await?;
        Ok::<_, LoadError>((loaded.through, loaded.core.snapshot()))
    });
    let (through, state) = read.await?;
    let bytes = state.len() as u64;
    snapshot.store(bytes, Ordering::Relaxed);
    store
        .keep_snapshot(&Snapshot { through, state }, Pace::Beside)
        .await?;
    let removed = store.compact(Pace::Beside).await?;
    tracing::info!(
        through,
        bytes,
        removed,
        ms = started.elapsed().as_millis() as u64,
        "journal compacted"
    );
    Ok(())
}
