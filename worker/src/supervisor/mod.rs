//! The process between a worker and a program: `reprise-worker exec-program …`.
//!
//! It limits itself, which the program inherits, starts the program in a process group
//! of its own, and waits. As the reaper of its descendants (`PR_SET_CHILD_SUBREAPER`)
//! it finds all processes that the program leaves behind, those too that have left its
//! process group and session, and ends them. When its worker dies its standard input
//! closes, and it ends everything.
//!
//! Standard input takes orders, a byte each; standard output tells what happens, a JSON
//! line each; standard error is what the program and its descendants write to.
//!
//! Not here: what a program is told and what it gives back, see
//! [`runner`](crate::runner).

mod limits;
mod sandbox;
mod tree;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::{set_child_subreaper, set_dumpable};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, read};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Asks the program to save its work and to end.
pub(crate) const TERMINATE: u8 = b't';

/// Ends it at once, as a closed input does.
pub(crate) const KILL: u8 = b'k';

/// Time between two looks at the memory of all processes.
const MEMORY_INTERVAL: Duration = Duration::from_millis(50);

/// Shortest and longest wait between two looks at whether the program has ended: short
/// programs are to be many, long ones to cost nothing.
const FIRST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// How long processes may take to die that were killed: one that waits for a disk or a
/// device does so later.
const DYING: Duration = Duration::from_secs(10);

/// What is to be run, and within which limits.
#[derive(Debug, Args)]
pub struct SupervisorArgs {
    /// Directory that may be written to.
    #[arg(long)]
    writable: PathBuf,
    /// Resident memory of all processes together, in bytes.
    #[arg(long)]
    memory: Option<u64>,
    /// Files that each process may have open.
    #[arg(long)]
    open_files: Option<u64>,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// What is told of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Told {
    /// It runs.
    Started {
        /// The layers of protection that are active.
        layers: Vec<String>,
    },
    /// It cannot be started.
    Unstartable {
        /// Why not.
        why: String,
    },
    /// It has ended, and all its descendants with it.
    Ended {
        /// Its exit code, if it exited.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// The memory that was in use when it was ended for that.
        over_memory: Option<u64>,
        /// Processes that it had left behind.
        left: usize,
        /// Processes that could not be ended.
        immortal: usize,
    },
}

/// Runs a program to its end.
pub fn run(args: &SupervisorArgs) -> ExitCode {
    match supervise(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The worker may be gone; there is nobody else to tell.
            let _ = tell(&Told::Unstartable {
                why: error.to_string(),
            });
            ExitCode::FAILURE
        }
    }
}

fn supervise(args: &SupervisorArgs) -> io::Result<()> {
    // Whoever stops a service signals all of its processes: this one is to end its
    // program in order, and to tell how it ended.
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    // So that the program cannot open the pipes to the worker.
    set_dumpable(false)?;
    set_child_subreaper(true)?;
    let mut layers = vec!["process group".to_owned(), "reaper".to_owned()];
    layers.extend(limits::apply(args.memory, args.open_files)?);
    layers.extend(sandbox::enter(&args.writable)?);
    let child = match spawn(&args.command) {
        Ok(child) => child,
        Err(error) => {
            let why = error.to_string();
            return tell(&Told::Unstartable { why });
        }
    };
    tell(&Told::Started { layers })?;
    Supervisor {
        group: Pid::from_raw(child.id().cast_signed()),
        memory: args.memory,
        ended: None,
        over_memory: None,
        killing: false,
    }
    .watch()
}

/// Starts the program with its output on this process's standard error.
fn spawn(command: &[OsString]) -> io::Result<Child> {
    let output = || -> io::Result<Stdio> {
        let copy = io::stderr().as_fd().try_clone_to_owned()?;
        Ok(copy.into())
    };
    let [program, arguments @ ..] = command else {
        return Err(io::Error::other("there is no program"));
    };
    Command::new(program)
        .args(arguments)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output()?)
        .stderr(output()?)
        .spawn()
}

fn tell(told: &Told) -> io::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// A program that runs.
struct Supervisor {
    /// The program, which leads its process group.
    group: Pid,
    memory: Option<u64>,
    /// How the program has ended.
    ended: Option<ExitStatus>,
    over_memory: Option<u64>,
    /// Whether everything is to end now.
    killing: bool,
}

impl Supervisor {
    /// Waits for the end, and obeys.
    fn watch(mut self) -> io::Result<()> {
        let mut wait = FIRST_WAIT;
        let mut looked = Instant::now();
        let stdin = io::stdin();
        while self.reap() && self.ended.is_none() && !self.killing {
            if self.memory.is_some() && looked.elapsed() >= MEMORY_INTERVAL {
                looked = Instant::now();
                self.check_memory();
                continue;
            }
            match ordered(stdin.as_fd(), wait)? {
                Some(Order::Terminate) => {
                    // It may have ended this very moment.
                    let _ = killpg(self.group, Signal::SIGTERM);
                    wait = FIRST_WAIT;
                }
                Some(Order::Kill) => self.killing = true,
                None => wait = (wait * 2).min(LONGEST_WAIT),
            }
        }
        let killed_all = self.killing;
        let (left, immortal) = self.end_all();
        let status = self.ended;
        tell(&Told::Ended {
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            over_memory: self.over_memory,
            left: if killed_all { 0 } else { left },
            immortal,
        })
    }

    /// Takes what has ended; says whether anything is left.
    fn reap(&mut self) -> bool {
        loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.group => {
                    // As the kernel gives it.
                    self.ended = Some(ExitStatus::from_raw((code & 0xff) << 8));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.group => {
                    self.ended = Some(ExitStatus::from_raw(signal as i32));
                }
                Ok(WaitStatus::StillAlive) => return true,
                // A signal that interrupts, or another descendant that has ended.
                Err(nix::errno::Errno::EINTR) | Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    fn check_memory(&mut self) {
        let used = tree::resident(&tree::descendants());
        if self.memory.is_some_and(|most| used > most) {
            self.over_memory = Some(used);
            self.killing = true;
        }
    }

    /// Ends whatever is left; says how many there were beside the program, and how many
    /// there still are.
    fn end_all(&mut self) -> (usize, usize) {
        let deadline = Instant::now() + DYING;
        let mut found = BTreeSet::new();
        let mut wait = FIRST_WAIT;
        while self.reap() && Instant::now() < deadline {
            // Stopped first, so that none makes another while it is looked for.
            let mut stopped = 0;
            loop {
                let running = tree::descendants();
                for pid in &running {
                    let _ = kill(*pid, Signal::SIGSTOP);
                }
                found.extend(running.iter().copied().filter(|pid| *pid != self.group));
                if running.len() <= stopped || Instant::now() >= deadline {
                    break;
                }
                stopped = running.len();
            }
            for pid in tree::descendants() {
                let _ = kill(pid, Signal::SIGKILL);
            }
            if !self.reap() {
                break;
            }
            std::thread::sleep(wait);
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        let immortal = if self.reap() {
            tree::descendants().len()
        } else {
            0
        };
        (found.len(), immortal)
    }
}

/// What the worker asks for.
enum Order {
    Terminate,
    Kill,
}

/// Waits for an order.
fn ordered(stdin: BorrowedFd<'_>, wait: Duration) -> io::Result<Option<Order>> {
    let mut asked = [PollFd::new(stdin, PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO);
    match poll(&mut asked, timeout) {
        Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    let mut order = [0];
    // Not through the buffer of the standard library, which would take orders that
    // nobody then waits for.
    match read(stdin, &mut order) {
        Ok(0) | Err(_) => Ok(Some(Order::Kill)),
        Ok(_) if order[0] == TERMINATE => Ok(Some(Order::Terminate)),
        Ok(_) => Ok(Some(Order::Kill)),
    }
}
