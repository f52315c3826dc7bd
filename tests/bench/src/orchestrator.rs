//! Tasks that do nothing, through real programs: `reprise serve`, `reprise-worker`
//! and one client, every result durable before it is acknowledged.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reprise_domain::SpaceName;
use reprise_domain::protocol::{Protocol, Quirks};
use reprise_domain::status::StudyStatus;
use reprise_domain::study::{NoopPlan, OnFailure, RetryPolicy, StudySpec};
use reprise_proto::client::{Clients, connect};
use reprise_proto::convert;
use reprise_proto::pb::{StudyRequest, SubmitRequest};
use reprise_tests::fleet::Fleet;
use reprise_tests::process::{Process, memory_kb};
use reprise_tests::program;
use reprise_tests::simulated::{Measures, SimulatedWorker};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::plot::Panel;
use crate::report::{Better, Row, Section};
use crate::samples::Samples;
use crate::setting::script;

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
/// Longest that one measurement may take.
const LIMIT: Duration = Duration::from_mins(5);
/// Time between two looks at a study.
const GLANCE: Duration = Duration::from_millis(2);

/// Tasks a second that `HyperQueue` 0.26.2 did on two cores of this kind, zero-work
/// build, with one and eight workers of two slots (`ORCHESTRATORS.md`, part B).
const HYPERQUEUE: [f64; 2] = [920.0, 6_197.0];

/// A coordinator with real workers, and a client of it.
struct Bench {
    fleet: Fleet,
    clients: Clients,
    runtime: Runtime,
}

/// Measures rates, latency, memory and restart, in turns with Ray and Dask.
pub(crate) fn measure(python: &Path, directory: &Path, repeats: usize) -> anyhow::Result<Section> {
    let [mut one, mut eight, mut ray, mut dask] = [const { Samples::new() }; 4];
    let [mut first, mut ray_first, mut dask_first] = [const { Samples::new() }; 3];
    let [mut memory, mut queued, mut restart, mut efficiency] = [const { Samples::new() }; 4];
    for repeat in 0..repeats {
        let home = |what: &str| directory.join(format!("{what}-{repeat}"));
        let mut bench = Bench::start(&home("one"), 1)?;
        first.push(bench.first_task()?);
        one.push(bench.rate("rate", TASKS)?);
        drop(bench);
        eight.push(Bench::start(&home("eight"), 8)?.rate("rate", TASKS)?);

        let mut bench = Bench::start(&home("many"), 1)?;
        bench.rate("many", MANY)?;
        memory.push(bench.memory("VmRSS:")? / 1e3);
        restart.push(bench.restart("many", MANY)?);
        drop(bench);
        queued.push(Bench::start(&home("queued"), 0)?.bytes_a_queued_task()?);
        efficiency.push(Bench::start(&home("efficiency"), 0)?.efficiency()?);

        let (rate, latency) = other(python, "ray")?;
        ray.push(rate);
        ray_first.push(latency);
        let (rate, latency) = other(python, "dask")?;
        dask.push(rate);
        dask_first.push(latency);
    }
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
        title: "Orchestrator",
        about: format!(
            "No-op tasks over gRPC between processes on loopback; every result is durable \
             before it is acknowledged, which Ray and Dask do not offer. {TASKS} tasks a \
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
                restart,
            )
            .noting("killed; until all are listed again"),
            Row::alone(
                "64 simulated workers, tasks of one second",
                "% busy",
                Better::Higher,
                efficiency,
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
                Ok(f64::from(tasks) / Bench::start(&home, workers)?.rate("plot", tasks)?)
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
            work: "tasks",
            cost: "seconds",
            points: by_tasks,
        },
        Panel {
            title: format!("{TASKS} no-op tasks"),
            work: "workers of two slots, on the same cores",
            cost: "seconds",
            points: by_workers,
        },
    ])
}

impl Bench {
    fn start(home: &Path, workers: usize) -> anyhow::Result<Self> {
        std::fs::create_dir_all(home)?;
        let runtime = Runtime::new()?;
        let mut fleet = Fleet::local(home, 0)?;
        fleet.serve()?;
        for number in 0..workers {
            let (url, directory) = (
                fleet.url().to_owned(),
                home.join(format!("worker-{number}")),
            );
            let log = home.join(format!("worker-{number}.log"));
            let mut process = Process::new("worker", &log, move || {
                let mut command = Command::new(program("reprise-worker"));
                command
                    .args(["--slots", "2", "--coordinator", &url, "--directory"])
                    .arg(&directory);
                command
            });
            process.start()?;
            fleet.workers.push(process);
        }
        let clients = runtime.block_on(connect(fleet.url(), None))?;
        let mut bench = Self {
            fleet,
            clients,
            runtime,
        };
        // A worker takes a while to start; a first study waits for all of them.
        if workers > 0 {
            bench.submit("warm", 1)?;
            bench.wait("warm", |status| {
                status.workers as usize == workers && status.total().finished == 1
            })?;
        }
        Ok(bench)
    }

    fn submit(&mut self, name: &str, tasks: u32) -> anyhow::Result<()> {
        let request = SubmitRequest {
            spec: convert::to_json(&study(name, tasks)?),
            amend: false,
        };
        self.runtime.block_on(self.clients.study.submit(request))?;
        Ok(())
    }

    fn status(&mut self, name: &str) -> anyhow::Result<StudyStatus> {
        let request = StudyRequest {
            study: name.to_owned(),
        };
        let response = self.runtime.block_on(self.clients.study.status(request))?;
        Ok(convert::from_json("status", &response.into_inner().status)?)
    }

    fn wait(&mut self, name: &str, holds: impl Fn(&StudyStatus) -> bool) -> anyhow::Result<()> {
        let started = Instant::now();
        while !holds(&self.status(name)?) {
            ensure!(
                started.elapsed() < LIMIT,
                "study `{name}` is not done after {LIMIT:?}"
            );
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// Tasks a second from submitting to the last result.
    fn rate(&mut self, name: &str, tasks: u32) -> anyhow::Result<f64> {
        let started = Instant::now();
        self.submit(name, tasks)?;
        self.wait(name, |status| status.total().finished == u64::from(tasks))?;
        Ok(f64::from(tasks) / started.elapsed().as_secs_f64())
    }

    /// Median milliseconds from submitting a study with one task that no study before
    /// it had to its result.
    fn first_task(&mut self) -> anyhow::Result<f64> {
        let times: anyhow::Result<Samples> = (0..FIRST_TASKS)
            .map(|number| {
                let started = Instant::now();
                // The warm-up had the first task, and each of these has one more.
                self.rate(&format!("first-{number}"), number + 2)?;
                Ok(1_000.0 * started.elapsed().as_secs_f64())
            })
            .collect();
        Ok(times?.median())
    }

    fn memory(&self, field: &str) -> anyhow::Result<f64> {
        let id = self.fleet.coordinator.id();
        Ok(memory_kb(id.context("the coordinator has ended")?, field)?)
    }

    fn bytes_a_queued_task(&mut self) -> anyhow::Result<f64> {
        let before = self.memory("VmRSS:")?;
        self.submit("queued", QUEUED)?;
        let planned = |status: &StudyStatus| status.total().planned == u64::from(QUEUED);
        self.wait("queued", planned)?;
        Ok((self.memory("VmRSS:")? - before) * 1024.0 / f64::from(QUEUED))
    }

    /// Share of the time of all slots that tasks took, in percent.
    fn efficiency(&mut self) -> anyhow::Result<f64> {
        let measures = Arc::new(Measures::default());
        for number in 1..=u128::from(SLOTS) {
            let worker = SimulatedWorker {
                number,
                slots: 1,
                hold: Duration::from_secs(1),
            };
            let (url, measures) = (self.fleet.url().to_owned(), Arc::clone(&measures));
            self.runtime
                .spawn(async move { worker.work(&url, measures).await });
        }
        // One task a worker, so that all are there. The next study has these too.
        self.rate("arrived", SLOTS)?;
        let started = Instant::now();
        self.rate("seconds", SLOTS * (TASKS_EACH + 1))?;
        let seconds = started.elapsed().as_secs_f64();
        measures.stop();
        Ok(100.0 * f64::from(TASKS_EACH) / seconds)
    }

    /// Seconds from starting a killed coordinator to its listing every result.
    fn restart(&mut self, name: &str, tasks: u32) -> anyhow::Result<f64> {
        self.fleet.coordinator.kill()?;
        let started = Instant::now();
        self.fleet.coordinator.start()?;
        loop {
            ensure!(
                started.elapsed() < LIMIT,
                "the coordinator does not come back"
            );
            if let Ok(clients) = self.runtime.block_on(connect(self.fleet.url(), None)) {
                self.clients = clients;
                break;
            }
            std::thread::sleep(GLANCE);
        }
        self.wait(name, |status| status.total().finished == u64::from(tasks))?;
        Ok(started.elapsed().as_secs_f64())
    }
}

fn study(name: &str, tasks: u32) -> anyhow::Result<StudySpec> {
    Ok(StudySpec {
        name: name.parse()?,
        space: SpaceName::Nasbench201,
        protocol: Protocol::Reference,
        quirks: Quirks::of(Protocol::Reference),
        pretrain: Vec::new(),
        search: None,
        evaluate: None,
        noop: Some(NoopPlan {
            tasks,
            hold_ms: 0,
            failures: 0,
        }),
        retry: RetryPolicy::default(),
        on_failure: OnFailure::default(),
    })
}

/// Tasks a second of another system, and milliseconds of one task.
fn other(python: &Path, system: &str) -> anyhow::Result<(f64, f64)> {
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
    let number = |name: &str| {
        let value = answer[name].as_f64();
        value.with_context(|| format!("{system}: `{line}` has no `{name}`"))
    };
    Ok((number("per_second")?, number("first_ms")?))
}
