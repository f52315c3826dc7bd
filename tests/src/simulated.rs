//! Simulated workers: sessions of the real protocol whose slots hold every task
//! for a while and then report it finished. How results are computed is not tested
//! with them; what a coordinator does with thousands of workers is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reprise_domain::{AttemptOutcome, Capability, Device, Seconds, TaskResult, Usage};
use reprise_proto::client::connect;
use reprise_proto::pb::from_worker::Message as FromMessage;
use reprise_proto::pb::to_worker::Message as ToMessage;
use reprise_proto::pb::{self, FromWorker};
use reprise_proto::{PROTOCOL_VERSION, convert};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// Bins of [`Measures`]: up to more than an hour.
const BINS: usize = 128;

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
        let outcome = convert::to_json(&AttemptOutcome::Finished {
            result: TaskResult::Noop,
            // By which the coordinator reckons what a slot can hold.
            usage: Usage {
                wall: Seconds::new(self.hold.as_secs_f64())?,
                ..Usage::default()
            },
        });
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
                    let Some((_, attempt)): Option<(Instant, pb::Attempt)> = running.pop_front() else {
                        continue;
                    };
                    sent.insert(attempt.task.clone(), Instant::now());
                    send(FromMessage::Report(pb::Report {
                        attempt: Some(attempt),
                        outcome: outcome.clone(),
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
                        running.push_back((slots[0], attempt));
                    }
                }
                Some(ToMessage::Acknowledge(acknowledge)) => {
                    for attempt in acknowledge.attempts {
                        if let Some(at) = sent.remove(&attempt.task) {
                            measures.note(at.elapsed());
                        }
                    }
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
        Ok(())
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

/// Waits until the first of what runs ends; for ever where nothing runs.
async fn due(first: Option<&(Instant, pb::Attempt)>) {
    match first {
        Some((at, _)) => tokio::time::sleep_until((*at).into()).await,
        None => std::future::pending().await,
    }
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            acknowledged: AtomicU64::new(0),
            waits: std::array::from_fn(|_| AtomicU64::new(0)),
            stopped: AtomicBool::new(false),
        }
    }
}

impl Measures {
    /// Tells all workers that were given these measures to stop. Each does at its
    /// next message or heartbeat.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
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
