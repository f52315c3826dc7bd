//! `reprise` as a process with a deadline and a bound on its memory, and a
//! coordinator for it to talk to.

use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reprise_coordinator::instance::{Config, Instance};
use reprise_tests::process::wait_until;
use tempfile::TempDir;

/// A study that ends only when somebody runs its tasks.
pub(crate) const NOOP: &str =
    "version: 1\nname: noop\nspace: nasbench201\nnoop: {tasks: 3, hold-ms: 50}\n";

/// Longer than any command here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) data: String,
    /// Standard error.
    pub(crate) said: String,
}

/// Runs `reprise` with these arguments and variables.
pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)]) -> io::Result<Ended> {
    run_in(&std::env::temp_dir(), arguments, variables)
}

/// The same in a directory.
pub(crate) fn run_in(
    directory: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> io::Result<Ended> {
    let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
    run_os(directory, &arguments, variables)
}

/// The same with arguments that need not be text.
pub(crate) fn run_os(
    directory: &Path,
    arguments: &[&OsStr],
    variables: &[(&str, &str)],
) -> io::Result<Ended> {
    finish(start(directory, arguments, variables)?)
}

/// Runs `reprise` and sends it a signal once `ready`.
pub(crate) fn interrupted(
    directory: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
    ready: impl FnMut() -> io::Result<bool>,
    signal: Signal,
) -> io::Result<Ended> {
    let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
    let mut child = start(directory, &arguments, variables)?;
    let waited = wait_until(PATIENCE, "the command is under way", ready);
    if waited.is_err() {
        child.kill()?;
    }
    waited?;
    kill(Pid::from_raw(child.id().cast_signed()), signal)?;
    finish(child)
}

fn start(directory: &Path, arguments: &[&OsStr], variables: &[(&str, &str)]) -> io::Result<Child> {
    // A read without a bound ends here and not the machine.
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -v 4000000; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_reprise"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("REPRISE_COORDINATOR")
        .env_remove("REPRISE_CREDENTIAL")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn()
}

/// Waits for the end of a process that writes less than a pipe holds.
fn finish(mut child: Child) -> io::Result<Ended> {
    let waited = wait_until(PATIENCE, "the command ends", || {
        Ok(child.try_wait()?.is_some())
    });
    if waited.is_err() {
        child.kill()?;
    }
    let output = child.wait_with_output()?;
    waited?;
    Ok(Ended {
        code: output.status.code(),
        data: String::from_utf8_lossy(&output.stdout).into_owned(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Stops a coordinator; its state directory is free then.
pub(crate) async fn stop(instance: Instance) -> anyhow::Result<()> {
    instance.shutdown.cancel();
    Ok(instance.stopped.await??)
}

/// A coordinator in this process.
#[derive(Debug)]
pub(crate) struct Stand {
    instance: Instance,
    directory: TempDir,
}

impl Stand {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::on(any, tempfile::tempdir()?).await
    }

    /// The same at an address, in a directory that may have been used before.
    async fn on(listen: SocketAddr, directory: TempDir) -> anyhow::Result<Self> {
        let config = Config {
            listen,
            ..Config::local(&directory.path().join("state"))
        };
        let instance = Instance::start(config).await?;
        Ok(Self {
            instance,
            directory,
        })
    }

    /// Stops it, and starts it again at the same address after `meanwhile`.
    pub(crate) async fn restart(
        self,
        meanwhile: impl FnOnce() -> io::Result<()>,
    ) -> anyhow::Result<Self> {
        let Self {
            instance,
            directory,
        } = self;
        let address = instance.address;
        stop(instance).await?;
        meanwhile()?;
        Self::on(address, directory).await
    }

    /// Begins to follow a study; what it says goes to `log`.
    pub(crate) fn watch(&self, study: &str, log: &Path) -> io::Result<Child> {
        Command::new(env!("CARGO_BIN_EXE_reprise"))
            .args(["watch", study, "--coordinator", &self.instance.url()])
            .env_remove("REPRISE_CREDENTIAL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(log)?)
            .spawn()
    }

    /// A file in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a study and returns its path.
    pub(crate) fn study(&self, name: &str, text: &str) -> io::Result<String> {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    /// Runs a command against this coordinator.
    pub(crate) fn run(&self, arguments: &[&str]) -> io::Result<Ended> {
        let address = self.instance.url();
        run_in(
            self.directory.path(),
            arguments,
            &[("REPRISE_COORDINATOR", &address)],
        )
    }
}
