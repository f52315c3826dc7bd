//! Tasks that do nothing, through real programs: `reprise serve`, `reprise-worker`
//! and one client, every result durable before it is acknowledged.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reprise_tests::simulated::{Measures, SimulatedWorker};
use serde_json::Value;

use crate::plot::Panel;
use crate::report::{Better, Row, Section, number};
use crate::samples::Samples;
use crate::setting::script;
use crate::stand::Stand;
use crate::versions::Versions;

/// Tasks of a throughput measurement.
const TASKS: u32 = 50_000;
/// Tasks that memory and restart are measured at.
const MANY: u32 = 100_000;
/// Tasks that wait while the memory of waiting is measured.
const QUEUED: u32 = 1_000_000;
/// Tasks that the other systems run in a repeat: they take seconds for these.
const BASELINE_TASKS: u32 = 3_000;
/// One-task studies whose latency is measured in a repeat.
const FIRST_TASKS: u32 = 20;
/// Simulated workers of one slot, and the tasks of a second that each gets.
const SLOTS: u32 = 64;
const TASKS_EACH: u32 = 10;
/// Tasks a second that `HyperQueue` did on two cores of this kind, zero-work build,
/// with one and eight workers of two slots (`ORCHESTRATORS.md`, part B).
const HYPERQUEUE: [f64; 2] = [920.0, 6_197.0];
const HYPERQUEUE_VERSION: &str = "0.26.2-dev";

/// Measures rates, latency, memory and restart, in turns with Ray and Dask.
pub(crate) fn measure(
    python: &Path,
    directory: &Path,
    repeats: usize,
    versions: &mut Versions,
) -> anyhow::Result<Section> {
    let [mut one, mut eight, mut ray, mut dask] = [const { Samples::new() }; 4];
    let [mut first, mut ray_first, mut dask_first] = [const { Samples::new() }; 3];
    let [mut memory, mut queued, mut restarted, mut busy] = [const { Samples::new() }; 4];
    for repeat in 0..repeats {
        let home = |what: &str| directory.join(format!("{what}-{repeat}"));
        let mut stand = Stand::start(&home("one"), 1)?;
        first.push(first_task(&mut stand)?);
        one.push(stand.rate("rate", TASKS)?);
        drop(stand);
        eight.push(Stand::start(&home("eight"), 8)?.rate("rate", TASKS)?);

        let mut stand = Stand::start(&home("many"), 1)?;
        stand.rate("many", MANY)?;
        memory.push(stand.memory("VmRSS:")? / 1e3);
        restarted.push(restart(&mut stand, "many", MANY)?);
        drop(stand);
        queued.push(bytes_a_queued_task(&mut Stand::start(&home("queued"), 0)?)?);
        busy.push(efficiency(&mut Stand::start(&home("efficiency"), 0)?)?);

        let (rate, latency) = other(python, "ray", versions)?;
        ray.push(rate);
        ray_first.push(latency);
        let (rate, latency) = other(python, "dask", versions)?;
        dask.push(rate);
        dask_first.push(latency);
    }
    versions.note("hyperqueue", HYPERQUEUE_VERSION);
    let constant = |value: f64| (0..repeats).map(|_| value).collect::<Samples>();
    let rate = |what, ours: &Samples, theirs, note| {
        Row::alone(what, "tasks/s", Better::Higher, ours.clone())
            .against(theirs)
            .noting(note)
    };
    let single = "one worker, two slots";
    let latency = |theirs, note| {
        Row::alone(
            "one task, submit to done",
            "ms",
            Better::Lower,
            first.clone(),
        )
        .against(theirs)
        .noting(note)
    };
    Ok(Section {
        title: "Orchestrator".to_owned(),
        about: format!(
            "`configs/bench/noop.yaml` with other numbers of tasks, over gRPC between \
             processes on loopback; every result is durable before it is acknowledged, which \
             Ray and Dask do not offer. {TASKS} tasks a \
             repeat, {BASELINE_TASKS} of Ray and Dask with two workers."
        ),
        rows: vec![
            rate(single, &one, ray, "baseline: Ray"),
            rate(single, &one, dask, "baseline: Dask"),
            rate(
                single,
                &one,
                constant(HYPERQUEUE[0]),
                "HyperQueue, as reported",
            ),
            rate(
                "eight workers, two slots each",
                &eight,
                constant(HYPERQUEUE[1]),
                "HyperQueue, as reported",
            ),
            latency(ray_first, "baseline: Ray"),
            latency(dask_first, "baseline: Dask"),
            Row::alone(
                "coordinator at 100,000 finished tasks",
                "MB",
                Better::Lower,
                memory,
            ),
            Row::alone(
                "a queued task, of a million",
                "bytes",
                Better::Lower,
                queued,
            ),
            Row::alone(
                "restart with 100,000 finished tasks",
                "s",
                Better::Lower,
                restarted,
            )
            .noting("killed; until all are listed again"),
            Row::alone(
                "64 simulated workers, tasks of one second",
                "% busy",
                Better::Higher,
                busy,
            ),
        ],
    })
}

/// Seconds against tasks, and against workers, for the plot.
pub(crate) fn sizes(directory: &Path, repeats: usize) -> anyhow::Result<[Panel; 2]> {
    let seconds = |name: String, workers, tasks| -> anyhow::Result<Samples> {
        (0..repeats)
            .map(|repeat| {
                let home = directory.join(format!("{name}-{repeat}"));
                Ok(f64::from(tasks) / Stand::start(&home, workers)?.rate("plot", tasks)?)
            })
            .collect()
    };
    let mut by_tasks = Vec::new();
    for tasks in [1_000, 10_000, 100_000, 400_000] {
        let samples = seconds(format!("tasks-{tasks}"), 1, tasks)?;
        by_tasks.push((f64::from(tasks), samples));
    }
    let mut by_workers = Vec::new();
    for workers in [1, 2, 4, 8] {
        let samples = seconds(format!("workers-{workers}"), workers, TASKS)?;
        by_workers.push((workers as f64, samples));
    }
    Ok([
        Panel {
            title: "no-op tasks, one worker of two slots".to_owned(),
            work: "tasks".to_owned(),
            cost: "seconds".to_owned(),
            points: by_tasks,
            baseline: None,
        },
        Panel {
            title: format!("{} no-op tasks", number(f64::from(TASKS))),
            work: "workers of two slots, on the same cores".to_owned(),
            cost: "seconds".to_owned(),
            points: by_workers,
            baseline: None,
        },
    ])
}

/// Median milliseconds from submitting a study with one task that no study before it
/// had to its result.
fn first_task(stand: &mut Stand) -> anyhow::Result<f64> {
    let times: anyhow::Result<Samples> = (0..FIRST_TASKS)
        .map(|number| {
            let started = Instant::now();
            // The warm-up had the first task, and each of these has one more.
            stand.rate(&format!("first-{number}"), number + 2)?;
            Ok(1_000.0 * started.elapsed().as_secs_f64())
        })
        .collect();
    Ok(times?.median())
}

fn bytes_a_queued_task(stand: &mut Stand) -> anyhow::Result<f64> {
    let before = stand.memory("VmRSS:")?;
    stand.submit("queued", QUEUED)?;
    stand.wait("queued", |status| {
        status.total().planned == u64::from(QUEUED)
    })?;
    Ok((stand.memory("VmRSS:")? - before) * 1024.0 / f64::from(QUEUED))
}

/// Share of the time of all slots that tasks took, in percent.
fn efficiency(stand: &mut Stand) -> anyhow::Result<f64> {
    let measures = Arc::new(Measures::default());
    for number in 1..=u128::from(SLOTS) {
        let worker = SimulatedWorker {
            number,
            slots: 1,
            hold: Duration::from_secs(1),
        };
        let (url, measures) = (stand.url().to_owned(), Arc::clone(&measures));
        stand
            .runtime
            .spawn(async move { worker.work(&url, measures).await });
    }
    // One task a worker, so that all are there. The next study has these too.
    stand.rate("arrived", SLOTS)?;
    let started = Instant::now();
    stand.rate("seconds", SLOTS * (TASKS_EACH + 1))?;
    let seconds = started.elapsed().as_secs_f64();
    measures.stop();
    Ok(100.0 * f64::from(TASKS_EACH) / seconds)
}

/// Seconds from starting a killed coordinator to its listing every result.
fn restart(stand: &mut Stand, name: &str, tasks: u32) -> anyhow::Result<f64> {
    let answered = stand.restart()?;
    let started = Instant::now();
    stand.wait(name, |status| status.total().finished == u64::from(tasks))?;
    Ok(answered + started.elapsed().as_secs_f64())
}

/// Tasks a second of another system, and milliseconds of one task.
fn other(python: &Path, system: &str, versions: &mut Versions) -> anyhow::Result<(f64, f64)> {
    let output = Command::new(python)
        .arg(script("orchestrators.py"))
        .args([system, "--workers", "2", "--tasks"])
        .arg(BASELINE_TASKS.to_string())
        .output()
        .with_context(|| format!("start `{}`", python.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{system}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let line = text.lines().last().unwrap_or_default();
    let answer: Value =
        serde_json::from_str(line).with_context(|| format!("{system}: `{line}`"))?;
    versions.note_all(&answer["versions"]);
    let number = |name: &str| {
        let value = answer[name].as_f64();
        value.with_context(|| format!("{system}: `{line}` has no `{name}`"))
    };
    Ok((number("per_second")?, number("first_ms")?))
}
