//! A program that is started, signalled, killed and started again under one name.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Time between two looks at a condition that is waited for.
pub const GLANCE: Duration = Duration::from_millis(20);

/// A program with its log. It dies with this value.
pub struct Process {
    name: String,
    log: PathBuf,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    child: Option<Child>,
    starts: u32,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("name", &self.name)
            .field("child", &self.child)
            .field("starts", &self.starts)
            .finish_non_exhaustive()
    }
}

impl Process {
    /// A program that is not running yet. What it prints is appended to `log`.
    pub fn new(
        name: &str,
        log: &Path,
        command: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.to_owned(),
            log: log.to_owned(),
            command: Box::new(command),
            child: None,
            starts: 0,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often it was started.
    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// Its process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it.
    pub fn start(&mut self) -> io::Result<()> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let child = (self.command)()
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.name)))?;
        self.child = Some(child);
        self.starts += 1;
        Ok(())
    }

    /// Its exit status, once, after it has ended.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else {
            return Ok(None);
        };
        let status = child.try_wait()?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> io::Result<bool> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?.is_none()),
            None => Ok(false),
        }
    }

    /// Sends a signal; says whether there was a living process to send it to.
    pub fn signal(&mut self, signal: Signal) -> io::Result<bool> {
        // One that has ended and was not waited for would take any signal.
        if !self.is_running()? {
            return Ok(false);
        }
        let Some(child) = &self.child else {
            return Ok(false);
        };
        kill(Pid::from_raw(child.id().cast_signed()), signal)?;
        Ok(true)
    }

    /// Kills it without any warning, if it runs.
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        let mut status = None;
        wait_until(limit, &format!("`{}` ends", self.name), || {
            status = self.ended()?;
            Ok(status.is_some())
        })?;
        status.ok_or_else(|| io::Error::other(format!("`{}` does not run", self.name)))
    }

    /// What it has printed so far, over all its starts.
    pub fn log(&self) -> io::Result<String> {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // There is nobody to tell, and a leftover would disturb the next test.
        let _ = self.kill();
    }
}

/// The same command by way of `nice`, which becomes it: it yields to others that compete
/// for the processors.
pub fn at_low_priority(command: &Command) -> Command {
    let mut low = Command::new("nice");
    low.args(["-n", "10"])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        low.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => low.env(name, value),
            None => low.env_remove(name),
        };
    }
    low
}

/// A number of kilobytes that the kernel gives of a process: `VmHWM:` is its largest
/// resident set so far, `VmRSS:` the present one.
pub fn memory_kb(id: u32, field: &str) -> io::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find(|line| line.starts_with(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("the kernel gives no `{field}` of process {id}")))
}

/// Waits until a condition holds, and fails when it does not within `limit`.
pub fn wait_until(
    limit: Duration,
    what: &str,
    mut holds: impl FnMut() -> io::Result<bool>,
) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    while !holds()? {
        if Instant::now() >= deadline {
            let message = format!("waited {limit:?} in vain: {what}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        std::thread::sleep(GLANCE);
    }
    Ok(())
}
