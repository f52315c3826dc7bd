//! A fleet's directory: its settings and ledger, a lock that one loop holds, and
//! the note by which another process asks that loop to take the fleet down.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use reprise_proto::file::read_bounded;
use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use super::setup::Setup;

/// Bytes of a record: its ledger has a line for each of up to 1,000 workers.
const MAX_BYTES: u64 = 4 << 20;

/// Time between two looks at a lock that somebody holds.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// A fleet's directory.
#[derive(Debug, Clone)]
pub struct Home {
    directory: PathBuf,
}

/// The right to change a fleet.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "unlocks when dropped")] Flock<File>);

/// What is kept of a fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its settings.
    pub setup: Setup,
    /// What it has used.
    pub ledger: Ledger,
}

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file in it cannot be used.
    #[error("use `{path}`")]
    Access {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Somebody else changes the fleet.
    #[error("fleet directory `{path}` is in use by another `reprise fleet`; stop that one first")]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// The record holds something else.
    #[error(
        "fleet record `{path}` is damaged; look for the fleet's workers with the engine's own programs, then delete it"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// There is none.
    #[error("there is no fleet in `{path}`; name its `--directory` and its `--name`")]
    Unknown {
        /// Where it was looked for.
        path: PathBuf,
    },
}

impl Home {
    /// The directory of fleet `name` in `directory`.
    pub fn new(directory: &Path, name: &str) -> Result<Self, HomeError> {
        let path = directory.join(name);
        let directory = std::path::absolute(&path).map_err(failed(&path))?;
        Ok(Self { directory })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Takes the right to change the fleet; makes the directory if it is missing.
    pub fn hold(&self) -> Result<Held, HomeError> {
        fs::create_dir_all(&self.directory).map_err(failed(&self.directory))?;
        let path = self.directory.join("lock");
        let file = File::create(&path).map_err(failed(&path))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map(Held)
            .map_err(|_| HomeError::InUse {
                path: self.directory.clone(),
            })
    }

    /// Asks a loop that runs to take the fleet down, and waits until it has ended.
    pub async fn take_over(&self, patience: Duration) -> Result<Held, HomeError> {
        let path = self.note();
        fs::write(&path, "").map_err(failed(&path))?;
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            match self.hold() {
                Err(HomeError::InUse { .. }) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(LOCK_INTERVAL).await;
                }
                held => {
                    self.forget_note()?;
                    return held;
                }
            }
        }
    }

    /// Whether somebody asked for the fleet's end.
    pub fn is_asked_down(&self) -> bool {
        self.note().exists()
    }

    /// Removes a note that nobody waits for any more.
    pub fn forget_note(&self) -> Result<(), HomeError> {
        remove(&self.note())
    }

    /// What is kept of the fleet.
    pub fn read(&self) -> Result<Record, HomeError> {
        let path = self.record();
        let text = read_bounded(&path, MAX_BYTES).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => HomeError::Unknown {
                path: self.directory.clone(),
            },
            _ => failed(&path)(error),
        })?;
        serde_json::from_slice(&text).map_err(|source| HomeError::Damaged { path, source })
    }

    /// The ledger of a fleet that is taken up again, or a new one.
    pub fn ledger(&self) -> Result<Ledger, HomeError> {
        match self.read() {
            Ok(record) => Ok(record.ledger),
            Err(HomeError::Unknown { .. }) => Ok(Ledger::default()),
            Err(error) => Err(error),
        }
    }

    /// Keeps `record`.
    pub fn write(&self, record: &Record) -> Result<(), HomeError> {
        let path = self.record();
        let text = serde_json::to_vec_pretty(record).map_err(|source| HomeError::Damaged {
            path: path.clone(),
            source,
        })?;
        let fresh = path.with_extension("new");
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(failed(&path))
    }

    /// Forgets the fleet: the next one of this name starts with a fresh budget.
    /// The workers' directories stay, for they may hold results.
    pub fn close(&self) -> Result<(), HomeError> {
        remove(&self.record())
    }

    fn record(&self) -> PathBuf {
        self.directory.join("fleet.json")
    }

    fn note(&self) -> PathBuf {
        self.directory.join("down")
    }
}

fn remove(path: &Path) -> Result<(), HomeError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> HomeError + use<> {
    let path = path.to_owned();
    move |source| HomeError::Access { path, source }
}
