//! Simulated workers: sessions of the real protocol whose slots hold every task
//! for a while and then report it finished. How results are computed is not tested
//! with them; what a coordinator does with thousands of workers is.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reprise_domain::task::Budget;
use reprise_domain::{
    Accuracy, ArchIndex, AttemptOutcome, Capability, Device, SearchResult, Seconds, TaskResult,
    TaskSpec, Trajectory, Usage,
};
use reprise_proto::client::connect;
use reprise_proto::pb::from_worker::Message as FromMessage;
use reprise_proto::pb::to_worker::Message as ToMessage;
use reprise_proto::pb::{self, FromWorker};
use reprise_proto::{PROTOCOL_VERSION, convert};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// Bins of [`Measures`]: up to more than an hour.
const BINS: usize = 128;

/// Architectures of the space that made-up searches are in.
const ARCHITECTURES: u64 = 15_625;

/// A worker that only pretends to work.
#[derive(Debug, Clone, Copy)]
pub struct SimulatedWorker {
    /// Its id and, in words, its host. Two of one number are one worker.
    pub number: u128,
    /// Slots that it offers.
    pub slots: u32,
    /// How long a slot holds a task.
    pub hold: Duration,
}

/// What simulated workers measured, and how they are told to stop.
#[derive(Debug)]
pub struct Measures {
    acknowledged: AtomicU64,
    /// Microseconds from a report to its acknowledgement, in powers of 2^(1/4).
    waits: [AtomicU64; BINS],
    stopped: AtomicBool,
    welcomed: AtomicU64,
    /// Why workers ended before they were told to stop.
    ended: Mutex<Vec<String>>,
}

impl SimulatedWorker {
    /// Connects to the coordinator at `url` and works until told to stop, or until
    /// the session ends. There is no second session: a test that cuts connections
    /// needs real workers.
    pub async fn work(self, url: &str, measures: Arc<Measures>) -> anyhow::Result<()> {
        let mut clients = connect(url, None).await?;
        let (sender, messages) = mpsc::unbounded_channel();
        let send = |message| {
            sender
                .send(FromWorker {
                    message: Some(message),
                })
                .context("the session has ended")
        };
        send(FromMessage::Hello(self.hello()))?;
        let response = clients
            .worker
            .session(UnboundedReceiverStream::new(messages))
            .await?;
        let mut stream = response.into_inner();
        let mut sent = HashMap::new();
        let mut slots = vec![Instant::now(); self.slots.max(1) as usize];
        // All tasks take equally long, so they end in the order in which they came.
        let mut running = VecDeque::new();
        let mut heartbeat = tokio::time::interval(Duration::from_secs(5));
        while !measures.stopped.load(Ordering::Relaxed) {
            let message = tokio::select! {
                message = stream.message() => message?.and_then(|message| message.message),
                () = due(running.front()) => {
                    let Some((_, attempt, spec)): Option<Held> = running.pop_front() else {
                        continue;
                    };
                    let outcome = self.outcome(&spec)?;
                    sent.insert(attempt.task.clone(), Instant::now());
                    send(FromMessage::Report(pb::Report {
                        attempt: Some(attempt),
                        outcome,
                    }))?;
                    continue;
                }
                _ = heartbeat.tick() => {
                    send(FromMessage::Heartbeat(pb::Heartbeat::default()))?;
                    continue;
                }
            };
            match message {
                Some(ToMessage::Start(start)) => {
                    for assignment in start.assignments {
                        let attempt = assignment.attempt.context("an assignment names none")?;
                        slots.sort_unstable();
                        slots[0] = slots[0].max(Instant::now()) + self.hold;
                        running.push_back((slots[0], attempt, assignment.spec));
                    }
                }
                Some(ToMessage::Acknowledge(acknowledge)) => {
                    for attempt in acknowledge.attempts {
                        if let Some(at) = sent.remove(&attempt.task) {
                            measures.note(at.elapsed());
                        }
                    }
                }
                Some(ToMessage::Welcome(_)) => {
                    measures.welcomed.fetch_add(1, Ordering::Relaxed);
                }
                Some(ToMessage::Stop(_)) => {}
                None => anyhow::bail!("the coordinator has ended the session"),
            }
        }
        Ok(())
    }

    /// What it reports of a task.
    fn outcome(&self, spec: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(convert::to_json(&AttemptOutcome::Finished {
            result: made_up(&convert::from_json("assignment.spec", spec)?)?,
            // By which the coordinator reckons what a slot can hold.
            usage: Usage {
                wall: Seconds::new(self.hold.as_secs_f64())?,
                ..Usage::default()
            },
        }))
    }

    fn hello(&self) -> pb::Hello {
        let capability = Capability {
            slots: self.slots.max(1),
            host: format!("simulated-{}", self.number),
            device: Device::Cpu {
                model: "simulated".to_owned(),
            },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: "none".to_owned(),
            ..Capability::default()
        };
        pb::Hello {
            protocol: PROTOCOL_VERSION,
            worker: self.number.to_be_bytes().to_vec(),
            capability: convert::to_json(&capability),
            holding: Vec::new(),
            again: false,
        }
    }
}

/// An attempt in a slot: until when, which, and at what.
type Held = (Instant, pb::Attempt, Vec<u8>);

/// A result that fits a task and depends on nothing else. Made up for empty tasks and
/// for searches alone.
fn made_up(task: &TaskSpec) -> anyhow::Result<TaskResult> {
    let search = match task {
        TaskSpec::Noop(_) => return Ok(TaskResult::Noop),
        TaskSpec::Search(search) => search,
        other => anyhow::bail!("no results are made up for {}", other.kind()),
    };
    let Budget::Queries(queries) = search.budget else {
        anyhow::bail!("no results are made up for a budget of time");
    };
    let mut trajectory = Trajectory::default();
    for query in 0..u64::from(queries) {
        // A step without a common divisor with the size of the space: all different, and
        // few of them better than all before.
        let arch = (search.seed.0 * 31 + query * 9657) % ARCHITECTURES;
        let accuracy = Accuracy::new(0.5 + arch as f64 / (4 * ARCHITECTURES) as f64)?;
        trajectory.arch.push(ArchIndex(arch as u32));
        trajectory.validation.push(accuracy);
        trajectory.reported_validation.push(accuracy);
        trajectory.test.push(accuracy);
        trajectory.cost.push(Seconds::new(1.0)?);
    }
    Ok(TaskResult::Search(SearchResult { trajectory }))
}

/// Waits until the first of what runs ends; for ever where nothing runs.
async fn due(first: Option<&Held>) {
    match first {
        Some((at, ..)) => tokio::time::sleep_until((*at).into()).await,
        None => std::future::pending().await,
    }
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            acknowledged: AtomicU64::new(0),
            waits: std::array::from_fn(|_| AtomicU64::new(0)),
            stopped: AtomicBool::new(false),
            welcomed: AtomicU64::new(0),
            ended: Mutex::default(),
        }
    }
}

impl Measures {
    /// Tells all workers that were given these measures to stop. Each does at its
    /// next message or heartbeat.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Workers that were welcomed so far.
    pub fn welcomed(&self) -> u64 {
        self.welcomed.load(Ordering::Relaxed)
    }

    /// Notes that a worker has ended, with the reason if it should not have.
    pub fn end(&self, error: Option<anyhow::Error>) {
        let told = self.stopped.load(Ordering::Relaxed);
        if let (false, Some(error)) = (told, error) {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.push(format!("{error:#}"));
        }
    }

    /// Why workers ended before they were told to stop.
    pub fn ended(&self) -> Vec<String> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.clone()
    }

    /// Reports that the coordinator has acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// The wait from a report to its acknowledgement that a share of the reports
    /// did not exceed, in milliseconds: the upper edge of its bin.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.acknowledged() as f64 * share).ceil() as u64;
        let mut counted = 0;
        let bin = self.waits.iter().position(|bin| {
            counted += bin.load(Ordering::Relaxed);
            counted >= wanted
        });
        2f64.powf((bin.unwrap_or_default() + 1) as f64 / 4.0) / 1000.0
    }

    fn note(&self, wait: Duration) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let micros = (wait.as_micros() as f64).max(1.0);
        let bin = (micros.log2() * 4.0) as usize;
        self.waits[bin.min(BINS - 1)].fetch_add(1, Ordering::Relaxed);
    }
}
