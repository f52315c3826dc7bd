//! A coordinator that serves and workers that dial it, as processes of their own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::{kill_now, program};

/// Longest wait for anything that must happen.
const DEADLINE: Duration = Duration::from_mins(2);

/// `reprise serve` with a state directory of its own.
#[derive(Debug)]
pub struct Serving {
    /// Where it can be reached.
    pub url: String,
    directory: PathBuf,
    child: Child,
}

/// A worker with a directory of its own. Killed when dropped.
#[derive(Debug)]
pub struct Worker {
    log: PathBuf,
    child: Child,
}

impl Serving {
    /// Starts it under `directory` on a free port, or on that of an earlier `url`.
    pub fn start(directory: &Path, url: Option<&str>) -> io::Result<Self> {
        let mut serving = Self::launch(directory, url, &[])?;
        serving.url = serving.wait_until_it_serves()?;
        Ok(serving)
    }

    /// Starts it without waiting for anything, with further arguments.
    pub fn launch(directory: &Path, url: Option<&str>, more: &[&str]) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let log = directory.join("log");
        let address = url.map_or("127.0.0.1:0", |url| url.trim_start_matches("http://"));
        let child = Command::new(program("reprise"))
            .args(["serve", "--listen", address, "--state"])
            .arg(directory.join("state"))
            .args(more)
            .env("REPRISE_LOG", "info")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        Ok(Self {
            url: format!("http://{address}"),
            directory: directory.to_owned(),
            child,
        })
    }

    /// Waits until it serves; returns where.
    pub fn wait_until_it_serves(&self) -> io::Result<String> {
        let said = self.wait_for("serving address=")?;
        let address = said.split("serving address=").nth(1);
        let address = address.and_then(|rest| rest.split_whitespace().next());
        Ok(format!("http://{}", address.unwrap_or_default()))
    }

    /// Waits until it has logged `text`; returns the log up to then.
    pub fn wait_for(&self, text: &str) -> io::Result<String> {
        wait_for(&self.directory.join("log"), text)
    }

    /// Ends it without any warning.
    pub fn kill(&mut self) -> io::Result<()> {
        kill_now(&mut self.child)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Runs `reprise COMMAND..` against it.
    pub fn command(&self, arguments: &[&str]) -> io::Result<Output> {
        Command::new(program("reprise"))
            .args(arguments)
            .args(["--coordinator", &self.url])
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .output()
    }

    /// The same, where it has to succeed; what it wrote to standard output.
    pub fn succeed(&self, arguments: &[&str]) -> io::Result<String> {
        let output = self.command(arguments)?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(io::Error::other(format!("{arguments:?}: {said}")))
        }
    }

    /// Writes a study file and submits it.
    pub fn submit(&self, study: &str) -> io::Result<()> {
        fs::write(self.directory.join("study.yaml"), study)?;
        self.succeed(&["submit", "study.yaml"]).map(drop)
    }

    /// Starts a worker with one slot.
    pub fn worker(&self, name: &str, more: &[&str]) -> io::Result<Worker> {
        Worker::start(&self.directory.join(name), &self.url, more)
    }

    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Digests of all stored artifacts, in order.
    pub fn artifacts(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for group in fs::read_dir(self.state().join("artifacts"))? {
            for file in fs::read_dir(group?.path())? {
                names.push(file?.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

impl Worker {
    /// Starts a worker with one slot.
    pub fn start(directory: &Path, url: &str, more: &[&str]) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let log = directory.join("log");
        let child = Command::new(program("reprise-worker"))
            .args(["--coordinator", url, "--slots", "1", "--directory"])
            .arg(directory)
            .args(more)
            .env("REPRISE_LOG", "info")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&log)?)
            .spawn()?;
        Ok(Self { log, child })
    }

    /// Waits until it has logged `text`; returns the log up to then.
    pub fn wait_for(&self, text: &str) -> io::Result<String> {
        wait_for(&self.log, text)
    }

    /// What it has logged so far.
    pub fn log(&self) -> io::Result<String> {
        fs::read_to_string(&self.log)
    }

    /// Ends it without any warning.
    pub fn kill(&mut self) -> io::Result<()> {
        kill_now(&mut self.child)
    }

    /// Asks it to leave and waits until it has; how long that took.
    pub fn leave(&mut self) -> io::Result<Duration> {
        let asked = Instant::now();
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        until("the worker leaves", || Ok(self.child.try_wait()?.is_some()))?;
        Ok(asked.elapsed())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Waits until a file holds `text`; returns its content then.
pub fn wait_for(path: &Path, text: &str) -> io::Result<String> {
    let mut content = String::new();
    until(&format!("`{}` says `{text}`", path.display()), || {
        content = fs::read_to_string(path).unwrap_or_default();
        Ok(content.contains(text))
    })?;
    Ok(content)
}

/// Waits until a condition holds.
pub fn until(what: &str, mut holds: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    while !holds()? {
        if Instant::now() >= deadline {
            return Err(io::Error::other(format!("never happened: {what}")));
        }
        // Leaves the cores to what is waited for.
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(())
}
