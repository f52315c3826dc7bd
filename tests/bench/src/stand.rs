//! Real programs to measure: `reprise serve`, `reprise-worker` and one client, and
//! the no-op studies of `configs/bench/noop.yaml`, each with its own number of tasks.
//!
//! Not here: what is measured on them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reprise_domain::status::StudyStatus;
use reprise_domain::study::StudySpec;
use reprise_proto::client::{Clients, connect};
use reprise_proto::convert;
use reprise_proto::pb::{StudyRequest, SubmitRequest};
use reprise_tests::fleet::Fleet;
use reprise_tests::process::{Process, memory_kb};
use reprise_tests::program;
use tokio::runtime::Runtime;

/// Longest that one measurement may take.
const LIMIT: Duration = Duration::from_mins(5);
/// Time between two looks at a study.
const GLANCE: Duration = Duration::from_millis(2);

/// A coordinator with real workers, and a client of it.
pub(crate) struct Stand {
    home: PathBuf,
    fleet: Fleet,
    clients: Clients,
    /// What drives the client, and workers that are only simulated.
    pub(crate) runtime: Runtime,
    noop: StudySpec,
}

impl Stand {
    /// Starts a coordinator in `home` and this many workers of two slots; returns
    /// when all of them work.
    pub(crate) fn start(home: &Path, workers: usize) -> anyhow::Result<Self> {
        std::fs::create_dir_all(home)?;
        let runtime = Runtime::new()?;
        let mut fleet = Fleet::local(home, 0)?;
        fleet.serve()?;
        let clients = runtime.block_on(connect(fleet.url(), None))?;
        let mut stand = Self {
            home: home.to_owned(),
            fleet,
            clients,
            runtime,
            noop: noop_study()?,
        };
        for _ in 0..workers {
            stand.add_worker()?;
        }
        // A worker takes a while to start; a first study waits for all of them.
        if workers > 0 {
            stand.submit("warm", 1)?;
            stand.wait("warm", |status| {
                status.workers_connected as usize == workers && status.total().finished == 1
            })?;
        }
        Ok(stand)
    }

    /// Starts one more worker of two slots, and does not wait for it.
    pub(crate) fn add_worker(&mut self) -> anyhow::Result<()> {
        let number = self.fleet.workers.len();
        let (url, directory) = (
            self.fleet.url().to_owned(),
            self.home.join(format!("worker-{number}")),
        );
        let log = self.home.join(format!("worker-{number}.log"));
        let mut process = Process::new("worker", &log, move || {
            let mut command = Command::new(program("reprise-worker"));
            command
                .args(["--slots", "2", "--coordinator", &url, "--directory"])
                .arg(&directory);
            command
        });
        process.start()?;
        self.fleet.workers.push(process);
        Ok(())
    }

    /// Where the coordinator listens.
    pub(crate) fn url(&self) -> &str {
        self.fleet.url()
    }

    /// Process ids of the coordinator and of its first worker.
    pub(crate) fn processes(&self) -> anyhow::Result<[u32; 2]> {
        let worker = self.fleet.workers.first().and_then(Process::id);
        Ok([
            self.coordinator()?,
            worker.context("no worker was started")?,
        ])
    }

    /// Submits a study of this many no-op tasks. A task is known by what it does, so
    /// of two studies the larger has every task of the smaller.
    pub(crate) fn submit(&mut self, name: &str, tasks: u32) -> anyhow::Result<()> {
        let mut spec = self.noop.clone();
        spec.name = name.parse()?;
        let plan = spec.noop.as_mut();
        plan.context("the study has no-op tasks")?.tasks = tasks;
        let request = SubmitRequest {
            spec: convert::to_json(&spec),
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
        Ok(response.into_inner().try_into()?)
    }

    /// Waits until a condition holds of a study.
    pub(crate) fn wait(
        &mut self,
        name: &str,
        holds: impl Fn(&StudyStatus) -> bool,
    ) -> anyhow::Result<()> {
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
    pub(crate) fn rate(&mut self, name: &str, tasks: u32) -> anyhow::Result<f64> {
        let started = Instant::now();
        self.submit(name, tasks)?;
        self.wait(name, |status| status.total().finished == u64::from(tasks))?;
        Ok(f64::from(tasks) / started.elapsed().as_secs_f64())
    }

    fn coordinator(&self) -> anyhow::Result<u32> {
        let id = self.fleet.coordinator.id();
        id.context("the coordinator has ended")
    }

    /// Kilobytes of the coordinator, by the kernel's name for them.
    pub(crate) fn memory(&self, field: &str) -> anyhow::Result<f64> {
        Ok(memory_kb(self.coordinator()?, field)?)
    }

    /// Seconds from starting the coordinator, killed before, to its first answer.
    pub(crate) fn restart(&mut self) -> anyhow::Result<f64> {
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
                return Ok(started.elapsed().as_secs_f64());
            }
            std::thread::sleep(GLANCE);
        }
    }
}

/// The repository's file at this path.
pub(crate) fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn noop_study() -> anyhow::Result<StudySpec> {
    let path = in_repository("configs/bench/noop.yaml");
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(|| format!("read study `{shown}`"))?;
    Ok(reprise_study::parse(&shown, &text)?.resolve(None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_study_has_no_op_tasks_alone() {
        let spec = noop_study().unwrap();
        let plan = spec.noop.unwrap();
        assert_eq!((plan.hold_ms, plan.failures), (0, 0));
        assert!(spec.pretrain.is_empty() && spec.search.is_none() && spec.evaluate.is_none());
    }
}
