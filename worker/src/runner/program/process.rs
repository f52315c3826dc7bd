//! A program that runs, through its supervisor.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use reprise_domain::ProgramSpec;

use super::ProgramSettings;
use super::error::ProgramError;
use super::leftovers;
use super::output::Output;
use super::workspace::Workspace;
use crate::logs::AttemptLog;
use crate::supervisor::{KILL, TERMINATE, Told};

/// Most bytes that a supervisor tells: a few lines.
const REPORTS: u64 = 64 << 10;

/// A program that runs.
#[derive(Debug)]
pub(super) struct Process {
    supervisor: Child,
    /// Closed, it ends the program.
    orders: Option<ChildStdin>,
    told: Receiver<Told>,
    pub(super) output: Output,
}

/// What a program has come to.
#[derive(Debug)]
pub(super) enum Next {
    /// The supervisor told something.
    Told(Told),
    /// It told nothing within the time.
    Nothing,
    /// It will tell nothing more.
    Silence,
}

impl Process {
    /// Starts a program in its workspace.
    pub(super) fn start(
        settings: &ProgramSettings,
        spec: &ProgramSpec,
        arguments: &[String],
        environment: Vec<(String, OsString)>,
        workspace: &Workspace,
        log: AttemptLog,
    ) -> Result<Self, ProgramError> {
        let mut command = Command::new(&settings.launcher);
        command
            .arg0("reprise-worker")
            .arg("exec-program")
            .arg("--writable")
            .arg(workspace.root());
        if let Some(bytes) = spec.limits.memory_bytes {
            command.arg("--memory").arg(bytes.to_string());
        }
        if let Some(files) = spec.limits.open_files {
            command.arg("--open-files").arg(files.to_string());
        }
        command
            .arg("--")
            .args(arguments)
            .env_clear()
            .envs(environment)
            .current_dir(workspace.work())
            // What a terminal sends to the worker's group is not for programs.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let doing = "start the supervisor of a program";
        let mut supervisor = command.spawn().map_err(ProgramError::io(doing))?;
        let missing = || ProgramError::Unsupervised {
            why: "it has no pipes".to_owned(),
        };
        let orders = supervisor.stdin.take().ok_or_else(missing)?;
        let reports = supervisor.stdout.take().ok_or_else(missing)?;
        let printed = supervisor.stderr.take().ok_or_else(missing)?;
        let output = Output::read(printed, spec.limits.output_bytes, log)
            .map_err(ProgramError::io("read a program's output"))?;
        let (sender, told) = channel();
        thread::Builder::new()
            .name("program-reports".to_owned())
            .spawn(move || {
                let mut reports = BufReader::new(reports.take(REPORTS));
                let mut line = String::new();
                while reports.read_line(&mut line).is_ok_and(|read| read > 0) {
                    let Ok(said) = serde_json::from_str(&line) else {
                        break;
                    };
                    line.clear();
                    if sender.send(said).is_err() {
                        break;
                    }
                }
            })
            .map_err(ProgramError::io("listen to a program's supervisor"))?;
        Ok(Self {
            supervisor,
            orders: Some(orders),
            told,
            output,
        })
    }

    /// Waits for what happens next.
    pub(super) fn next(&self, patience: Duration) -> Next {
        match self.told.recv_timeout(patience) {
            Ok(told) => Next::Told(told),
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => Next::Silence,
        }
    }

    /// Asks the program to save its work and to end.
    pub(super) fn terminate(&mut self) {
        self.order(TERMINATE);
    }

    /// Ends it and all its descendants.
    pub(super) fn kill(&mut self) {
        self.order(KILL);
    }

    /// Ends the supervisor; what it leaves behind is looked for afterwards.
    pub(super) fn kill_supervisor(&mut self) {
        // One that has ended is noticed by its silence.
        let _ = self.supervisor.kill();
    }

    fn order(&mut self, order: u8) {
        if let Some(orders) = &mut self.orders {
            // A supervisor that has ended is noticed by its silence.
            let _ = orders.write_all(&[order]);
        }
    }

    /// Waits for the supervisor, whose program has ended, and for the last output.
    /// Returns how it ended.
    pub(super) fn finish(&mut self, workspace: &Workspace) -> String {
        self.orders = None;
        let status = self.supervisor.wait();
        // A supervisor that was killed leaves its program behind.
        if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
            leftovers::end(workspace.root());
        }
        self.output.finish();
        match status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whatever went wrong: its input closes, and it ends everything.
        self.orders = None;
        let _ = self.supervisor.wait();
    }
}
