//! The harness of the end-to-end tests: real programs in their own directories.

pub mod chaos;
pub mod damage;
pub mod failover;
pub mod fleet;
pub mod hostile;
pub mod journal;
pub mod network;
pub mod object_server;
pub mod postgres;
pub mod process;
pub mod simulated;
pub mod slurm;
pub mod soak;
pub mod spool;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A directory with a study and its state, and the programs to run it with.
#[derive(Debug)]
pub struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    /// An empty site.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            directory: tempfile::tempdir()?,
        })
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a study file.
    pub fn study(&self, text: &str) -> std::io::Result<()> {
        std::fs::write(self.path().join("study.yaml"), text)
    }

    /// `reprise run study.yaml` with two workers, not yet started.
    pub fn run(&self) -> Command {
        let mut command = self.run_as_it_is();
        command.args(["--workers", "2"]);
        command
    }

    /// `reprise run study.yaml` without further arguments, not yet started.
    pub fn run_as_it_is(&self) -> Command {
        let mut command = Command::new(program("reprise"));
        command
            .args(["run", "study.yaml", "--out", "out"])
            .env("REPRISE_WORKER", program("reprise-worker"))
            .env("REPRISE_LOG", "info")
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the study to its end.
    pub fn finish(&self) -> std::io::Result<Output> {
        self.run().output()
    }

    /// A file that the study wrote.
    pub fn out(&self, name: &str) -> std::io::Result<String> {
        std::fs::read_to_string(self.path().join("out").join(name))
    }

    /// Lines that the workers logged so far.
    pub fn worker_logs(&self) -> String {
        (0..2)
            .filter_map(|worker| {
                std::fs::read_to_string(self.path().join(format!(".reprise/workers/{worker}/log")))
                    .ok()
            })
            .collect()
    }
}

/// What a program said on standard error.
pub fn said_by(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Kills a process without any warning.
pub fn kill_now(child: &mut Child) -> std::io::Result<()> {
    child.kill()?;
    child.wait().map(|_| ())
}

/// A program of the workspace, built beside this test.
///
/// # Panics
/// If it was not built: a skipped test would look like a passed one.
pub fn program(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().unwrap_or_default();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push(name);
    assert!(
        path.exists(),
        "`{}` is not built; `make test` builds it first",
        path.display()
    );
    path
}
