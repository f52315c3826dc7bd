//! Empty tasks over simulated workers: rate, latencies, memory, processor time, the
//! journal's size, and a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::Figure;
use super::measure::{journal_bytes, processor_seconds};
use crate::fleet::{Fleet, START};
use crate::process::memory_kb;
use crate::simulated::{Measures, SimulatedWorker};

/// How long one load may take in all.
const LONGEST: Duration = Duration::from_hours(1);

/// Workers that dial at once: no more than wait in the queue of a listening socket.
const DIALING: usize = 100;

/// Between two looks at the study.
const LOOK: Duration = Duration::from_millis(500);

/// What a coordinator is loaded with.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Tasks.
    pub tasks: u64,
    /// Simulated workers.
    pub workers: usize,
    /// Slots that each of them offers.
    pub slots: u32,
    /// How long a slot holds a task.
    pub hold: Duration,
    /// Longest 99.9 % of the waits for an acknowledgement may be, in milliseconds.
    pub latency_ms: f64,
    /// Longest restart, in seconds.
    pub restart: f64,
}

/// Starts `count` workers and waits until all are welcome.
pub async fn start(
    fleet: &Fleet,
    count: usize,
    slots: u32,
    hold: Duration,
    measures: &Arc<Measures>,
) -> anyhow::Result<()> {
    let first = measures.welcomed() + 1;
    for number in 0..count {
        let worker = SimulatedWorker {
            number: u128::from(first) + number as u128,
            slots,
            hold,
        };
        let (url, measures) = (fleet.url().to_owned(), Arc::clone(measures));
        let welcomed = first + number as u64 - 1;
        let begun = Instant::now();
        while measures.welcomed() + (DIALING as u64) < welcomed {
            ensure!(
                begun.elapsed() < START,
                "only {} workers are welcome",
                measures.welcomed()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::spawn(async move {
            let ended = worker.work(&url, Arc::clone(&measures)).await;
            measures.end(ended.err());
        });
    }
    let begun = Instant::now();
    while measures.welcomed() < first - 1 + count as u64 {
        let ended = measures.ended();
        ensure!(
            begun.elapsed() < START && ended.is_empty(),
            "{} of {count} workers are welcome; {ended:?}",
            measures.welcomed()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Puts the load on a coordinator of its own in `home`.
pub async fn run(load: Load, home: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut fleet = Fleet::local(home, 0)?;
    fleet.serve()?;
    let state = home.join("state");
    let id = fleet
        .coordinator
        .id()
        .context("the coordinator has ended")?;
    let study = format!(
        "version: 1\nname: soak\nspace: nasbench201\nnoop: {{tasks: {}}}\n",
        load.tasks
    );
    let submitted = Instant::now();
    fleet.submit(&study)?;
    let submit = submitted.elapsed().as_secs_f64();
    let planned_kb = memory_kb(id, "VmRSS:")?;

    let measures = Arc::new(Measures::default());
    let dialled = Instant::now();
    start(&fleet, load.workers, load.slots, load.hold, &measures).await?;
    let welcome = dialled.elapsed().as_secs_f64();
    let (started, processor) = (Instant::now(), processor_seconds(id)?);
    let mut largest = 0;
    loop {
        let standing = tokio::task::block_in_place(|| fleet.standing("soak"))?;
        largest = largest.max(journal_bytes(&state)?);
        if standing.is_finished() {
            break;
        }
        let ended = measures.ended();
        ensure!(
            started.elapsed() < LONGEST && ended.is_empty(),
            "{standing:?}; workers that ended: {ended:?}"
        );
        tokio::time::sleep(LOOK).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let used = processor_seconds(id)? - processor;
    let (peak_kb, end_kb) = (memory_kb(id, "VmHWM:")?, memory_kb(id, "VmRSS:")?);
    measures.stop();

    fleet.coordinator.kill()?;
    let restarted = Instant::now();
    tokio::task::block_in_place(|| fleet.serve())?;
    let standing = fleet.standing("soak")?;
    let ready = restarted.elapsed().as_secs_f64();
    ensure!(standing.is_finished(), "tasks are lost: {standing:?}");

    let tasks = load.tasks as f64;
    Ok(vec![
        Figure::new(format!("{tasks} tasks submitted"), submit, "s"),
        Figure::new(format!("{} workers welcomed", load.workers), welcome, "s"),
        Figure::new("all tasks finished", seconds, "s"),
        Figure::new("rate", tasks / seconds, "tasks/s"),
        Figure::new("acknowledgement, median", measures.quantile(0.5), "ms"),
        Figure::new("acknowledgement, 99 %", measures.quantile(0.99), "ms"),
        Figure::new("acknowledgement, 99.9 %", measures.quantile(0.999), "ms")
            .at_most(load.latency_ms),
        Figure::new(
            "coordinator, share of one processor",
            100.0 * used / seconds,
            "%",
        ),
        Figure::new(
            "coordinator, processor time a task",
            1e6 * used / tasks,
            "us",
        ),
        Figure::new("coordinator, resident at most", peak_kb / 1e3, "MB"),
        Figure::new(
            "coordinator, grown by a finished task",
            1024.0 * (end_kb - planned_kb) / tasks,
            "B",
        ),
        Figure::new("journal at most", largest as f64 / 1e6, "MB"),
        Figure::new(
            "journal in the end",
            journal_bytes(&state)? as f64 / 1e6,
            "MB",
        ),
        Figure::new("killed, restarted and all listed", ready, "s").at_most(load.restart),
    ])
}
