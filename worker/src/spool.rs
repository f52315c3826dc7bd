//! Outcomes of attempts on the worker's own disk until the coordinator has made
//! them durable: one log that outcomes and acknowledgements are appended to, and
//! that starts anew whenever nothing waits. What was being written during a crash
//! was never reported and is cut off.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use reprise_domain::{AttemptId, AttemptOutcome};
use serde::{Deserialize, Serialize};

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

/// One line of the log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line<'a> {
    Kept(AttemptId, Cow<'a, AttemptOutcome>),
    Forgotten(AttemptId),
}

/// An outcome that waits.
#[derive(Debug)]
struct Kept {
    outcome: AttemptOutcome,
    /// Bytes of its line.
    bytes: u64,
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
        if unreadable > 0 {
            // Of another version, say: it is not ours to throw away.
            let aside = directory.join("log.unreadable");
            fs::write(&aside, &content).map_err(failed)?;
            tracing::error!(
                lines = unreadable, kept = %aside.display(),
                "the spool has lines that this version does not read"
            );
        }
        if whole < content.len() {
            tracing::warn!(
                path = %path.display(), bytes = content.len() - whole,
                "the end of the spool was torn and is cut off"
            );
            log.set_len(whole as u64).map_err(failed)?;
        }
        Ok(Self {
            path,
            log,
            length: whole as u64,
            live: outcomes.values().map(|kept| kept.bytes).sum(),
            outcomes,
        })
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

/// A line as it stands in the log.
fn written(line: &Line<'_>) -> Vec<u8> {
    let mut text = reprise_proto::convert::to_json(line);
    text.push(b'\n');
    text
}

/// What a log holds.
struct Found {
    /// The outcomes that it leaves waiting.
    outcomes: BTreeMap<AttemptId, Kept>,
    /// How many of its bytes are whole lines.
    whole: usize,
    /// Whole lines that make no sense.
    unreadable: usize,
}

fn read(content: &[u8]) -> Found {
    let mut found = Found {
        outcomes: BTreeMap::new(),
        whole: 0,
        unreadable: 0,
    };
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if !line.ends_with(b"\n") {
            break;
        }
        found.whole += line.len();
        match serde_json::from_slice(line) {
            Ok(Line::Kept(attempt, outcome)) => {
                let kept = Kept {
                    outcome: outcome.into_owned(),
                    bytes: line.len() as u64,
                };
                found.outcomes.insert(attempt, kept);
            }
            Ok(Line::Forgotten(attempt)) => drop(found.outcomes.remove(&attempt)),
            Err(_) => found.unreadable += 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use reprise_domain::{Digest, TaskKey};

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
        assert_eq!(
            fs::read(directory.path().join("log.unreadable")).unwrap(),
            log
        );
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
