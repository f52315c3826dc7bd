//! The session's loop.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_domain::{AttemptId, AttemptOutcome, Capability, Device};
use reprise_proto::client::Clients;
use reprise_proto::status::{ApiError, ErrorCode};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::config::{Config, SessionError};
use super::connection::{Connection, Incoming, MOST_HELD};
use super::held::Held;
use crate::artifacts::{Artifacts, CACHE_BYTES};
use crate::checkpoints::{Announced, Checkpoints};
use crate::identity::Home;
use crate::logs::Logs;
use crate::runner::Runner;
use crate::runner::program::Programs;
use crate::slots::{Assignment, Cancel, Ended, Slots};
use crate::spool::Spool;

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

/// The worker before it runs.
#[derive(Debug)]
pub struct Service {
    config: Config,
    home: Home,
    pub(super) spool: Spool,
    slots: Slots,
    from_slots: mpsc::UnboundedReceiver<FromSlot>,
    pub(super) artifacts: Artifacts,
    clients: watch::Sender<Option<Clients>>,
    /// Attempts that the slots have, running or not begun.
    pub(super) held: Held,
    pub(super) logs: Logs,
    /// Newest checkpoint of each attempt that has one to be sent.
    pub(super) checkpoints: HashMap<AttemptId, Announced>,
    /// Whether this process has been welcomed before.
    welcomed: bool,
    /// Whether it was asked to leave.
    draining: bool,
}

/// What slots say, in order.
#[derive(Debug)]
enum FromSlot {
    Checkpoint(AttemptId, Announced),
    Ended(Ended),
}

impl Service {
    /// Takes the directory, reads the spool and starts the slots.
    pub fn open(config: Config) -> Result<Self, SessionError> {
        let home = Home::take(&config.directory)?;
        let spool = Spool::open(&home.directory.join("spool"))?;
        let (clients, watcher) = watch::channel(None);
        let runtime = tokio::runtime::Handle::current();
        let cache = home.directory.join("artifacts");
        let artifacts = Artifacts::new(&cache, CACHE_BYTES, runtime, watcher)?;
        for (_, outcome) in spool.waiting() {
            for artifact in outcome.artifacts() {
                artifacts.hold(artifact.digest);
            }
        }
        // Unbounded, but a slot adds at most one entry every few seconds.
        let (sender, from_slots) = mpsc::unbounded_channel();
        let announce = sender.clone();
        let checkpoints = Checkpoints::new(
            home.directory.join("checkpoints"),
            artifacts.clone(),
            config.checkpoint_interval,
            move |attempt, checkpoint| {
                drop(announce.send(FromSlot::Checkpoint(attempt, checkpoint)));
            },
        );
        let logs_at = home.directory.join("logs");
        let logs = Logs::open(&logs_at, place(&config.capability));
        let logs = logs.map_err(|source| SessionError::Logs {
            path: logs_at,
            source,
        })?;
        let programs_at = home.directory.join("programs");
        let programs = config.programs.clone();
        let programs = programs.map(|settings| Programs::open(&programs_at, settings));
        let programs = programs
            .transpose()
            .map_err(|source| SessionError::Programs {
                path: programs_at,
                source,
            })?;
        let runner = Runner::new(
            artifacts.clone(),
            checkpoints,
            logs.clone(),
            config.torch.clone(),
        );
        let runner = runner.with_programs(programs);
        let runner = Arc::new(runner);
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
            held: Held::default(),
            logs,
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
                    self.welcomed = true;
                    tracing::info!(coordinator = self.config.coordinator, "connected");
                    self.clients.send_replace(Some(connection.clients.clone()));
                    let (began, beat) = (Instant::now(), connection.heartbeat);
                    self.converse(connection, shutdown).await;
                    self.clients.send_replace(None);
                    if began.elapsed() >= beat {
                        wait = FIRST_WAIT;
                    } else if !self.has_left() {
                        // A session that is ended as soon as it is open would be opened
                        // again and again.
                        self.work_alone(wait, shutdown).await;
                        wait = (wait * 2).min(LONGEST_WAIT);
                    }
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
        // What runs comes first: a finished result that is not listed is reported all
        // the same, and counts while nobody else's does.
        let mut holding: Vec<_> = self.held.attempts().chain(spooled).collect();
        if holding.len() > MOST_HELD {
            tracing::warn!(
                held = holding.len(),
                listed = MOST_HELD,
                "holds more attempts than a hello lists"
            );
            holding.truncate(MOST_HELD);
        }
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
        self.held.begin_anew();
        let mut left_logs = self.send_left_logs(&connection);
        for (attempt, outcome) in self.spool.waiting() {
            self.deliver(&connection, *attempt, outcome.clone());
        }
        for (attempt, checkpoint) in &self.checkpoints {
            self.deliver_checkpoint(&connection, *attempt, *checkpoint);
        }
        let mut heartbeat = tokio::time::interval(connection.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut spoke = Instant::now();
        let mut beats = 0_u64;
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
                _ = heartbeat.tick() => {
                    if spoke.elapsed() > connection.silence {
                        // On a disk that hung, say: the coordinator may have dropped the
                        // session meanwhile.
                        tracing::warn!("the session stood still; dialling again");
                        return;
                    }
                    spoke = Instant::now();
                    beats += 1;
                    self.beat(&connection);
                    // The connection has outlived what was sent at its start.
                    if beats == 2 {
                        left_logs.drain(..).for_each(|attempt| self.logs.remove(attempt));
                    }
                }
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
                FromSlot::Checkpoint(attempt, checkpoint) => {
                    self.note_checkpoint(attempt, checkpoint);
                    self.deliver_checkpoint(connection, attempt, checkpoint);
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
            FromSlot::Checkpoint(attempt, new) => self.note_checkpoint(attempt, new),
            FromSlot::Ended(end) => drop(self.finish(vec![end])),
        }
    }

    /// Keeps the newest checkpoint of an attempt; only that one is of use.
    fn note_checkpoint(&mut self, attempt: AttemptId, new: Announced) {
        if let Some(old) = self.checkpoints.insert(attempt, new)
            && old.artifact != new.artifact
        {
            self.artifacts.forget(old.artifact.digest);
        }
    }

    fn forget(&mut self, attempts: &[AttemptId]) {
        let outcomes = attempts.iter().filter_map(|id| self.spool.outcome(*id));
        for artifact in outcomes.flat_map(AttemptOutcome::artifacts) {
            self.artifacts.release(artifact.digest);
        }
        self.spool.forget(attempts);
        for attempt in attempts {
            self.logs.remove(*attempt);
            if let Some(checkpoint) = self.checkpoints.remove(attempt) {
                self.artifacts.forget(checkpoint.artifact.digest);
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
                    self.held.remove(attempt);
                }
                for cancel in attempts
                    .iter()
                    .filter_map(|attempt| self.held.cancel(*attempt))
                {
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
        if self.held.contains(attempt) || self.spool.holds(attempt) {
            return;
        }
        tracing::debug!(%attempt, spec = %assignment.spec, "taken");
        let cancel = Cancel::default();
        self.held.insert(&assignment, cancel.clone());
        self.slots.push(assignment, cancel);
    }

    /// Takes ended attempts into the spool.
    fn finish(&mut self, ended: Vec<Ended>) -> Vec<(AttemptId, AttemptOutcome)> {
        let mut outcomes = Vec::with_capacity(ended.len());
        for end in ended {
            self.held.remove(end.attempt);
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

    /// Takes back what has not begun, to be handed back, and stops what runs.
    fn begin_to_leave(&mut self) -> Vec<(AttemptId, AttemptOutcome)> {
        self.draining = true;
        let unbegun: HashSet<_> = self.slots.withdraw(|_| false).into_iter().collect();
        let begun = self.held.attempts();
        let begun = begun.filter(|attempt| !unbegun.contains(attempt));
        for cancel in begun.filter_map(|attempt| self.held.cancel(attempt)) {
            cancel.leave();
        }
        self.finish(unbegun.into_iter().map(returned).collect())
    }
}

fn returned(attempt: AttemptId) -> Ended {
    Ended {
        attempt,
        outcome: AttemptOutcome::Returned,
    }
}

/// Where attempts run, in words.
fn place(capability: &Capability) -> String {
    let device = match &capability.device {
        Device::Cpu { model } => format!("cpu ({model})"),
        Device::Cuda { index, model } => format!("cuda:{index} ({model})"),
    };
    format!("{}, {device}; {}", capability.host, capability.program())
}
