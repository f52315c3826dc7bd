//! The loop of `reprise fleet up`: look, decide, act, count.
//!
//! All its state is kept by the engine or in the fleet's directory, so it can be
//! stopped and started at any time. Only the first look has to succeed; later failures
//! are logged and tried again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reprise_proto::status::ApiError;
use tokio_util::sync::CancellationToken;

use super::backoff::{Backoff, USEFUL};
use super::clock::unix_now;
use super::engine::{Engine, EngineError, Member, MemberState};
use super::home::{Home, HomeError, Record};
use super::ledger::Ledger;
use super::policy::{Decision, End, Limits, Observation, Policy};
use super::setup::Setup;
use super::workload::Workload;

/// How long workers may take to leave.
const LEAVE_TIME: Duration = Duration::from_mins(3);

/// Time between two looks at workers that leave.
const LEAVE_INTERVAL: Duration = Duration::from_secs(1);

/// Where the work is known.
#[async_trait]
pub trait Studies: Send {
    /// The work of all studies together.
    async fn workload(&mut self) -> Result<Workload, ApiError>;
}

/// What the loop is to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// The fleet.
    pub setup: Setup,
    /// Its bounds.
    pub limits: Limits,
    /// Machine time that it may use, all its life.
    pub budget: Option<Duration>,
    /// Time between two looks.
    pub interval: Duration,
}

/// The loop stopped because of this.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The coordinator does not say what there is to do.
    #[error(transparent)]
    Coordinator(#[from] ApiError),
    /// The engine does not do what it is asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The fleet's directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Workers do not leave.
    #[error(
        "{count} workers are still there {} s after they were asked to leave, among them `{first}`; look for it with the engine's own programs",
        LEAVE_TIME.as_secs()
    )]
    Stuck {
        /// How many.
        count: usize,
        /// One of them.
        first: String,
    },
}

/// How the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// By itself; no worker is left.
    Ended(End),
    /// By `reprise fleet down`; no worker is left.
    Down,
    /// It was stopped; the workers go on.
    Left,
}

/// What the loop saw and wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Workers with a machine.
    pub up: u32,
    /// Workers that wait for one.
    pub queued: u32,
    /// What there is to do.
    pub load: Workload,
    /// Machine time used so far.
    pub used: Duration,
    /// How long nothing new is started, because workers end as they start.
    pub held_back: Duration,
}

/// The loop.
pub struct Service {
    config: Config,
    engine: Box<dyn Engine>,
    home: Home,
    ledger: Ledger,
    policy: Policy,
    backoff: Backoff,
    begun: Instant,
    load: Option<Workload>,
    /// Workers that the last look asked for.
    awaited: u32,
    /// Workers without a name at the last look.
    requested: u32,
    /// Workers that were asked to leave.
    asked: BTreeSet<String>,
    /// The last failure told, so that it is told once.
    told: String,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("config", &self.config)
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// A loop over `engine` that goes on from what `home` has kept.
    pub fn new(config: Config, engine: Box<dyn Engine>, home: Home) -> Result<Self, FleetError> {
        Ok(Self {
            ledger: home.ledger()?,
            policy: Policy::new(config.limits),
            backoff: Backoff::default(),
            begun: Instant::now(),
            load: None,
            awaited: 0,
            requested: 0,
            asked: BTreeSet::new(),
            told: String::new(),
            config,
            engine,
            home,
        })
    }

    /// Machine time used so far.
    pub fn used(&self) -> Duration {
        self.ledger.used()
    }

    /// Workers that came and went.
    pub fn gone(&self) -> u64 {
        self.ledger.gone
    }

    /// Runs until the fleet ends or `stop`. `report` is called after every look.
    pub async fn run(
        &mut self,
        studies: &mut dyn Studies,
        report: &mut (dyn FnMut(&Report) + Send),
        stop: &CancellationToken,
    ) -> Result<Outcome, FleetError> {
        let mut first = true;
        loop {
            if self.home.is_asked_down() {
                self.take_down().await?;
                return Ok(Outcome::Down);
            }
            match self.turn(studies, report).await {
                Ok(Some(end)) => {
                    self.take_down().await?;
                    return Ok(Outcome::Ended(end));
                }
                Ok(None) => first = false,
                Err(error) if first => return Err(error),
                Err(error) => self.tell(&error.to_string()),
            }
            tokio::select! {
                () = tokio::time::sleep(self.config.interval) => {}
                () = stop.cancelled() => return Ok(Outcome::Left),
            }
        }
    }

    /// One look and what follows from it.
    async fn turn(
        &mut self,
        studies: &mut dyn Studies,
        report: &mut (dyn FnMut(&Report) + Send),
    ) -> Result<Option<End>, FleetError> {
        let members = self.engine.list().await?;
        self.count(&members)?;
        // While the coordinator is away the last known work counts: the budget still
        // has to be kept, and the workers wait for the coordinator as well.
        let load = match (studies.workload().await, self.load) {
            (Ok(load), _) => {
                self.told.clear();
                *self.load.insert(load)
            }
            (Err(error), Some(load)) => {
                self.tell(&error.to_string());
                load
            }
            (Err(error), None) => return Err(error.into()),
        };
        let up = in_state(&members, MemberState::Up);
        let seen = Observation {
            runnable: load.runnable,
            remaining: load.remaining,
            queued: in_state(&members, MemberState::Queued)
                + in_state(&members, MemberState::Requested),
            up,
            idle: if load.runnable == 0 { up } else { 0 },
            left: self
                .config
                .budget
                .map(|budget| budget.saturating_sub(self.ledger.used())),
        };
        let now = self.begun.elapsed();
        report(&Report {
            up,
            queued: seen.queued,
            load,
            used: self.ledger.used(),
            held_back: self.backoff.wait(now),
        });
        match self.policy.decide(now, &seen) {
            Decision::Keep => {}
            Decision::Grow(_) if !self.backoff.wait(now).is_zero() => {}
            Decision::Grow(count) => {
                tracing::info!(count, "asking for workers");
                self.engine.grow(count).await?;
                self.awaited = count;
            }
            Decision::Shrink(count) => {
                let ids = dispensable(&members, count, seen.idle > 0);
                tracing::info!(count, "taking workers down");
                self.engine.shrink(&ids).await?;
                self.asked.extend(ids);
            }
            Decision::End(end) => return Ok(Some(end)),
        }
        Ok(None)
    }

    /// Records what was seen, and notices workers that end as soon as they start.
    fn count(&mut self, members: &[Member]) -> Result<(), FleetError> {
        let change = self.ledger.observe(unix_now(), members);
        // Those asked for that were never listed ended between two looks. One that
        // was requested before and has a name now is not one of them.
        let requested = in_state(members, MemberState::Requested);
        let before = std::mem::replace(&mut self.requested, requested);
        let seen = change.new.saturating_add(requested).saturating_sub(before);
        let unseen = std::mem::take(&mut self.awaited).saturating_sub(seen);
        self.ledger.gone += u64::from(unseen);
        self.keep()?;
        let mut ended = vec![Duration::ZERO; unseen as usize];
        for gone in change.gone {
            if !self.asked.remove(&gone.id) {
                tracing::info!(
                    worker = gone.id,
                    ran_s = gone.ran.as_secs(),
                    "worker is gone"
                );
                ended.push(gone.ran);
            }
        }
        let useful = members
            .iter()
            .filter(|member| member.state == MemberState::Up && member.run >= USEFUL);
        let youngest = useful.map(|member| member.run).min();
        let now = self.begun.elapsed();
        if self.backoff.observe(now, &ended, youngest) && !self.backoff.wait(now).is_zero() {
            tracing::warn!(
                wait_s = self.backoff.wait(now).as_secs(),
                logs = self.engine.logs(),
                "workers end as soon as they start; see what they say"
            );
        }
        Ok(())
    }

    /// Takes every worker down and waits until they are gone.
    async fn take_down(&mut self) -> Result<(), FleetError> {
        wait_gone(&*self.engine, &mut self.ledger).await?;
        self.keep()
    }

    fn keep(&self) -> Result<(), FleetError> {
        let record = Record {
            setup: self.config.setup.clone(),
            ledger: self.ledger.clone(),
        };
        Ok(self.home.write(&record)?)
    }

    fn tell(&mut self, failure: &str) {
        if self.told != failure {
            tracing::warn!("{failure}; trying again");
            failure.clone_into(&mut self.told);
        }
    }
}

/// Takes all workers of `engine` down, waits until they are gone, and records their
/// time.
pub async fn wait_gone(engine: &dyn Engine, ledger: &mut Ledger) -> Result<(), FleetError> {
    engine.down().await?;
    let deadline = Instant::now() + LEAVE_TIME;
    loop {
        let members = engine.list().await?;
        ledger.observe(unix_now(), &members);
        let Some(first) = members.first() else {
            return Ok(());
        };
        if Instant::now() > deadline {
            return Err(FleetError::Stuck {
                count: members.len(),
                first: first.id.clone(),
            });
        }
        tokio::time::sleep(LEAVE_INTERVAL).await;
    }
}

fn in_state(members: &[Member], state: MemberState) -> u32 {
    members
        .iter()
        .filter(|member| member.state == state)
        .count() as u32
}

/// The workers to take down first: those that are not made yet, then those that wait
/// for a machine, the last ones first, then the youngest that are up.
fn dispensable(members: &[Member], count: u32, idle: bool) -> Vec<String> {
    let of = |state| members.iter().filter(move |member| member.state == state);
    let mut up: Vec<_> = of(MemberState::Up).collect();
    up.sort_by_key(|member| member.run);
    let waiting = of(MemberState::Requested).chain(of(MemberState::Queued).rev());
    waiting
        .chain(up.into_iter().filter(|_| idle))
        .take(count as usize)
        .map(|member| member.id.clone())
        .collect()
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
