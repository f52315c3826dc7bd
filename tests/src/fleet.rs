//! A coordinator and workers as separate programs, and the commands of a user.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use reprise_domain::status::{StudyStatus, TaskCounts};

use crate::process::{Process, wait_until};
use crate::program;

/// How long a program may take to start, on a machine that does other things too.
pub const START: Duration = Duration::from_mins(1);

/// Where a study stands, as `reprise status --output json` prints it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Tasks of the study.
    pub planned: u64,
    /// Tasks with a result.
    pub finished: u64,
    /// Tasks that a worker holds.
    pub running: u64,
    /// Tasks that were given up.
    pub failed: u64,
}

impl Standing {
    /// Reads the counts of all stages from what `status --output json` prints.
    pub fn parse(json: &str) -> Option<Self> {
        Some(Self::of(
            serde_json::from_str::<StudyStatus>(json).ok()?.total(),
        ))
    }

    /// Reads the counts of a stage by its name.
    pub fn of_stage(json: &str, stage: &str) -> Option<Self> {
        let status: StudyStatus = serde_json::from_str(json).ok()?;
        let mut stages = status.stages.iter();
        let found = stages.find(|known| known.name == stage)?;
        Some(Self::of(&found.tasks))
    }

    const fn of(tasks: &TaskCounts) -> Self {
        Self {
            planned: tasks.planned,
            finished: tasks.finished,
            running: tasks.running,
            failed: tasks.failed,
        }
    }

    /// Whether every task has its result.
    pub fn is_finished(&self) -> bool {
        self.planned > 0 && self.finished == self.planned
    }
}

/// A coordinator with its workers, each in a directory of its own.
#[derive(Debug)]
pub struct Fleet {
    home: PathBuf,
    url: String,
    namespace: Option<String>,
    /// The coordinator.
    pub coordinator: Process,
    /// The workers.
    pub workers: Vec<Process>,
}

impl Fleet {
    /// A fleet in `home` on loopback, not started.
    pub fn local(home: &Path, workers: usize) -> io::Result<Self> {
        let port = free_port()?;
        let state = home.join("state");
        let listen = format!("127.0.0.1:{port}");
        let coordinator = Process::new("coordinator", &home.join("coordinator.log"), move || {
            serve(&listen, &state)
        });
        let url = format!("http://127.0.0.1:{port}");
        let workers = (0..workers)
            .map(|number| {
                let (url, directory) = (url.clone(), home.join(format!("worker-{number}")));
                let name = format!("worker {number}");
                let log = home.join(format!("worker-{number}.log"));
                Process::new(&name, &log, move || worker(&url, &directory))
            })
            .collect();
        Ok(Self {
            home: home.to_owned(),
            url,
            namespace: None,
            coordinator,
            workers,
        })
    }

    /// A fleet of programs made elsewhere.
    pub fn of(home: &Path, url: &str, coordinator: Process, workers: Vec<Process>) -> Self {
        Self {
            home: home.to_owned(),
            url: url.to_owned(),
            namespace: None,
            coordinator,
            workers,
        }
    }

    /// The same fleet, asked from inside a network namespace.
    #[must_use]
    pub fn asked_from(self, namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..self
        }
    }

    /// Where the coordinator listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The coordinator's journal.
    pub fn journal(&self) -> PathBuf {
        self.home.join("state/journal.sqlite")
    }

    /// A command of `reprise` that is sent to this coordinator.
    pub fn ask(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.namespace {
            None => Command::new(program("reprise")),
            Some(namespace) => inside(namespace, &program("reprise")),
        };
        command
            .args(arguments)
            .args(["--coordinator", &self.url])
            .current_dir(&self.home)
            .stdin(Stdio::null());
        command
    }

    /// Starts the coordinator and waits until it answers.
    pub fn serve(&mut self) -> io::Result<()> {
        self.coordinator.start()?;
        self.wait_for_answer()
    }

    /// Waits until the coordinator answers.
    pub fn wait_for_answer(&self) -> io::Result<()> {
        wait_until(START, "the coordinator answers", || {
            Ok(self.ask(&["list"]).output()?.status.success())
        })
    }

    /// Starts all workers.
    pub fn work(&mut self) -> io::Result<()> {
        self.workers.iter_mut().try_for_each(Process::start)
    }

    /// Writes a study file and submits it.
    pub fn submit(&self, study: &str) -> io::Result<()> {
        std::fs::write(self.home.join("study.yaml"), study)?;
        said(self.ask(&["submit", "study.yaml"])).map(|_| ())
    }

    /// Where a study stands.
    pub fn standing(&self, study: &str) -> io::Result<Standing> {
        let json = self.status(study)?;
        let unread = || io::Error::other(format!("not a status: {json}"));
        Standing::parse(&json).ok_or_else(unread)
    }

    /// Where a stage of a study stands.
    pub fn standing_of(&self, study: &str, stage: &str) -> io::Result<Standing> {
        let json = self.status(study)?;
        let unread = || io::Error::other(format!("no stage `{stage}` in the status: {json}"));
        Standing::of_stage(&json, stage).ok_or_else(unread)
    }

    fn status(&self, study: &str) -> io::Result<String> {
        said(self.ask(&["status", study, "--output", "json"]))
    }

    /// Waits until every task of a study has its result.
    pub fn finish(&self, study: &str, limit: Duration) -> io::Result<()> {
        wait_until(limit, &format!("study `{study}` is finished"), || {
            Ok(self.standing(study)?.is_finished())
        })
    }

    /// Exports a study into `home/out`.
    pub fn export(&self, study: &str) -> io::Result<PathBuf> {
        let out = self.home.join("out");
        let mut command = self.ask(&["export", study]);
        said(command.arg("--out").arg(&out)).map(|_| out)
    }
}

/// Standard output of a command that must succeed.
pub fn said(mut command: impl std::borrow::BorrowMut<Command>) -> io::Result<String> {
    let command = command.borrow_mut();
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "{command:?}: {}: {error}",
        output.status
    )))
}

/// `reprise serve`.
pub fn serve(listen: &str, state: &Path) -> Command {
    let mut command = Command::new(program("reprise"));
    command
        .args(["serve", "--listen", listen, "--state"])
        .arg(state);
    command
}

/// `reprise-worker` with one slot.
pub fn worker(coordinator: &str, directory: &Path) -> Command {
    let mut command = Command::new(program("reprise-worker"));
    command
        .args(["--slots", "1", "--coordinator", coordinator, "--directory"])
        .arg(directory);
    command
}

/// A program inside a network namespace.
pub fn inside(namespace: &str, program: &Path) -> Command {
    let mut command = Command::new("ip");
    // `ip` turns into the program, so that signals reach it.
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// A port of loopback that nobody listens on.
pub fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
