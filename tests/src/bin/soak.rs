//! A soak: a great many no-op tasks over many simulated workers and one real
//! coordinator, then a restart. Reports rate, tail latency, memory and journal
//! size; fails when a task is missing or a restart is slow.
//!
//! The workers are simulated, see `reprise_tests::simulated`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use reprise_proto::client::{Clients, connect};
use reprise_proto::pb::StudyRequest;
use reprise_tests::fleet::Fleet;
use reprise_tests::process::memory_kb;
use reprise_tests::simulated::{Measures, SimulatedWorker};

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
    /// Slots that each of them offers.
    #[arg(long, default_value_t = 4)]
    slots: u32,
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

    let measures = Arc::new(Measures::default());
    let started = Instant::now();
    for number in 0..args.workers {
        let worker = SimulatedWorker {
            number: number as u128 + 1,
            slots: args.slots,
            hold: Duration::from_millis(args.hold_ms),
        };
        let (url, measures) = (fleet.url().to_owned(), Arc::clone(&measures));
        tokio::spawn(async move { worker.work(&url, measures).await });
    }
    let mut clients = connect(fleet.url(), None).await?;
    let mut reported = Instant::now();
    let mut finished = finished_tasks(&mut clients).await?;
    while finished < args.tasks {
        ensure!(
            started.elapsed() < LONGEST,
            "only {finished} tasks finished"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
        finished = finished_tasks(&mut clients).await?;
        if reported.elapsed() > Duration::from_secs(30) {
            reported = Instant::now();
            say(&format!("{finished} finished"));
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    measures.stop();
    say(&format!(
        "{} workers, {:.2} s, {:.0} tasks/s; report to acknowledgement: median {:.1} ms, \
         99 % {:.1} ms, 99.9 % {:.1} ms",
        args.workers,
        seconds,
        args.tasks as f64 / seconds,
        measures.quantile(0.5),
        measures.quantile(0.99),
        measures.quantile(0.999)
    ));
    let coordinator = fleet.coordinator.id();
    let coordinator = coordinator.context("the coordinator has ended")?;
    say(&format!(
        "coordinator: at most {:.0} MB resident; journal {} MB",
        memory_kb(coordinator, "VmHWM:")? / 1e3,
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

async fn finished_tasks(clients: &mut Clients) -> anyhow::Result<u64> {
    let study = "soak".to_owned();
    let response = clients.study.status(StudyRequest { study }).await?;
    let study = response.into_inner().study.context("a status without a study")?;
    Ok(study.tasks.context("a study without counts")?.finished)
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
