//! The session's loop.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reprise_domain::{AttemptId, AttemptOutcome, Capability};
use reprise_proto::client::Clients;
use reprise_proto::status::{ApiError, ErrorCode};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Incoming};
use crate::artifacts::{ArtifactError, Artifacts};
use crate::identity::{Home, HomeError};
use crate::runner::Runner;
use crate::slots::{Assignment, Cancel, Ended, Slots};
use crate::spool::{Spool, SpoolError};

/// First wait before dialling again; doubled up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Longest wait before dialling again: short against the coordinator's grace of
/// 30 s, so that a restart of it costs no attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What a worker is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the coordinator listens, `http://HOST:PORT`.
    pub coordinator: String,
    /// Tasks run at once.
    pub slots: u32,
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
    ended: mpsc::UnboundedReceiver<Ended>,
    artifacts: Artifacts,
    clients: watch::Sender<Option<Clients>>,
    queue: VecDeque<Assignment>,
    running: HashMap<AttemptId, Cancel>,
}

impl Service {
    /// Takes the directory, reads the spool and starts the slots.
    pub fn open(config: Config) -> Result<Self, SessionError> {
        let home = Home::take(&config.directory)?;
        let spool = Spool::open(&home.directory.join("spool"))?;
        let (clients, watcher) = watch::channel(None);
        let runtime = tokio::runtime::Handle::current();
        let artifacts = Artifacts::new(&home.directory.join("artifacts"), runtime, watcher)?;
        let runner = Arc::new(Runner::new(
            artifacts.clone(),
            home.directory.join("checkpoints"),
        ));
        // Unbounded, but holds at most one entry a slot.
        let (sender, ended) = mpsc::unbounded_channel();
        let slots = Slots::start(config.slots as usize, &runner, move |end| {
            drop(sender.send(end));
        })
        .map_err(SessionError::Slots)?;
        Ok(Self {
            config,
            home,
            spool,
            slots,
            ended,
            artifacts,
            clients,
            queue: VecDeque::new(),
            running: HashMap::new(),
        })
    }

    /// Runs until `shutdown`, then hands back what it holds and leaves.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), SessionError> {
        let mut wait = FIRST_WAIT;
        while !shutdown.is_cancelled() {
            match self.connect().await {
                Ok(connection) => {
                    wait = FIRST_WAIT;
                    tracing::info!(coordinator = self.config.coordinator, "connected");
                    self.clients.send_replace(Some(connection.clients.clone()));
                    self.converse(connection, &shutdown).await;
                    self.clients.send_replace(None);
                }
                Err(error)
                    if matches!(
                        error.code,
                        ErrorCode::ProtocolVersion | ErrorCode::InvalidRequest
                    ) =>
                {
                    return Err(SessionError::Refused(error));
                }
                Err(error) => {
                    tracing::warn!(%error, retry_in_ms = wait.as_millis() as u64, "coordinator away; work goes on");
                    self.work_alone(wait, &shutdown).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Connection, ApiError> {
        let queued = self.queue.iter().map(|assignment| assignment.attempt);
        let spooled = self.spool.waiting().map(|(attempt, _)| *attempt);
        let holding = self
            .running
            .keys()
            .copied()
            .chain(queued)
            .chain(spooled)
            .collect();
        Connection::open(
            &self.config.coordinator,
            self.home.worker,
            &self.config.capability,
            holding,
        )
        .await
    }

    /// Talks until the connection ends or everything is handed back.
    async fn converse(&mut self, mut connection: Connection, shutdown: &CancellationToken) {
        for (attempt, outcome) in self.spool.waiting() {
            self.deliver(&connection, *attempt, outcome.clone());
        }
        let mut heartbeat = tokio::time::interval(connection.heartbeat);
        let mut draining = false;
        loop {
            tokio::select! {
                message = connection.next() => match message {
                    Ok(Some(message)) => self.obey(message),
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!(%error, "connection lost; work goes on");
                        return;
                    }
                },
                Some(end) = self.ended.recv() => {
                    let (attempt, outcome) = self.finish(end);
                    self.deliver(&connection, attempt, outcome);
                }
                _ = heartbeat.tick() => connection.outgoing().heartbeat().await,
                () = shutdown.cancelled(), if !draining => {
                    draining = true;
                    connection.outgoing().draining().await;
                    self.hand_back(&connection);
                }
            }
            if draining && self.running.is_empty() && self.spool.is_empty() {
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
                () = shutdown.cancelled() => return,
                Some(end) = self.ended.recv() => drop(self.finish(end)),
            }
        }
    }

    fn obey(&mut self, message: Incoming) {
        match message {
            Incoming::Start(assignments) => {
                let known: Vec<_> = assignments
                    .into_iter()
                    .filter(|new| !self.holds(new.attempt))
                    .collect();
                self.queue.extend(known);
                self.fill();
            }
            Incoming::Stop(attempts) => {
                self.queue
                    .retain(|assignment| !attempts.contains(&assignment.attempt));
                for attempt in &attempts {
                    if let Some(cancel) = self.running.get(attempt) {
                        cancel.cancel();
                    }
                }
                self.spool.forget(&attempts);
            }
            Incoming::Acknowledge(attempts) => self.spool.forget(&attempts),
        }
    }

    /// Whether an attempt is here already: a coordinator that restarts between
    /// its commit and its message may say start twice.
    fn holds(&self, attempt: AttemptId) -> bool {
        self.running.contains_key(&attempt)
            || self.queue.iter().any(|queued| queued.attempt == attempt)
            || self.spool.waiting().any(|(waiting, _)| *waiting == attempt)
    }

    /// Gives waiting attempts to free slots.
    fn fill(&mut self) {
        while self.slots.has_free() {
            let Some(assignment) = self.queue.pop_front() else {
                return;
            };
            let cancel = Cancel::default();
            let attempt = assignment.attempt;
            tracing::debug!(%attempt, spec = %assignment.spec, "started");
            match self.slots.run(assignment, cancel.clone()) {
                Ok(()) => drop(self.running.insert(attempt, cancel)),
                Err(assignment) => {
                    self.queue.push_front(assignment);
                    return;
                }
            }
        }
    }

    /// Takes an ended attempt into the spool and starts the next one.
    fn finish(&mut self, end: Ended) -> (AttemptId, AttemptOutcome) {
        self.running.remove(&end.attempt);
        self.slots.release(end.slot);
        if let AttemptOutcome::Failed(failure) = &end.outcome {
            tracing::warn!(attempt = %end.attempt, message = failure.message, "attempt failed");
        }
        if let Err(error) = self.spool.keep(end.attempt, end.outcome.clone()) {
            tracing::error!(%error, "a result is kept in memory only");
        }
        self.fill();
        (end.attempt, end.outcome)
    }

    /// Uploads an outcome's files, then reports it, beside the session. What
    /// fails here is tried again with the next connection.
    fn deliver(&self, connection: &Connection, attempt: AttemptId, outcome: AttemptOutcome) {
        let (artifacts, clients, outgoing) = (
            self.artifacts.clone(),
            connection.clients.clone(),
            connection.outgoing(),
        );
        tokio::spawn(async move {
            if let AttemptOutcome::Finished { result, .. } = &outcome {
                for artifact in result.artifacts() {
                    if let Err(status) = artifacts.upload(clients.clone(), artifact).await {
                        let error = ApiError::from(&status);
                        tracing::warn!(%attempt, %error, "artifact not uploaded; kept for the next connection");
                        return;
                    }
                }
            }
            outgoing.report(attempt, &outcome).await;
        });
    }

    /// Hands back what has not begun and stops what runs.
    fn hand_back(&mut self, connection: &Connection) {
        for assignment in std::mem::take(&mut self.queue) {
            if let Err(error) = self
                .spool
                .keep(assignment.attempt, AttemptOutcome::Returned)
            {
                tracing::warn!(%error, "an attempt is handed back from memory");
            }
            self.deliver(connection, assignment.attempt, AttemptOutcome::Returned);
        }
        self.running.values().for_each(Cancel::cancel);
    }
}
