//! A soak: a great many no-op tasks over many simulated workers and one real
//! coordinator, then a restart. Reports rate, tail latency, memory and journal
//! size; fails when a task is missing or a restart is slow.
//!
//! The workers are simulated: each is a session of the real protocol whose slots
//! hold every task for a while and then report it. How results are computed is not
//! tested here.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use reprise_domain::{AttemptOutcome, Capability, Device, TaskResult, Usage};
use reprise_proto::client::{Clients, connect};
use reprise_proto::pb::from_worker::Message as FromMessage;
use reprise_proto::pb::to_worker::Message as ToMessage;
use reprise_proto::pb::{self, FromWorker, StudyRequest};
use reprise_proto::{PROTOCOL_VERSION, convert};
use reprise_tests::fleet::Fleet;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// Slots that each simulated worker offers.
const SLOTS: u32 = 4;

/// How long one run may take in all.
const LONGEST: Duration = Duration::from_hours(1);

/// Many no-op tasks over many simulated workers.
#[derive(Debug, Parser)]
struct Args {
    /// Tasks.
    #[arg(long, default_value_t = 1_000_000)]
    tasks: u64,
    /// Simulated workers.
    #[arg(long, default_value_t = 200)]
    workers: usize,
    /// How long a slot holds a task, in milliseconds. With 0 the coordinator is
    /// flooded, and what is measured is its rate, not its latency.
    #[arg(long, default_value_t = 100)]
    hold_ms: u64,
    /// Keep the state in this directory instead of a temporary one.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Longest restart that passes, in seconds.
    #[arg(long, default_value_t = 3.0)]
    restart: f64,
}

/// What the workers measured.
#[derive(Debug, Default)]
struct Measures {
    acknowledged: AtomicU64,
    /// Microseconds from a report to its acknowledgement, in powers of 2^(1/4).
    waits: Vec<AtomicU64>,
    stop: AtomicBool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let temporary = tempfile::tempdir()?;
    let directory = args
        .directory
        .unwrap_or_else(|| temporary.path().to_owned());
    let mut fleet = Fleet::local(&directory, 0)?;
    fleet.serve()?;
    let study = format!(
        "version: 1\nname: soak\nspace: nasbench201\nnoop: {{tasks: {}}}\n",
        args.tasks
    );
    let submitted = Instant::now();
    fleet.submit(&study)?;
    say(&format!(
        "submitted {} tasks in {:.1} s",
        args.tasks,
        submitted.elapsed().as_secs_f64()
    ));

    let measures = Arc::new(Measures {
        waits: (0..128).map(|_| AtomicU64::new(0)).collect(),
        ..Measures::default()
    });
    let started = Instant::now();
    for number in 0..args.workers {
        let clients = connect(fleet.url(), None).await?;
        let hold = Duration::from_millis(args.hold_ms);
        tokio::spawn(work(
            clients,
            number as u128 + 1,
            hold,
            Arc::clone(&measures),
        ));
    }
    let mut clients = connect(fleet.url(), None).await?;
    let mut reported = Instant::now();
    let mut finished = finished_tasks(&mut clients).await?;
    while finished < args.tasks {
        ensure!(
            started.elapsed() < LONGEST,
            "only {finished} tasks finished"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
        finished = finished_tasks(&mut clients).await?;
        if reported.elapsed() > Duration::from_secs(30) {
            reported = Instant::now();
            say(&format!("{finished} finished"));
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    measures.stop.store(true, Ordering::Relaxed);
    say(&format!(
        "{} workers, {:.0} s, {:.0} tasks/s; report to acknowledgement: median {:.1} ms, \
         99 % {:.1} ms, 99.9 % {:.1} ms",
        args.workers,
        seconds,
        args.tasks as f64 / seconds,
        measures.quantile(0.5),
        measures.quantile(0.99),
        measures.quantile(0.999)
    ));
    say(&format!(
        "coordinator: at most {} MB resident; journal {} MB",
        peak_memory(
            fleet
                .coordinator
                .id()
                .context("the coordinator has ended")?
        )? / 1000,
        sizes(&directory.join("state"))? / 1_000_000
    ));

    fleet.coordinator.kill()?;
    let restarted = Instant::now();
    fleet.serve()?;
    let mut clients = connect(fleet.url(), None).await?;
    let finished = finished_tasks(&mut clients).await?;
    let ready = restarted.elapsed().as_secs_f64();
    say(&format!(
        "killed and restarted: ready and {finished} finished tasks listed after {ready:.2} s"
    ));
    ensure!(
        finished == args.tasks,
        "{} tasks are lost",
        args.tasks - finished
    );
    ensure!(
        ready <= args.restart,
        "the restart took {ready:.2} s, more than {} s",
        args.restart
    );
    Ok(ExitCode::SUCCESS)
}

/// One simulated worker.
async fn work(
    mut clients: Clients,
    number: u128,
    hold: Duration,
    measures: Arc<Measures>,
) -> anyhow::Result<()> {
    let (sender, messages) = mpsc::unbounded_channel();
    let send = |message| {
        sender
            .send(FromWorker {
                message: Some(message),
            })
            .context("the session has ended")
    };
    let capability = Capability {
        slots: SLOTS,
        host: format!("simulated-{number}"),
        device: Device::Cpu {
            model: "simulated".to_owned(),
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch: "none".to_owned(),
    };
    send(FromMessage::Hello(pb::Hello {
        protocol: PROTOCOL_VERSION,
        worker: number.to_be_bytes().to_vec(),
        capability: convert::to_json(&capability),
        holding: Vec::new(),
        again: false,
    }))?;
    let outcome = convert::to_json(&AttemptOutcome::Finished {
        result: TaskResult::Noop,
        usage: Usage::default(),
    });
    let response = clients
        .worker
        .session(UnboundedReceiverStream::new(messages))
        .await?;
    let mut stream = response.into_inner();
    let mut sent = HashMap::new();
    let mut slots = [Instant::now(); SLOTS as usize];
    // All tasks take equally long, so they end in the order in which they came.
    let mut running = VecDeque::new();
    let mut heartbeat = tokio::time::interval(Duration::from_secs(5));
    while !measures.stop.load(Ordering::Relaxed) {
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
                send(FromMessage::Heartbeat(pb::Heartbeat {}))?;
                continue;
            }
        };
        match message {
            Some(ToMessage::Start(start)) => {
                for assignment in start.assignments {
                    let attempt = assignment.attempt.context("an assignment names none")?;
                    slots.sort_unstable();
                    slots[0] = slots[0].max(Instant::now()) + hold;
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

/// Waits until the first of what runs ends; for ever where nothing runs.
async fn due(first: Option<&(Instant, pb::Attempt)>) {
    match first {
        Some((at, _)) => tokio::time::sleep_until((*at).into()).await,
        None => std::future::pending().await,
    }
}

impl Measures {
    fn note(&self, wait: Duration) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let micros = (wait.as_micros() as f64).max(1.0);
        let bin = (micros.log2() * 4.0) as usize;
        self.waits[bin.min(self.waits.len() - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// Upper edge of the bin that holds the quantile, in milliseconds.
    fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.acknowledged.load(Ordering::Relaxed) as f64 * share).ceil() as u64;
        let mut counted = 0;
        let bin = self.waits.iter().position(|bin| {
            counted += bin.load(Ordering::Relaxed);
            counted >= wanted
        });
        2f64.powf((bin.unwrap_or_default() + 1) as f64 / 4.0) / 1000.0
    }
}

async fn finished_tasks(clients: &mut Clients) -> anyhow::Result<u64> {
    let study = "soak".to_owned();
    let response = clients.study.status(StudyRequest { study }).await?;
    let status: reprise_domain::status::StudyStatus =
        convert::from_json("status", &response.into_inner().status)?;
    Ok(status.total().finished)
}

/// Largest resident set of a process so far, in kilobytes.
fn peak_memory(id: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let text = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(text.context("the kernel does not say")?.parse()?)
}

/// Bytes of the journal's files.
fn sizes(state: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(state)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("journal") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

#[expect(clippy::print_stdout, reason = "the program's report")]
fn say(line: &str) {
    println!("{line}");
}
