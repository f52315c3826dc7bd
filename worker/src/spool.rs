//! Outcomes of attempts on the worker's own disk until the coordinator has made
//! them durable: one log that outcomes and acknowledgements are appended to, and
//! that starts anew whenever nothing waits. What was being written during a crash
//! was never reported and is cut off.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
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
    outcomes: BTreeMap<AttemptId, AttemptOutcome>,
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
enum Line {
    Kept(AttemptId, AttemptOutcome),
    Forgotten(AttemptId),
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
        let (outcomes, whole) = read(&content);
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
            outcomes,
        })
    }

    /// Keeps outcomes, with one write for all of them. They stay in memory even
    /// when the disk is full: the error is for the log, no result is lost while
    /// the process lives.
    pub fn keep(&mut self, outcomes: &[(AttemptId, AttemptOutcome)]) -> Result<(), SpoolError> {
        self.outcomes.extend(outcomes.iter().cloned());
        let lines = outcomes.iter().cloned();
        self.append(lines.map(|(attempt, outcome)| Line::Kept(attempt, outcome)))
    }

    /// Forgets outcomes that are durable elsewhere or not wanted any more.
    pub fn forget(&mut self, attempts: &[AttemptId]) {
        let mut forgotten = Vec::new();
        for attempt in attempts {
            if self.outcomes.remove(attempt).is_some() {
                forgotten.push(Line::Forgotten(*attempt));
            }
        }
        // An outcome that stays in the log is offered again after a restart and
        // acknowledged again: nothing is lost by failing here.
        let _ = if self.outcomes.is_empty() && self.length > 0 {
            self.cut(0)
        } else if self.length > LONG {
            self.rewrite()
        } else {
            self.append(forgotten.into_iter())
        };
    }

    /// What waits, in order of attempts.
    pub fn waiting(&self) -> impl Iterator<Item = (&AttemptId, &AttemptOutcome)> {
        self.outcomes.iter()
    }

    /// Whether the outcome of an attempt waits.
    pub fn holds(&self, attempt: AttemptId) -> bool {
        self.outcomes.contains_key(&attempt)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    fn append(&mut self, lines: impl Iterator<Item = Line>) -> Result<(), SpoolError> {
        let mut text = Vec::new();
        for line in lines {
            text.extend(reprise_proto::convert::to_json(&line));
            text.push(b'\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        match self.log.write_all(&text) {
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

    /// Writes the log anew with what waits, if that is much less.
    fn rewrite(&mut self) -> Result<(), SpoolError> {
        let lines = self.outcomes.iter();
        let mut text = Vec::new();
        for (attempt, outcome) in lines {
            let line = Line::Kept(*attempt, outcome.clone());
            text.extend(reprise_proto::convert::to_json(&line));
            text.push(b'\n');
        }
        if text.len() as u64 > LONG / 2 {
            return Ok(());
        }
        let fresh = self.path.with_extension("new");
        let renewed = || -> io::Result<File> {
            fs::write(&fresh, &text)?;
            fs::rename(&fresh, &self.path)?;
            let mut log = File::options().append(true).open(&self.path)?;
            log.seek(io::SeekFrom::End(0))?;
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

/// The outcomes that a log leaves waiting, and how many of its bytes are whole
/// lines that make sense.
fn read(content: &[u8]) -> (BTreeMap<AttemptId, AttemptOutcome>, usize) {
    let mut outcomes = BTreeMap::new();
    let mut whole = 0;
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if !line.ends_with(b"\n") {
            break;
        }
        match serde_json::from_slice(line) {
            Ok(Line::Kept(attempt, outcome)) => drop(outcomes.insert(attempt, outcome)),
            Ok(Line::Forgotten(attempt)) => drop(outcomes.remove(&attempt)),
            Err(_) => break,
        }
        whole += line.len();
    }
    (outcomes, whole)
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
