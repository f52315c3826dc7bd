//! A Slurm of its own for a test, by `deploy/slurm/trial.sh`: own key, ports and
//! folder, ended with the value. Nothing of an installed Slurm is touched.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long Slurm may take to be ready.
const PATIENCE: Duration = Duration::from_mins(1);

/// A cluster of one node that pretends to have four cores.
#[derive(Debug)]
pub struct Slurm {
    directory: tempfile::TempDir,
    trial: Child,
}

/// Why there is no Slurm to test with; nothing when there is one.
pub fn missing_slurm() -> Option<String> {
    let missing: Vec<_> = ["slurmctld", "slurmd", "munged", "sbatch", "setpriv"]
        .into_iter()
        .filter(|name| find(name).is_none())
        .collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Some(format!(
            "{missing} not installed; apt-get install slurm-wlm munge"
        ));
    }
    let user = Command::new("id").arg("-u").output().ok()?.stdout;
    (user.trim_ascii() != b"0").then(|| "only root can start slurmd and munged".to_owned())
}

impl Slurm {
    /// Starts one and waits until its node is idle.
    pub fn start() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/slurm/trial.sh");
        let trial = Command::new(script)
            .arg(directory.path())
            .arg(free_ports()?.to_string())
            .stdin(Stdio::null())
            .spawn()?;
        let mut slurm = Self { directory, trial };
        let begun = Instant::now();
        loop {
            let nodes = slurm.output("sinfo", &["-h", "-o", "%t"])?;
            if nodes.stdout.trim_ascii() == b"idle" {
                return Ok(slurm);
            }
            if begun.elapsed() > PATIENCE || slurm.trial.try_wait()?.is_some() {
                let logs = slurm.logs();
                return Err(io::Error::other(format!("not ready: {nodes:?}\n{logs}")));
            }
            pause();
        }
    }

    /// A program that talks to this Slurm.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.directory.path().join("slurm.conf"));
        command
    }

    /// Runs a program that talks to this Slurm to its end.
    pub fn output(&self, program: &str, arguments: &[&str]) -> io::Result<Output> {
        self.command(program).args(arguments).output()
    }

    /// What its daemons logged.
    pub fn logs(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        // The script ends its daemons; where it does not, nobody else can.
        let _ = Command::new("kill")
            .arg(self.trial.id().to_string())
            .status();
        let begun = Instant::now();
        while matches!(self.trial.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE {
            pause();
        }
        let _ = super::kill_now(&mut self.trial);
    }
}

/// Lets a moment pass between two looks at a condition: each look starts programs,
/// and the machine has other work.
pub fn pause() {
    std::thread::park_timeout(Duration::from_millis(50));
}

/// The first of two ports in a row that are free now, and very likely still are a
/// moment later.
fn free_ports() -> io::Result<u16> {
    loop {
        let first = TcpListener::bind("127.0.0.1:0")?;
        let port = first.local_addr()?.port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return Ok(port);
        }
    }
}

/// A program on `PATH` or where daemons are.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|path| path.exists())
}
