//! Outcomes of attempts on the worker's own disk until the coordinator has made
//! them durable: one log that outcomes and acknowledgements are appended to, and
//! that starts anew whenever nothing waits. What was being written during a crash
//! was never reported and is cut off. A damaged line is put aside: its attempt is
//! not held any more, so it is run again.

mod line;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use reprise_domain::{AttemptId, AttemptOutcome};

use self::line::{Found, Kept, Line, read, written};

/// Bytes from which a log is written anew when most of it is acknowledged.
const LONG: u64 = 4 << 20;

/// The outcomes that wait for acknowledgement.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    log: File,
    /// Length of the log in bytes.
    length: u64,
    /// Bytes of it that hold what waits.
    live: u64,
    outcomes: BTreeMap<AttemptId, Kept>,
}

/// The spool cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("keep finished results in `{path}`")]
pub struct SpoolError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Spool {
    /// Opens the spool and reads what an earlier process left.
    pub fn open(directory: &Path) -> Result<Self, SpoolError> {
        let path = directory.join("log");
        let failed = |source| SpoolError {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(directory).map_err(failed)?;
        let log = File::options()
            .create(true)
            .append(true)
            .read(true)
            .open(&path)
            .map_err(failed)?;
        let content = fs::read(&path).map_err(failed)?;
        let Found {
            outcomes,
            whole,
            unreadable,
        } = read(&content);
        if whole < content.len() {
            tracing::warn!(
                path = %path.display(), bytes = content.len() - whole,
                "the end of the spool was torn and is cut off"
            );
            log.set_len(whole as u64).map_err(failed)?;
        }
        let mut spool = Self {
            path,
            log,
            length: whole as u64,
            live: outcomes.values().map(|kept| kept.bytes).sum(),
            outcomes,
        };
        if !unreadable.is_empty() {
            spool.put_aside(&unreadable)?;
        }
        Ok(spool)
    }

    /// Moves lines that are damaged or of another version into a file of their own:
    /// they are not ours to throw away.
    fn put_aside(&mut self, lines: &[Vec<u8>]) -> Result<(), SpoolError> {
        let aside = self.path.with_extension("unreadable");
        let written = File::options()
            .create(true)
            .append(true)
            .open(&aside)
            .and_then(|mut file| file.write_all(&lines.concat()));
        written.map_err(|source| self.failed(source))?;
        tracing::error!(
            lines = lines.len(), kept = %aside.display(),
            "results in the spool are damaged, or of another version; they were put aside, and their attempts are run again"
        );
        self.rewrite()
    }

    /// Keeps outcomes, with one write for all of them. They stay in memory even
    /// when the disk is full: the error is for the log, no result is lost while
    /// the process lives.
    pub fn keep(&mut self, outcomes: &[(AttemptId, AttemptOutcome)]) -> Result<(), SpoolError> {
        let mut text = Vec::new();
        for (attempt, outcome) in outcomes {
            let line = written(&Line::Kept(*attempt, Cow::Borrowed(outcome)));
            let kept = Kept {
                outcome: outcome.clone(),
                bytes: line.len() as u64,
            };
            self.live += kept.bytes;
            if let Some(old) = self.outcomes.insert(*attempt, kept) {
                self.live -= old.bytes;
            }
            text.extend(line);
        }
        self.append(&text)
    }

    /// Forgets outcomes that are durable elsewhere or not wanted any more.
    pub fn forget(&mut self, attempts: &[AttemptId]) {
        let mut forgotten = Vec::new();
        for attempt in attempts {
            if let Some(kept) = self.outcomes.remove(attempt) {
                self.live -= kept.bytes;
                forgotten.extend(written(&Line::Forgotten(*attempt)));
            }
        }
        // An outcome that stays in the log is offered again after a restart and
        // acknowledged again: nothing is lost by failing here.
        let _ = if self.outcomes.is_empty() && self.length > 0 {
            self.cut(0)
        } else if self.length > LONG && self.live < self.length / 2 {
            self.rewrite()
        } else {
            self.append(&forgotten)
        };
    }

    /// What waits, in order of attempts.
    pub fn waiting(&self) -> impl Iterator<Item = (&AttemptId, &AttemptOutcome)> {
        let waiting = self.outcomes.iter();
        waiting.map(|(attempt, kept)| (attempt, &kept.outcome))
    }

    /// The outcome of an attempt, if it waits.
    pub fn outcome(&self, attempt: AttemptId) -> Option<&AttemptOutcome> {
        self.outcomes.get(&attempt).map(|kept| &kept.outcome)
    }

    /// Whether the outcome of an attempt waits.
    pub fn holds(&self, attempt: AttemptId) -> bool {
        self.outcomes.contains_key(&attempt)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    fn append(&mut self, text: &[u8]) -> Result<(), SpoolError> {
        if text.is_empty() {
            return Ok(());
        }
        match self.log.write_all(text) {
            Ok(()) => {
                self.length += text.len() as u64;
                Ok(())
            }
            Err(source) => {
                // Half a line would hide all that follow it.
                let _ = self.cut(self.length);
                Err(self.failed(source))
            }
        }
    }

    fn cut(&mut self, length: u64) -> Result<(), SpoolError> {
        let cut = self.log.set_len(length);
        cut.map_err(|source| self.failed(source))?;
        self.length = length;
        Ok(())
    }

    /// Writes the log anew with what waits.
    fn rewrite(&mut self) -> Result<(), SpoolError> {
        let lines = self
            .waiting()
            .map(|(attempt, outcome)| Line::Kept(*attempt, Cow::Borrowed(outcome)));
        let text: Vec<u8> = lines.flat_map(|line| written(&line)).collect();
        let fresh = self.path.with_extension("new");
        // The handle follows the file to its new name.
        let renewed = || -> io::Result<File> {
            let _ = fs::remove_file(&fresh);
            let mut log = File::options().create(true).append(true).open(&fresh)?;
            log.write_all(&text)?;
            // What the old log held must not be lost to a power cut after the rename.
            log.sync_data()?;
            fs::rename(&fresh, &self.path)?;
            Ok(log)
        };
        self.log = renewed().map_err(|source| self.failed(source))?;
        self.length = text.len() as u64;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> SpoolError {
        SpoolError {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use reprise_domain::{Digest, Seconds, TaskKey, TaskResult, Usage};

    use super::*;

    fn attempt(number: u32) -> AttemptId {
        AttemptId {
            task: TaskKey(Digest::from_bytes([3; 32])),
            number,
        }
    }

    fn returned(numbers: std::ops::RangeInclusive<u32>) -> Vec<(AttemptId, AttemptOutcome)> {
        let outcomes = numbers.map(|number| (attempt(number), AttemptOutcome::Returned));
        outcomes.collect()
    }

    fn waiting(spool: &Spool) -> Vec<u32> {
        spool.waiting().map(|(id, _)| id.number).collect()
    }

    #[test]
    fn outcomes_survive_a_restart_until_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path()).unwrap();
        spool.keep(&returned(1..=3)).unwrap();
        spool.forget(&[attempt(1), attempt(9)]);
        drop(spool);
        let mut spool = Spool::open(directory.path()).unwrap();
        assert_eq!(waiting(&spool), [2, 3]);
        spool.forget(&[attempt(2), attempt(3)]);
        assert!(spool.is_empty());
        let log = directory.path().join("log");
        assert_eq!(fs::metadata(log).unwrap().len(), 0, "nothing waits");
        spool.keep(&returned(4..=4)).unwrap();
        drop(spool);
        assert_eq!(waiting(&Spool::open(directory.path()).unwrap()), [4]);
    }

    #[test]
    fn a_log_torn_anywhere_keeps_the_whole_lines_before() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path()).unwrap();
        spool.keep(&returned(1..=1)).unwrap();
        let first = fs::read(directory.path().join("log")).unwrap().len();
        spool.keep(&returned(2..=2)).unwrap();
        let content = fs::read(directory.path().join("log")).unwrap();
        for torn in first..content.len() {
            let copy = tempfile::tempdir().unwrap();
            fs::write(copy.path().join("log"), &content[..torn]).unwrap();
            let mut spool = Spool::open(copy.path()).unwrap();
            assert_eq!(waiting(&spool), [1], "torn at {torn}");
            // What comes after the tear is read again.
            spool.keep(&returned(3..=3)).unwrap();
            drop(spool);
            assert_eq!(waiting(&Spool::open(copy.path()).unwrap()), [1, 3]);
        }
    }

    #[test]
    fn lines_of_another_version_are_kept_aside() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path()).unwrap();
        spool.keep(&returned(1..=1)).unwrap();
        let path = directory.path().join("log");
        let mut log = fs::read(&path).unwrap();
        let strange = log.len();
        log.extend(b"{\"held\":[]}\n");
        log.extend_from_within(..strange);
        fs::write(&path, &log).unwrap();
        assert_eq!(waiting(&Spool::open(directory.path()).unwrap()), [1]);
        let aside = || fs::read(directory.path().join("log.unreadable")).unwrap();
        assert_eq!(aside(), b"{\"held\":[]}\n");
        // They are put aside once, not at every start.
        assert_eq!(waiting(&Spool::open(directory.path()).unwrap()), [1]);
        assert_eq!(aside(), b"{\"held\":[]}\n");
    }

    #[test]
    fn a_flipped_digit_in_a_waiting_line_is_found_and_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let outcome = AttemptOutcome::Finished {
            result: TaskResult::Noop,
            usage: Usage {
                wall: Seconds::new(41.5).unwrap(),
                ..Usage::default()
            },
        };
        let mut spool = Spool::open(directory.path()).unwrap();
        spool.keep(&[(attempt(1), outcome.clone())]).unwrap();
        spool.keep(&[(attempt(2), outcome.clone())]).unwrap();
        drop(spool);
        let path = directory.path().join("log");
        let log = fs::read_to_string(&path).unwrap();
        let damaged = log.replacen("41.5", "47.5", 1);
        assert_ne!(damaged, log);
        fs::write(&path, &damaged).unwrap();
        let spool = Spool::open(directory.path()).unwrap();
        assert!(!spool.holds(attempt(1)), "its attempt is run again");
        let kept: Vec<_> = spool.waiting().collect();
        assert_eq!(kept, [(&attempt(2), &outcome)]);
        let aside = fs::read_to_string(directory.path().join("log.unreadable")).unwrap();
        assert_eq!(aside, damaged.lines().next().unwrap().to_owned() + "\n");
    }

    #[test]
    fn a_long_log_is_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path()).unwrap();
        spool.keep(&returned(1..=1)).unwrap();
        let mut number = 2;
        while spool.length <= LONG {
            spool.keep(&returned(number..=number + 999)).unwrap();
            number += 1000;
        }
        let all: Vec<_> = (2..number).map(attempt).collect();
        spool.forget(&all);
        assert!(spool.length < 1000, "{} bytes", spool.length);
        spool.keep(&returned(7..=7)).unwrap();
        drop(spool);
        assert_eq!(waiting(&Spool::open(directory.path()).unwrap()), [1, 7]);
    }
}
