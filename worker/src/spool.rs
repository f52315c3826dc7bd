//! Outcomes of attempts on the worker's own disk until the coordinator has made
//! them durable. One file an attempt, renamed into place; what cannot be read
//! back after a crash was never finished and is dropped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use reprise_domain::{AttemptId, AttemptOutcome};

/// The outcomes that wait for acknowledgement.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    outcomes: BTreeMap<AttemptId, AttemptOutcome>,
}

/// The spool directory cannot be used.
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
        let failed = |source| SpoolError {
            path: directory.to_owned(),
            source,
        };
        fs::create_dir_all(directory).map_err(failed)?;
        let mut outcomes = BTreeMap::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match read(&path) {
                Some((attempt, outcome)) => {
                    outcomes.insert(attempt, outcome);
                }
                None => fs::remove_file(&path).map_err(failed)?,
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            outcomes,
        })
    }

    /// Keeps an outcome. It stays in memory even when the disk is full: the
    /// error is for the log, the result is not lost while the process lives.
    pub fn keep(&mut self, attempt: AttemptId, outcome: AttemptOutcome) -> Result<(), SpoolError> {
        let path = self.path(attempt);
        let fresh = path.with_extension("new");
        let content = reprise_proto::convert::to_json(&outcome);
        self.outcomes.insert(attempt, outcome);
        fs::write(&fresh, content)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|source| SpoolError { path, source })
    }

    /// Forgets outcomes that are durable elsewhere or not wanted any more.
    pub fn forget(&mut self, attempts: &[AttemptId]) {
        for attempt in attempts {
            if self.outcomes.remove(attempt).is_some() {
                // A file that stays is offered again after a restart and
                // acknowledged again: nothing is lost by not removing it.
                let _ = fs::remove_file(self.path(*attempt));
            }
        }
    }

    /// What waits, in order of attempts.
    pub fn waiting(&self) -> impl Iterator<Item = (&AttemptId, &AttemptOutcome)> {
        self.outcomes.iter()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    fn path(&self, attempt: AttemptId) -> PathBuf {
        self.directory.join(format!("{attempt}.json"))
    }
}

fn read(path: &Path) -> Option<(AttemptId, AttemptOutcome)> {
    let attempt = path
        .file_name()?
        .to_str()?
        .strip_suffix(".json")?
        .parse()
        .ok()?;
    let outcome = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some((attempt, outcome))
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

    #[test]
    fn outcomes_survive_a_restart_until_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path()).unwrap();
        spool.keep(attempt(1), AttemptOutcome::Returned).unwrap();
        spool.keep(attempt(2), AttemptOutcome::Returned).unwrap();
        spool.forget(&[attempt(1)]);
        drop(spool);
        let spool = Spool::open(directory.path()).unwrap();
        assert_eq!(
            spool.waiting().map(|(id, _)| *id).collect::<Vec<_>>(),
            [attempt(2)]
        );
    }

    #[test]
    fn a_torn_file_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(
            directory.path().join(format!("{}.json", attempt(1))),
            "{\"outc",
        )
        .unwrap();
        fs::write(directory.path().join("x.new"), "").unwrap();
        assert!(Spool::open(directory.path()).unwrap().is_empty());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
