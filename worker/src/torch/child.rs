//! One child process: its streams, its last words and its end.
//!
//! A thread reads each of its streams and one writes, so that whoever waits for it can
//! look at the clock. It leaves when its standard input closes, also where this process
//! is killed.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, process};

use nix::sys::signal::Signal;
use reprise_child::{FromChild, Hello, PROTOCOL, ToChild, frame};
use reprise_domain::text::printable;
use serde::de::DeserializeOwned;

use super::error::TorchError;
use crate::logs::note;
use crate::outcome::is_out_of_memory;

/// Messages and lines that wait to be taken in; then the child has to wait. A message
/// may have the size of the largest artifact.
const WAITING: usize = 2;

/// Bytes of a line of its log, and lines that are kept for the reason of its end.
const LONGEST_LINE: u64 = 2000;
const LAST_LINES: usize = 20;

/// Characters of what it said last, in the reason of its end.
const LONGEST_QUOTE: usize = 200;

/// How long a process that has closed its streams, or was killed, may take to be gone.
const GONE: Duration = Duration::from_secs(5);

/// How long what it said last may take to come, after its end was seen.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Time between two looks at whether it is gone.
const GLANCE: Duration = Duration::from_millis(5);

/// A child process.
#[derive(Debug)]
pub(super) struct Child {
    process: process::Child,
    /// To the thread that writes; none once its standard input is to close.
    to: Option<Sender<(ToChild, Vec<u8>)>>,
    from: Receiver<Stream<FromChild>>,
    last_lines: VecDeque<String>,
    /// Processes that the kernel had ended for want of memory before this one.
    killed_before: u64,
    /// When it was first seen to have ended.
    ended_at: Option<Instant>,
    is_over: bool,
}

/// What the threads read.
#[derive(Debug)]
enum Stream<M> {
    Message(M, Vec<u8>),
    Wrong(String),
    Line(String),
}

/// What was heard of it.
#[derive(Debug)]
pub(super) enum Heard {
    Nothing,
    Message(FromChild, Vec<u8>),
    Wrong(String),
    /// Its streams are closed.
    End,
}

impl Child {
    /// Starts `program` and waits for its first word.
    pub(super) fn start(program: &Path, limit: Duration) -> Result<(Self, Hello), TorchError> {
        let name = || printable(&program.display().to_string(), LONGEST_QUOTE);
        let failed = |error: io::Error| TorchError::Start {
            program: name(),
            reason: error.to_string(),
        };
        let mut process = Command::new(program)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What a terminal sends to this process is for this process alone: it stops
            // its tasks in order.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let streams = (
            process.stdin.take(),
            process.stdout.take(),
            process.stderr.take(),
        );
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(failed(io::Error::other("its streams are not piped")));
        };
        let (to, orders) = channel();
        let (heard, from) = sync_channel(WAITING);
        let (first, hello) = sync_channel(1);
        let mut child = Self {
            process,
            to: Some(to),
            from,
            last_lines: VecDeque::new(),
            killed_before: memory_kills(),
            ended_at: None,
            is_over: false,
        };
        let lines = heard.clone();
        for started in [
            named("torch-out", move || read_messages(stdout, &first, &heard)),
            named("torch-err", move || read_lines(stderr, &lines)),
            named("torch-in", move || write(stdin, &orders)),
        ] {
            started.map_err(failed)?;
        }
        let hello = match child.first_word(&hello, limit) {
            Ok(hello) => hello,
            Err(reason) => {
                return Err(TorchError::Start {
                    program: name(),
                    reason,
                });
            }
        };
        if hello.protocol != PROTOCOL || hello.version != env!("CARGO_PKG_VERSION") {
            return Err(TorchError::Version {
                program: name(),
                version: printable(&hello.version, LONGEST_QUOTE),
                found: hello.protocol,
                expected: PROTOCOL,
            });
        }
        Ok((child, hello))
    }

    /// What it says first, or in words why it says nothing.
    fn first_word(
        &mut self,
        hello: &Receiver<Stream<Hello>>,
        limit: Duration,
    ) -> Result<Hello, String> {
        let deadline = Instant::now() + limit;
        loop {
            match hello.try_recv() {
                Ok(Stream::Message(hello, _)) => return Ok(hello),
                Ok(Stream::Wrong(reason)) => return Err(reason),
                Ok(Stream::Line(_)) | Err(_) => {}
            }
            match self.hear(GLANCE) {
                Heard::End => {
                    // It may have come between the two looks.
                    return match hello.try_recv() {
                        Ok(Stream::Message(hello, _)) => Ok(hello),
                        Ok(Stream::Wrong(reason)) => Err(reason),
                        _ => Err(self.death().to_string()),
                    };
                }
                _ if Instant::now() >= deadline => {
                    return Err(format!("it says nothing for {limit:?}"));
                }
                _ => {}
            }
        }
    }

    /// Sends something, in order. A child that cannot be written to any more has ended,
    /// which is heard.
    pub(super) fn send(&mut self, message: ToChild, body: Vec<u8>) {
        if let Some(to) = &self.to {
            let _ = to.send((message, body));
        }
    }

    /// Forgets what was said and what happened before the next task.
    pub(super) fn begin(&mut self) {
        self.last_lines.clear();
        self.killed_before = memory_kills();
    }

    /// The next thing that it says, if it comes within `patience`. Lines of its log go
    /// to the attempts that this thread runs.
    pub(super) fn hear(&mut self, patience: Duration) -> Heard {
        match self.from.recv_timeout(patience) {
            Ok(Stream::Message(message, body)) => Heard::Message(message, body),
            Ok(Stream::Wrong(reason)) => Heard::Wrong(reason),
            Ok(Stream::Line(line)) => {
                note!("reprise-torch: {line}");
                if self.last_lines.len() == LAST_LINES {
                    self.last_lines.pop_front();
                }
                self.last_lines.push_back(line);
                Heard::Nothing
            }
            // A process of its own may hold its streams open longer than it lives.
            Err(RecvTimeoutError::Timeout) if self.ended().is_none() => Heard::Nothing,
            Err(RecvTimeoutError::Timeout) => {
                // Its last words may still be on their way.
                let since = *self.ended_at.get_or_insert_with(Instant::now);
                if since.elapsed() < LAST_WORDS {
                    Heard::Nothing
                } else {
                    Heard::End
                }
            }
            Err(RecvTimeoutError::Disconnected) => Heard::End,
        }
    }

    /// How it has ended, if it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.process.try_wait().ok().flatten()?;
        self.is_over = true;
        Some(described(status))
    }

    /// Why a child whose streams are closed has ended.
    pub(super) fn death(&mut self) -> TorchError {
        let Some(status) = self.wait() else {
            return TorchError::Ended {
                how: "closed its streams and was killed".to_owned(),
                out_of_memory: false,
            };
        };
        let mut how = described(status);
        let was_killed = status.signal() == Some(Signal::SIGKILL as i32);
        let by_kernel = was_killed && memory_kills() > self.killed_before;
        let lacked = self.last_lines.iter().any(|line| is_out_of_memory(line));
        if by_kernel {
            how.push_str(" while the machine was out of memory");
        }
        if let Some(line) = self.last_lines.back() {
            how.push_str("; it said last: `");
            how.push_str(&printable(line, LONGEST_QUOTE));
            how.push('`');
        }
        TorchError::Ended {
            how,
            out_of_memory: by_kernel || lacked,
        }
    }

    /// Has it leave by itself.
    pub(super) fn leave(mut self) {
        self.close();
    }

    fn close(&mut self) {
        self.to = None;
        if self.wait().is_none() {
            self.kill();
        }
    }

    /// Waits a little for its end.
    fn wait(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + GONE;
        loop {
            if let Ok(Some(status)) = self.process.try_wait() {
                self.is_over = true;
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(GLANCE);
        }
    }

    /// Kills it. One that hangs in a driver is gone only once the driver lets it go,
    /// which nobody waits for.
    fn kill(&mut self) {
        let _ = self.process.kill();
        let is_gone = self.wait().is_some();
        self.is_over = true;
        if !is_gone {
            let id = self.process.id();
            tracing::warn!(
                id,
                "a killed `reprise-torch` is not gone yet; it hangs in the kernel"
            );
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_over {
            self.to = None;
            self.kill();
        }
    }
}

/// How a process ended, after its name.
fn described(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(number), _) => {
            let name = Signal::try_from(number).map_or("unknown", Signal::as_str);
            format!("was ended by signal {number} ({name})")
        }
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Processes that the kernel has ended for want of memory so far: on the machine, and in
/// this process's control group.
fn memory_kills() -> u64 {
    let of = |path| fs::read_to_string(path).map_or(0, |text| count(&text));
    of("/proc/vmstat") + of("/sys/fs/cgroup/memory.events")
}

fn count(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

fn named(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map(drop)
}

/// Reads the first word and all others, to the end of the stream or the first thing
/// that is none.
fn read_messages(
    mut stdout: ChildStdout,
    hello: &SyncSender<Stream<Hello>>,
    others: &SyncSender<Stream<FromChild>>,
) {
    if pass_on(&mut stdout, hello) {
        while pass_on(&mut stdout, others) {}
    }
}

/// Reads a message; whether there may be another.
fn pass_on<M: DeserializeOwned>(stdout: &mut ChildStdout, to: &SyncSender<Stream<M>>) -> bool {
    let (said, more) = match frame::read(stdout) {
        Ok(Some((message, body))) => (Stream::Message(message, body), true),
        // The end of the process is the reason, not its last half frame.
        Ok(None) | Err(frame::FrameError::Cut(_)) => return false,
        Err(error) => (Stream::Wrong(chain(&error)), false),
    };
    to.send(said).is_ok() && more
}

fn chain(error: &frame::FrameError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Reads its log, line by line; what is longer than a line may be is several.
fn read_lines(stderr: ChildStderr, to: &SyncSender<Stream<FromChild>>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match stderr
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if !text.is_empty() && to.send(Stream::Line(text.to_owned())).is_err() {
            return;
        }
    }
}

/// Writes what is sent, until it is to close or nobody reads it.
fn write(mut stdin: ChildStdin, orders: &Receiver<(ToChild, Vec<u8>)>) {
    while let Ok((message, body)) = orders.recv() {
        if frame::write(&mut stdin, &message, &body).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_described_by_signal_or_code() {
        let check = |raw, expected| assert_eq!(described(ExitStatus::from_raw(raw)), expected);
        check(6, "was ended by signal 6 (SIGABRT)");
        check(9, "was ended by signal 9 (SIGKILL)");
        check(3 << 8, "ended with exit code 3");
    }

    #[test]
    fn the_kernels_count_is_found() {
        assert_eq!(count("oom 2\noom_kill 7\noom_group_kill 1\n"), 7);
        assert_eq!(count("nr_free_pages 1\n"), 0);
    }
}
