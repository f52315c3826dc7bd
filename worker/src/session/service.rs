//! The session's loop.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, AttemptOutcome, Capability};
use reprise_proto::client::Clients;
use reprise_proto::credential::Credential;
use reprise_proto::status::{ApiError, ErrorCode};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Incoming};
use super::delivery::{Upload, send_checkpoint, upload};
use crate::artifacts::{ArtifactError, Artifacts};
use crate::checkpoints::Checkpoints;
use crate::identity::{Home, HomeError};
use crate::packing::Packs;
use crate::runner::Runner;
use crate::slots::{Assignment, Cancel, Ended, Slots};
use crate::spool::{Spool, SpoolError};

/// First wait before dialling again; doubled up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Longest wait before dialling again: short against the coordinator's grace of
/// 30 s, so that a restart of it costs no attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long a worker that was asked to leave may take to save its work and to
/// hand it back. The shortest notice in use is the 30 s of Google Cloud's spot
/// machines.
const NOTICE: Duration = Duration::from_secs(25);

/// Longest wait for the answer to a hello.
const PATIENCE: Duration = Duration::from_secs(15);

/// What slots said that is handled in one go: the results share one write to the
/// spool.
const SAID_AT_ONCE: usize = 256;

/// What a worker is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the coordinator listens, `https://HOST:PORT` or `http://HOST:PORT`;
    /// where several stand in for each other, all of them, separated by commas.
    pub coordinator: String,
    /// What it shows to an encrypted coordinator.
    pub credential: Option<Credential>,
    /// Threads that run one task each.
    pub threads: usize,
    /// How pretraining is packed, if it is.
    pub packs: Option<Packs>,
    /// Most work that is lost with its machine.
    pub checkpoint_interval: Duration,
    /// Its own directory: identity, spool, checkpoints and caches.
    pub directory: PathBuf,
    /// What it offers.
    pub capability: Capability,
}

/// Why the worker stopped.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Its directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Its spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Its artifact cache cannot be used.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// Its slots cannot be started.
    #[error("start the slots")]
    Slots(#[source] std::io::Error),
    /// The coordinator will never take it.
    #[error("the coordinator refused this worker: {0}")]
    Refused(ApiError),
}

/// The worker before it runs.
#[derive(Debug)]
pub struct Service {
    config: Config,
    home: Home,
    spool: Spool,
    slots: Slots,
    from_slots: mpsc::UnboundedReceiver<FromSlot>,
    artifacts: Artifacts,
    clients: watch::Sender<Option<Clients>>,
    /// Attempts that the slots have, running or not begun.
    held: HashMap<AttemptId, Cancel>,
    /// Newest checkpoint of each attempt that has one to be sent.
    checkpoints: HashMap<AttemptId, ArtifactRef>,
    /// Whether this process has been welcomed before.
    welcomed: bool,
    /// Whether it was asked to leave.
    draining: bool,
}

/// What slots say, in order.
#[derive(Debug)]
enum FromSlot {
    Checkpoint(AttemptId, ArtifactRef),
    Ended(Ended),
}

impl Service {
    /// Takes the directory, reads the spool and starts the slots.
    pub fn open(config: Config) -> Result<Self, SessionError> {
        let home = Home::take(&config.directory)?;
        let spool = Spool::open(&home.directory.join("spool"))?;
        let (clients, watcher) = watch::channel(None);
        let runtime = tokio::runtime::Handle::current();
        let artifacts = Artifacts::new(&home.directory.join("artifacts"), runtime, watcher)?;
        // Unbounded, but a slot adds at most one entry every few seconds.
        let (sender, from_slots) = mpsc::unbounded_channel();
        let announce = sender.clone();
        let checkpoints = Checkpoints::new(
            home.directory.join("checkpoints"),
            artifacts.clone(),
            config.checkpoint_interval,
            move |attempt, artifact| {
                drop(announce.send(FromSlot::Checkpoint(attempt, artifact)));
            },
        );
        let runner = Arc::new(Runner::new(artifacts.clone(), checkpoints));
        let slots = Slots::start(config.threads, config.packs, &runner, move |end| {
            drop(sender.send(FromSlot::Ended(end)));
        })
        .map_err(SessionError::Slots)?;
        Ok(Self {
            config,
            home,
            spool,
            slots,
            from_slots,
            artifacts,
            clients,
            held: HashMap::new(),
            checkpoints: HashMap::new(),
            welcomed: false,
            draining: false,
        })
    }

    /// Runs until `shutdown`, then hands back what it holds and leaves, within the
    /// notice that machines are given.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), SessionError> {
        let expired = async {
            shutdown.cancelled().await;
            tokio::time::sleep(NOTICE).await;
        };
        tokio::select! {
            ended = self.work(&shutdown) => ended,
            () = expired => {
                tracing::warn!("leaving before everything was handed back");
                Ok(())
            }
        }
    }

    /// Dials and talks until it is refused, or asked to leave and has nothing left.
    async fn work(&mut self, shutdown: &CancellationToken) -> Result<(), SessionError> {
        let mut wait = FIRST_WAIT;
        loop {
            if shutdown.is_cancelled() && !self.draining {
                // What has ended and what is saved still finds its way, if the
                // coordinator comes back in time.
                self.begin_to_leave();
                wait = FIRST_WAIT;
            }
            if self.has_left() {
                return Ok(());
            }
            let connected = tokio::select! {
                connected = self.connect() => connected,
                () = shutdown.cancelled(), if !self.draining => continue,
            };
            match connected {
                Ok(connection) => {
                    wait = FIRST_WAIT;
                    self.welcomed = true;
                    tracing::info!(coordinator = self.config.coordinator, "connected");
                    self.clients.send_replace(Some(connection.clients.clone()));
                    self.converse(connection, shutdown).await;
                    self.clients.send_replace(None);
                }
                Err(error)
                    if error.is_not_allowed()
                        || matches!(
                            error.code,
                            ErrorCode::ProtocolVersion | ErrorCode::InvalidRequest
                        ) =>
                {
                    return Err(SessionError::Refused(error));
                }
                Err(error) => {
                    tracing::warn!(%error, retry_in_ms = wait.as_millis() as u64, "coordinator away; work goes on");
                    self.work_alone(wait, shutdown).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Whether it was asked to leave and holds nothing that anybody waits for.
    fn has_left(&self) -> bool {
        self.draining && self.held.is_empty() && self.spool.is_empty()
    }

    async fn connect(&self) -> Result<Connection, ApiError> {
        let spooled = self.spool.waiting().map(|(attempt, _)| *attempt);
        let holding = self.held.keys().copied().chain(spooled).collect();
        let opened = Connection::open(
            &self.config.coordinator,
            self.config.credential.as_ref(),
            self.home.worker,
            &self.config.capability,
            holding,
            self.welcomed,
        );
        tokio::time::timeout(PATIENCE, opened)
            .await
            .unwrap_or_else(|_| {
                Err(ApiError::new(
                    ErrorCode::Unavailable,
                    "the coordinator does not answer a hello",
                ))
            })
    }

    /// Talks until the connection ends or everything is handed back.
    async fn converse(&mut self, mut connection: Connection, shutdown: &CancellationToken) {
        for (attempt, outcome) in self.spool.waiting() {
            self.deliver(&connection, *attempt, outcome.clone());
        }
        for (attempt, artifact) in &self.checkpoints {
            self.deliver_checkpoint(&connection, *attempt, *artifact);
        }
        let mut heartbeat = tokio::time::interval(connection.heartbeat);
        if self.draining {
            connection.outgoing().draining();
        }
        let mut said = Vec::with_capacity(SAID_AT_ONCE);
        loop {
            tokio::select! {
                message = connection.next() => match message {
                    Ok(Some(message)) => self.obey(message, &connection),
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!(%error, "connection lost; work goes on");
                        return;
                    }
                },
                _ = self.from_slots.recv_many(&mut said, SAID_AT_ONCE) => {
                    self.pass_on(&mut said, &connection);
                }
                _ = heartbeat.tick() => connection.outgoing().heartbeat(),
                () = shutdown.cancelled(), if !self.draining => {
                    connection.outgoing().draining();
                    for (attempt, outcome) in self.begin_to_leave() {
                        self.deliver(&connection, attempt, outcome);
                    }
                }
            }
            if self.has_left() {
                return;
            }
        }
    }

    /// Goes on computing without a coordinator for a while.
    async fn work_alone(&mut self, wait: Duration, shutdown: &CancellationToken) {
        let pause = tokio::time::sleep(wait);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                () = shutdown.cancelled(), if !self.draining => return,
                Some(said) = self.from_slots.recv() => self.note(said),
            }
        }
    }

    /// Notes what slots said, and tells the coordinator.
    fn pass_on(&mut self, said: &mut Vec<FromSlot>, connection: &Connection) {
        let mut ended = Vec::new();
        for said in said.drain(..) {
            match said {
                FromSlot::Checkpoint(attempt, artifact) => {
                    self.note_checkpoint(attempt, artifact);
                    self.deliver_checkpoint(connection, attempt, artifact);
                }
                FromSlot::Ended(end) => ended.push(end),
            }
        }
        for (attempt, outcome) in self.finish(ended) {
            self.deliver(connection, attempt, outcome);
        }
    }

    fn note(&mut self, said: FromSlot) {
        match said {
            FromSlot::Checkpoint(attempt, artifact) => self.note_checkpoint(attempt, artifact),
            FromSlot::Ended(end) => drop(self.finish(vec![end])),
        }
    }

    /// Keeps the newest checkpoint of an attempt; only that one is of use.
    fn note_checkpoint(&mut self, attempt: AttemptId, artifact: ArtifactRef) {
        if let Some(old) = self.checkpoints.insert(attempt, artifact)
            && old != artifact
        {
            self.artifacts.forget(old.digest);
        }
    }

    fn forget(&mut self, attempts: &[AttemptId]) {
        self.spool.forget(attempts);
        for attempt in attempts {
            if let Some(checkpoint) = self.checkpoints.remove(attempt) {
                self.artifacts.forget(checkpoint.digest);
            }
        }
    }

    fn obey(&mut self, message: Incoming, connection: &Connection) {
        match message {
            Incoming::Start(assignments) if self.draining => {
                // It was under way when the coordinator was told.
                let back = assignments.iter().map(|new| returned(new.attempt));
                for (attempt, outcome) in self.finish(back.collect()) {
                    self.deliver(connection, attempt, outcome);
                }
            }
            Incoming::Start(assignments) => {
                for assignment in assignments {
                    self.take(assignment);
                }
            }
            Incoming::Stop(attempts) => {
                let stopped: HashSet<_> = attempts.iter().copied().collect();
                for attempt in self.slots.withdraw(|attempt| !stopped.contains(&attempt)) {
                    self.held.remove(&attempt);
                }
                for cancel in attempts.iter().filter_map(|attempt| self.held.get(attempt)) {
                    cancel.discard();
                }
                self.forget(&attempts);
            }
            Incoming::Acknowledge(attempts) => self.forget(&attempts),
        }
    }

    /// Gives an attempt to the slots, unless it is here already: a coordinator
    /// that restarts between its commit and its message may say start twice.
    fn take(&mut self, assignment: Assignment) {
        let attempt = assignment.attempt;
        if self.held.contains_key(&attempt) || self.spool.holds(attempt) {
            return;
        }
        tracing::debug!(%attempt, spec = %assignment.spec, "taken");
        let cancel = Cancel::default();
        self.held.insert(attempt, cancel.clone());
        self.slots.push(assignment, cancel);
    }

    /// Takes ended attempts into the spool.
    fn finish(&mut self, ended: Vec<Ended>) -> Vec<(AttemptId, AttemptOutcome)> {
        let mut outcomes = Vec::with_capacity(ended.len());
        for end in ended {
            self.held.remove(&end.attempt);
            if let AttemptOutcome::Failed(failure) = &end.outcome {
                tracing::warn!(attempt = %end.attempt, message = failure.message, "attempt failed");
            }
            outcomes.push((end.attempt, end.outcome));
        }
        if let Err(error) = self.spool.keep(&outcomes) {
            tracing::error!(%error, "results are kept in memory only");
        }
        outcomes
    }

    /// Uploads an outcome's files, then reports it, beside the session. What is not
    /// sent before the connection ends is sent with the next one.
    fn deliver(&self, connection: &Connection, attempt: AttemptId, outcome: AttemptOutcome) {
        let (artifacts, clients, outgoing) = (
            self.artifacts.clone(),
            connection.clients.clone(),
            connection.outgoing(),
        );
        let (files, checkpoint) = match &outcome {
            AttemptOutcome::Finished { result, .. } => (result.artifacts(), None),
            AttemptOutcome::Returned => (Vec::new(), self.checkpoints.get(&attempt).copied()),
            AttemptOutcome::Failed(_) => (Vec::new(), None),
        };
        if files.is_empty() && checkpoint.is_none() {
            outgoing.report(attempt, &outcome);
            return;
        }
        tokio::spawn(async move {
            // Whoever gets the task next must find it: it goes before the report.
            if let Some(checkpoint) = checkpoint {
                send_checkpoint(&artifacts, clients.clone(), &outgoing, attempt, checkpoint).await;
            }
            for artifact in files {
                match upload(&artifacts, &clients, &outgoing, attempt, artifact).await {
                    Upload::Stored => {}
                    Upload::Disconnected => return,
                    Upload::Impossible(failure) => {
                        outgoing.report(attempt, &AttemptOutcome::Failed(failure));
                        return;
                    }
                }
            }
            outgoing.report(attempt, &outcome);
        });
    }

    /// Uploads where an attempt stands, beside the session. The newest one is sent
    /// again with the next connection.
    fn deliver_checkpoint(
        &self,
        connection: &Connection,
        attempt: AttemptId,
        artifact: ArtifactRef,
    ) {
        let (artifacts, clients, outgoing) = (
            self.artifacts.clone(),
            connection.clients.clone(),
            connection.outgoing(),
        );
        tokio::spawn(async move {
            send_checkpoint(&artifacts, clients, &outgoing, attempt, artifact).await;
        });
    }

    /// Takes back what has not begun, to be handed back, and stops what runs.
    fn begin_to_leave(&mut self) -> Vec<(AttemptId, AttemptOutcome)> {
        self.draining = true;
        let unbegun = self.slots.withdraw(|_| false);
        self.held
            .iter()
            .filter(|(attempt, _)| !unbegun.contains(attempt))
            .for_each(|(_, cancel)| cancel.leave());
        self.finish(unbegun.into_iter().map(returned).collect())
    }
}

fn returned(attempt: AttemptId) -> Ended {
    Ended {
        attempt,
        outcome: AttemptOutcome::Returned,
    }
}
