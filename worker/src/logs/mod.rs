//! Logs of attempts: what a slot's thread logs while it runs one, with time and
//! level, in memory while the attempt runs and in a file of its own for whatever
//! kills the process. The file stays until the coordinator has the log.
//!
//! Only logs that say something outlive their attempt: of one that failed, that was
//! killed, or that logged something itself. Of a million trials that finish without a
//! word, nothing is stored.
//!
//! Not here: when a log is sent, which is the session's part.

mod capture;
mod ring;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};
use std::{fs, io, thread};

use reprise_domain::text::printable;
use reprise_domain::{AttemptId, AttemptOutcome, TaskKey, TaskSpec};
use tracing::Level;

use self::capture::line;
use self::ring::Ring;
pub(crate) use capture::{ATTEMPT, note};
pub use capture::{Capturing, capture, for_all, layer};

/// Time between two looks at which running attempts have logged something: what a
/// killed process loses of its logs.
const PERIOD: Duration = Duration::from_secs(1);

/// What a failure repeats of its log: lines, and characters of each.
const TAIL_LINES: usize = 20;
const TAIL_CHARS: usize = reprise_domain::bounds::worker::LINE_CHARS;

/// The log of one attempt.
#[derive(Debug, Clone, Default)]
pub struct AttemptLog(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    content: Mutex<Content>,
    file: Mutex<FileState>,
}

#[derive(Debug, Default)]
struct Content {
    /// The line that it begins with, once the attempt has begun.
    first: Option<First>,
    ring: Ring,
    /// Lines so far, those that were dropped among them.
    lines: u64,
}

/// What the first line is made of when somebody reads it: most logs have no reader.
#[derive(Debug)]
struct First {
    at: SystemTime,
    spec: TaskSpec,
}

/// What its file holds.
#[derive(Debug, Default)]
struct FileState {
    /// Lines that were there when it was written last; none where it was not.
    lines: Option<u64>,
    /// Whether nothing may be written any more.
    is_closed: bool,
}

impl AttemptLog {
    fn push(&self, line: String) {
        let mut content = lock(&self.0.content);
        content.ring.push(line);
        content.lines += 1;
    }

    /// Lines so far: whether there is something new.
    pub fn lines(&self) -> u64 {
        lock(&self.0.content).lines
    }

    /// The last lines, for a failure.
    pub fn tail(&self) -> Vec<String> {
        let content = lock(&self.0.content);
        let lines = content.ring.last(TAIL_LINES);
        lines.map(|line| printable(line, TAIL_CHARS)).collect()
    }
}

/// The logs of a worker's attempts and their directory.
#[derive(Debug, Clone)]
pub struct Logs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    /// Where attempts run: host, device and program, for their first lines.
    place: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: HashMap<AttemptId, AttemptLog>,
    /// Attempts that have ended and have a file.
    kept: HashSet<AttemptId>,
}

impl Logs {
    /// Logs in `directory`, with those that an earlier process left; attempts run in
    /// `place`, which is said in words.
    pub fn open(directory: &Path, place: String) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut kept = HashSet::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            match entry.file_name().to_str().and_then(attempt_of) {
                Some(attempt) => drop(kept.insert(attempt)),
                // Half written when its process was killed.
                None => fs::remove_file(entry.path())?,
            }
        }
        let state = State {
            kept,
            ..State::default()
        };
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            place,
            state: Mutex::new(state),
        });
        let watched = Arc::downgrade(&shared);
        thread::Builder::new()
            .name("logs".to_owned())
            .spawn(move || write_out(&watched))?;
        Ok(Self(shared))
    }

    /// Begins the log of an attempt, which is in a file while it runs.
    pub fn begin(&self, attempt: AttemptId, spec: &TaskSpec, log: &AttemptLog) {
        lock(&log.0.content).first = Some(First {
            at: SystemTime::now(),
            spec: spec.clone(),
        });
        let mut state = lock(&self.0.state);
        state.running.insert(attempt, log.clone());
    }

    /// Ends the log of an attempt, and keeps it if it says something.
    pub fn end(&self, attempt: AttemptId, log: &AttemptLog, outcome: &AttemptOutcome) {
        lock(&self.0.state).running.remove(&attempt);
        let mut file = lock(&log.0.file);
        file.is_closed = true;
        let failure = match outcome {
            AttemptOutcome::Failed(failure) => Some(failure),
            AttemptOutcome::Finished { .. } | AttemptOutcome::Returned => None,
        };
        if failure.is_none() && log.lines() == 0 {
            if file.lines.is_some() {
                // One that stays is sent after the next start.
                let _ = fs::remove_file(self.0.path(attempt));
            }
            return;
        }
        log.push(match (outcome, failure) {
            (_, Some(failure)) => line(
                SystemTime::now(),
                Level::WARN,
                &format!("failed: {}", failure.message),
            ),
            (AttemptOutcome::Returned, _) => {
                line(SystemTime::now(), Level::INFO, "stopped before its end")
            }
            _ => line(SystemTime::now(), Level::INFO, "finished"),
        });
        self.0.write(attempt, log, &mut file);
        if file.lines.is_some() {
            lock(&self.0.state).kept.insert(attempt);
        }
    }

    /// What there is of a running attempt's log.
    pub fn text(&self, log: &AttemptLog) -> String {
        self.0.text(log)
    }

    /// The kept log of an attempt that has ended.
    pub fn kept(&self, attempt: AttemptId) -> Option<Vec<u8>> {
        let is_kept = lock(&self.0.state).kept.contains(&attempt);
        let read = || fs::read(self.0.path(attempt)).ok();
        is_kept.then(read).flatten()
    }

    /// All attempts that have ended and have a kept log.
    pub fn all_kept(&self) -> Vec<AttemptId> {
        lock(&self.0.state).kept.iter().copied().collect()
    }

    /// Removes the kept log of an attempt.
    pub fn remove(&self, attempt: AttemptId) {
        if lock(&self.0.state).kept.remove(&attempt) {
            // One that stays is sent once more after the next start.
            let _ = fs::remove_file(self.0.path(attempt));
        }
    }
}

impl Shared {
    /// Writes what is new. A log that cannot be written is not worth the attempt.
    fn write(&self, attempt: AttemptId, log: &AttemptLog, file: &mut FileState) {
        let lines = log.lines();
        if file.lines == Some(lines) {
            return;
        }
        let path = self.path(attempt);
        let fresh = path.with_extension("new");
        let written = fs::write(&fresh, self.text(log)).and_then(|()| fs::rename(&fresh, &path));
        match written {
            Ok(()) => file.lines = Some(lines),
            Err(error) => tracing::debug!(%error, path = %path.display(), "log not written"),
        }
    }

    fn text(&self, log: &AttemptLog) -> String {
        let content = lock(&log.0.content);
        let mut text = String::new();
        if let Some(First { at, spec }) = &content.first {
            let json = String::from_utf8(reprise_proto::convert::to_json(spec));
            let json = json.unwrap_or_default();
            let said = format!("begins {spec} on {}; task {json}", self.place);
            text.push_str(&line(*at, Level::INFO, &said));
            text.push('\n');
        }
        content.ring.write(&mut text);
        text
    }

    fn path(&self, attempt: AttemptId) -> PathBuf {
        let name = format!("{}.{}.log", attempt.task, attempt.number);
        self.directory.join(name)
    }
}

/// Writes what running attempts have logged, until nobody has their logs any more.
fn write_out(shared: &Weak<Shared>) {
    loop {
        thread::sleep(PERIOD);
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let running: Vec<_> = {
            let state = lock(&shared.state);
            let running = state.running.iter();
            running
                .map(|(attempt, log)| (*attempt, log.clone()))
                .collect()
        };
        for (attempt, log) in running {
            let mut file = lock(&log.0.file);
            if !file.is_closed {
                shared.write(attempt, &log, &mut file);
            }
        }
    }
}

/// The attempt whose log has this name.
fn attempt_of(name: &str) -> Option<AttemptId> {
    let (task, number) = name.strip_suffix(".log")?.split_once('.')?;
    Some(AttemptId {
        task: task.parse::<TaskKey>().ok()?,
        number: number.parse().ok()?,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these hold is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use reprise_domain::{Digest, Failure, FailureClass, NoopSpec, Seed};

    use super::*;

    fn noop() -> TaskSpec {
        TaskSpec::Noop(NoopSpec {
            hold_ms: 0,
            failures: 0,
            seed: Seed(1),
        })
    }

    fn attempt(number: u32) -> AttemptId {
        AttemptId {
            task: TaskKey(Digest::from_bytes([5; 32])),
            number,
        }
    }

    fn log(line: &str) -> AttemptLog {
        let log = AttemptLog::default();
        log.push(line.to_owned());
        log
    }

    fn files(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    fn open(directory: &Path) -> Logs {
        Logs::open(directory, "vm-1".to_owned()).unwrap()
    }

    fn text(logs: &Logs, number: u32) -> String {
        String::from_utf8(logs.kept(attempt(number)).unwrap()).unwrap()
    }

    #[test]
    fn only_logs_that_say_something_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let logs = open(directory.path());
        let done = AttemptOutcome::Returned;
        let failed = AttemptOutcome::Failed(Failure {
            class: FailureClass::Task,
            message: "the gradient is not finite".to_owned(),
            log: Vec::new(),
        });
        let silent = AttemptLog::default();
        logs.begin(attempt(1), &noop(), &silent);
        logs.end(attempt(1), &silent, &done);
        assert_eq!(files(directory.path()), 0);
        assert_eq!(logs.kept(attempt(1)), None);

        let silent = AttemptLog::default();
        logs.begin(attempt(2), &noop(), &silent);
        logs.end(attempt(2), &silent, &failed);
        let kept = text(&logs, 2);
        assert!(
            kept.contains("begins noop 1 on vm-1; task {\"kind\""),
            "{kept}"
        );
        assert!(
            kept.ends_with(" WARN failed: the gradient is not finite\n"),
            "{kept}"
        );

        logs.end(attempt(3), &log("resumed"), &done);
        assert!(text(&logs, 3).starts_with("resumed\n"));
        logs.remove(attempt(2));
        assert_eq!(files(directory.path()), 1);
    }

    #[test]
    fn the_file_of_an_attempt_that_had_nothing_to_say_goes_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let logs = open(directory.path());
        let silent = AttemptLog::default();
        logs.begin(attempt(1), &noop(), &silent);
        logs.0.write(attempt(1), &silent, &mut lock(&silent.0.file));
        assert_eq!(files(directory.path()), 1);
        logs.end(attempt(1), &silent, &AttemptOutcome::Returned);
        assert_eq!(files(directory.path()), 0);
        assert_eq!(logs.all_kept(), []);
    }

    #[test]
    fn a_running_attempts_log_survives_its_process() {
        let directory = tempfile::tempdir().unwrap();
        let logs = open(directory.path());
        let log = log("epoch 1 is done");
        logs.begin(attempt(1), &noop(), &log);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !logs.0.path(attempt(1)).exists() {
            assert!(Instant::now() < deadline, "nothing was written");
            thread::yield_now();
        }
        let next = open(directory.path());
        assert_eq!(next.all_kept(), [attempt(1)]);
        assert!(text(&next, 1).ends_with("\nepoch 1 is done\n"));
    }

    #[test]
    fn a_failure_repeats_the_last_lines_in_bounds() {
        let log = AttemptLog::default();
        for number in 0..100 {
            log.push(format!("{number} {}", "x".repeat(1000)));
        }
        let tail = log.tail();
        assert_eq!(tail.len(), TAIL_LINES);
        assert!(tail[0].starts_with("80 ") && tail[19].starts_with("99 "));
        assert!(tail.iter().all(|line| line.chars().count() == TAIL_CHARS));
    }
}
