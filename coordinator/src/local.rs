//! Worker processes on this machine, started by `reprise run` and replaced when
//! they die.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{fs, thread};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::environment;

/// Wait before a worker that died is replaced.
const RESTART_WAIT: Duration = Duration::from_millis(500);

/// How long a worker may take to hand its work back and leave.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// The worker program: `REPRISE_WORKER`, else beside this program.
pub fn worker_program() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("REPRISE_WORKER") {
        return Ok(path.into());
    }
    let own = std::env::current_exe().context("find this program's own path")?;
    let path = own.with_file_name("reprise-worker");
    anyhow::ensure!(
        path.exists(),
        "no worker program at `{}`; build it with `cargo build --release -p reprise-worker` or set REPRISE_WORKER",
        path.display()
    );
    Ok(path)
}

/// The worker's program for what needs libtorch: `REPRISE_TORCH`, else beside the
/// worker.
///
/// # Errors
/// If there is none.
pub fn torch_program(worker: &Path) -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("REPRISE_TORCH") {
        return Ok(path.into());
    }
    let path = worker.with_file_name("reprise-torch");
    anyhow::ensure!(
        path.exists(),
        "no program for libtorch at `{}`, which real training needs; build it with `make torch` or set REPRISE_TORCH",
        path.display()
    );
    Ok(path)
}

/// Where the NVIDIA driver lists its cards.
const CARDS: &str = "/proc/driver/nvidia/gpus";

/// The part of this machine that a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Processor cores, as many as it has slots.
    Slots(usize),
    /// All cores, and the graphics card.
    Machine,
}

/// The workers for this machine: one process, whose slots share what they read. It has a
/// slot for each core, or for as many as a task takes that takes most. What can take a
/// process down runs in children: libtorch and programs.
///
/// A study with audits gets two processes, each with half of the slots: an audit is for
/// another worker.
pub fn parts(most_cores: usize, audits: bool) -> Vec<Part> {
    let has_card = fs::read_dir(CARDS).is_ok_and(|mut cards| cards.next().is_some());
    if has_card {
        return vec![Part::Machine];
    }
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    shared_out((cores / most_cores.max(1)).max(1), audits)
}

fn shared_out(slots: usize, audits: bool) -> Vec<Part> {
    if audits && slots > 1 {
        vec![Part::Slots(slots.div_ceil(2)), Part::Slots(slots / 2)]
    } else {
        vec![Part::Slots(slots)]
    }
}

/// Directories of workers of an earlier run, other than the first `taken`, in which a
/// result waits to be delivered or a checkpoint to be gone on from.
pub fn unfinished(workers: &Path, taken: usize) -> Vec<PathBuf> {
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<usize>().ok();
    let mut found: Vec<_> = entries(workers)
        .filter_map(|path| Some((number(&path)?, path)))
        .filter(|(number, path)| *number >= taken && is_unfinished(path))
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, path)| path).collect()
}

fn is_unfinished(worker: &Path) -> bool {
    let has_content = |path: &Path| fs::metadata(path).is_ok_and(|file| file.len() > 0);
    let checkpoints = worker.join("checkpoints");
    has_content(&worker.join("spool/log")) || entries(&checkpoints).next().is_some()
}

/// What is in a directory; nothing where there is none.
fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let found = fs::read_dir(directory).into_iter().flatten();
    found.filter_map(|entry| Some(entry.ok()?.path()))
}

/// Keeps one worker alive until `shutdown`; its log goes to its directory. It runs
/// programs where `programs` says so.
pub async fn keep_worker(
    program: PathBuf,
    part: Part,
    programs: bool,
    url: String,
    directory: PathBuf,
    shutdown: CancellationToken,
) {
    while !shutdown.is_cancelled() {
        match spawn(&program, part, programs, &url, &directory) {
            Ok(mut child) => {
                // Waiting for a child closes its input, which would tell it that
                // this process has ended.
                let _input = child.stdin.take();
                tokio::select! {
                    ended = child.wait() => {
                        tracing::warn!(directory = %directory.display(), status = ?ended.ok(), "worker ended; starting another");
                    }
                    () = shutdown.cancelled() => {
                        leave(&mut child).await;
                        return;
                    }
                }
            }
            Err(error) => tracing::error!("{error:#}"),
        }
        tokio::select! {
            () = tokio::time::sleep(RESTART_WAIT) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

fn spawn(
    program: &Path,
    part: Part,
    programs: bool,
    url: &str,
    directory: &Path,
) -> anyhow::Result<Child> {
    fs::create_dir_all(directory).with_context(|| format!("make `{}`", directory.display()))?;
    let log_path = directory.join("log");
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .with_context(|| format!("open `{}`", log_path.display()))?;
    let mut command = Command::new(program);
    command
        .args(["--coordinator", url, "--exit-with-parent", "--directory"])
        .arg(directory);
    if let Part::Slots(slots) = part {
        command.args(["--slots", &slots.to_string(), "--device", "cpu"]);
    }
    if programs {
        command.arg("--allow-programs");
    }
    // The credential among them may be for a coordinator elsewhere; this one is on
    // loopback and asks for none.
    for name in environment::names(environment::is_secret) {
        command.env_remove(name);
    }
    command
        // The pipe closes when this process ends, however it ends.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start worker `{}`", program.display()))
}

async fn leave(child: &mut Child) {
    if let Some(id) = child.id() {
        // It may have ended this very moment.
        let _ = kill(Pid::from_raw(id.cast_signed()), Signal::SIGTERM);
    }
    if tokio::time::timeout(LEAVE_TIME, child.wait())
        .await
        .is_err()
    {
        let _ = child.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_with_audits_has_two_workers_where_there_are_two_slots() {
        assert_eq!(shared_out(5, false), [Part::Slots(5)]);
        assert_eq!(shared_out(5, true), [Part::Slots(3), Part::Slots(2)]);
        assert_eq!(shared_out(1, true), [Part::Slots(1)]);
    }

    #[test]
    fn workers_of_an_earlier_run_go_on_where_something_waits() {
        let home = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &str| {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("0/spool/log", "a result");
        write("1/spool/log", "");
        write("2/spool/log", "a result");
        write("10/checkpoints/task", "where it stands");
        write("other/spool/log", "a result");
        let found = unfinished(home.path(), 1);
        assert_eq!(found, ["2", "10"].map(|name| home.path().join(name)));
        assert_eq!(unfinished(&home.path().join("none"), 0), [] as [PathBuf; 0]);
    }
}
