//! The engine's loop: inbox, core, journal, actions.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use reprise_core::Timestamp;
use reprise_core::lifecycle::{Core, Misfit, Settings};
use reprise_core::plan::PlanError;
use reprise_data::digest as digest_of;
use reprise_domain::{AttemptId, Capability, Digest, TaskKey, WorkerId};
use reprise_proto::convert;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::attempts::Attempts;
use super::handle::{Handle, INBOX, OutboxMessage, Request, SessionId};
use super::history::{History, tell_newest};
use super::told::Teller;
use super::turn::Turn;
use super::wakeup::Wakeup;
use crate::artifact::ArtifactStore;
use crate::repeats::Repeats;
use crate::store::load::LoadError;
use crate::store::{Store, StoreError, StoredResult};

/// Requests that one commit may carry. More gain nothing: the commit's flush is
/// shared by hundreds already, and a client's answer waits for the whole batch.
const BATCH: usize = 1024;

/// What the engine is steered by.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Settings of the core.
    pub core: Settings,
    /// Bytes of records beyond the snapshot that a restart may have to read. The journal
    /// is compacted when it has grown beyond them.
    pub longest_tail: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            core: Settings::default(),
            // Read within some tenths of a second.
            longest_tail: 32 << 20,
        }
    }
}

/// Why the engine stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal does not make a state.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// A stored study has no plan any more.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl From<LoadError> for EngineError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Store(error) => Self::Store(error),
            LoadError::Misfit(error) => Self::Misfit(error),
        }
    }
}

/// A connected worker.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// Unbounded, since the engine must not wait for a slow worker; what can be
    /// in it is bounded by the worker's credit.
    pub(super) outbox: mpsc::UnboundedSender<OutboxMessage>,
    pub(super) host: String,
    /// What its results name as where they were made.
    pub(super) provenance_digest: Digest,
    /// The record of that, until a result is committed with it.
    pub(super) provenance: Option<(Digest, String)>,
}

impl Session {
    /// A session of a worker that offers `capability`, without a number yet.
    pub(super) fn new(
        outbox: mpsc::UnboundedSender<OutboxMessage>,
        capability: &Capability,
    ) -> Self {
        let record = convert::to_json(capability);
        let digest = digest_of(&record);
        let record = String::from_utf8_lossy(&record).into_owned();
        Self {
            id: SessionId(0),
            outbox,
            host: capability.host.clone(),
            provenance_digest: digest,
            provenance: Some((digest, record)),
        }
    }
}

/// The engine before it runs.
#[derive(Debug)]
pub struct Service {
    pub(super) core: Core,
    pub(super) store: Arc<dyn Store>,
    pub(super) artifacts: ArtifactStore,
    pub(super) sessions: HashMap<WorkerId, Session>,
    pub(super) last_session: u64,
    /// Results of tasks that others read: few, small, and read for every trial.
    pub(super) inputs: HashMap<TaskKey, StoredResult>,
    pub(super) history: History,
    pub(super) attempts: Attempts,
    pub(super) teller: Teller,
    /// Reports that came after the end of their attempt, each logged once.
    pub(super) late: Repeats<(WorkerId, AttemptId)>,
    inbox: mpsc::Receiver<Request>,
    wakeup: Wakeup,
    /// To send itself what background checks find.
    pub(super) own_inbox: mpsc::WeakSender<Request>,
    changes: watch::Sender<u64>,
}

impl Service {
    /// Reads the journal and makes the engine ready to run.
    pub async fn open(
        config: Config,
        store: Arc<dyn Store>,
        artifacts: ArtifactStore,
    ) -> Result<(Self, Handle), EngineError> {
        let (core, history) = History::read(config, &store).await?;
        let (requests, inbox) = mpsc::channel(INBOX);
        let (changes, watcher) = watch::channel(0);
        let (mut teller, ear) = Teller::new();
        tell_newest(store.reader().as_ref(), &mut teller).await;
        let attempts = Attempts::of(&core);
        let service = Self {
            core,
            store,
            artifacts,
            sessions: HashMap::new(),
            last_session: 0,
            inputs: HashMap::new(),
            history,
            attempts,
            teller,
            late: Repeats::new(),
            inbox,
            wakeup: Wakeup::default(),
            own_inbox: requests.downgrade(),
            changes,
        };
        Ok((
            service,
            Handle {
                inbox: requests,
                changes: watcher,
                ear,
            },
        ))
    }

    /// Runs until `shutdown`, or until the journal cannot be written.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), EngineError> {
        let mut requests = Vec::with_capacity(BATCH);
        loop {
            let wait = self.wakeup.wait(&self.core, now());
            tokio::select! {
                () = shutdown.cancelled() => return self.close().await,
                received = self.inbox.recv_many(&mut requests, BATCH) => {
                    if received == 0 {
                        return self.close().await;
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
            let now = now();
            // Whoever woke the loop: under load nothing else than requests does.
            let is_due = self.wakeup.is_due(&self.core, now);
            let mut turn = Turn::begin(&mut self, now);
            if is_due {
                turn.tick();
            }
            for request in requests.drain(..) {
                turn.take(request);
            }
            if turn.commit().await? {
                self.changes.send_modify(|version| *version += 1);
                self.history.shorten();
            }
        }
    }

    async fn close(self) -> Result<(), EngineError> {
        Ok(self.history.close(&self.core, self.store.as_ref()).await?)
    }
}

/// The wall clock as the core counts time: read once, and from then on moved by
/// the time that has passed, so that nobody who sets the clock lengthens a wait.
pub(crate) fn now() -> Timestamp {
    static START: OnceLock<(Timestamp, Instant)> = OnceLock::new();
    let (start, since) = START.get_or_init(|| {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let start = Timestamp::default().after(epoch.unwrap_or_default());
        (start, Instant::now())
    });
    start.after(since.elapsed())
}
