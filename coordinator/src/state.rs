//! The state directory of a coordinator: who has it, and whether it is still what it
//! was. What is in the journal is [`store`](crate::store)'s.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

/// The journal in a state directory.
pub(crate) const JOURNAL: &str = "journal.sqlite";

/// What is beside the journal once studies have run.
const BESIDE: [&str; 2] = ["artifacts", "workers"];

/// A file that is shorter holds no database.
const LEAST_BYTES: u64 = 512;

/// Time between two looks at whether the journal is still there.
const WATCH: Duration = Duration::from_secs(1);

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file in it cannot be used.
    #[error("use the state directory `{path}`")]
    Access {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another coordinator has it.
    #[error(
        "state directory `{0}` is in use by another `reprise`; wait for it, or pass another `--state`"
    )]
    InUse(PathBuf),
    /// Studies have run here, but nothing is known of them.
    #[error(
        "journal `{journal}` is {what}, but `{beside}` is left of studies that ran here: the \
         journal was lost; restore a backup with `reprise journal restore`, or move `{beside}` \
         away to begin anew"
    )]
    Lost {
        /// The journal.
        journal: PathBuf,
        /// Whether it is missing or empty.
        what: &'static str,
        /// What shows that there was one.
        beside: PathBuf,
    },
    /// The journal vanished under a running coordinator.
    #[error(
        "journal `{0}` was removed or replaced while it was in use; whatever it held is lost \
         where there is no backup"
    )]
    Vanished(PathBuf),
}

/// Takes a state directory, or says who has it.
pub(crate) fn lock(state: &Path) -> Result<Flock<File>, StateError> {
    let failed = |source| StateError::Access {
        path: state.to_owned(),
        source,
    };
    fs::create_dir_all(state).map_err(failed)?;
    let file = File::create(state.join("lock")).map_err(failed)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| StateError::InUse(state.to_owned()))
}

/// Refuses a directory whose journal is gone, so that nothing is done again without
/// a word.
pub(crate) fn refuse_lost(state: &Path) -> Result<(), StateError> {
    let journal = state.join(JOURNAL);
    let what = match fs::metadata(&journal) {
        Ok(found) if found.len() >= LEAST_BYTES => return Ok(()),
        Ok(_) => "empty",
        Err(error) if error.kind() == io::ErrorKind::NotFound => "missing",
        Err(source) => {
            return Err(StateError::Access {
                path: journal,
                source,
            });
        }
    };
    let left = BESIDE.into_iter().map(|name| state.join(name));
    match left.into_iter().find(|directory| holds_a_file(directory)) {
        None => Ok(()),
        Some(beside) => Err(StateError::Lost {
            journal,
            what,
            beside,
        }),
    }
}

fn holds_a_file(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .any(|path| path.is_file() || (path.is_dir() && holds_a_file(&path)))
}

/// A journal in use, as the file system knows it.
#[derive(Debug)]
pub(crate) struct Watch {
    journal: PathBuf,
    identity: (u64, u64),
}

impl Watch {
    /// Remembers which file the journal is.
    pub(crate) fn begin(state: &Path) -> Result<Self, StateError> {
        let journal = state.join(JOURNAL);
        match fs::metadata(&journal) {
            Ok(found) => Ok(Self {
                journal,
                identity: (found.dev(), found.ino()),
            }),
            Err(source) => Err(StateError::Access {
                path: journal,
                source,
            }),
        }
    }

    /// Returns when another file or none is in its place: what is written then is
    /// read by nobody.
    pub(crate) async fn vanished(&self) -> StateError {
        loop {
            tokio::time::sleep(WATCH).await;
            let gone = match tokio::fs::metadata(&self.journal).await {
                Ok(found) => (found.dev(), found.ino()) != self.identity,
                Err(error) => matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ),
            };
            if gone {
                return StateError::Vanished(self.journal.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_is_lost_beside_artifacts_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let journal = state.path().join(JOURNAL);
        fs::create_dir_all(state.path().join("artifacts/ab")).unwrap();
        refuse_lost(state.path()).unwrap();
        fs::write(state.path().join("artifacts/ab/cd"), b"x").unwrap();
        let error = refuse_lost(state.path()).unwrap_err().to_string();
        assert!(
            error.contains("missing") && error.contains("restore"),
            "{error}"
        );
        fs::write(&journal, b"").unwrap();
        let error = refuse_lost(state.path()).unwrap_err().to_string();
        assert!(
            error.contains("empty") && error.contains("artifacts"),
            "{error}"
        );
        fs::write(&journal, [0; 4096]).unwrap();
        refuse_lost(state.path()).unwrap();
    }

    #[tokio::test]
    async fn a_journal_that_is_replaced_is_noticed() {
        let state = tempfile::tempdir().unwrap();
        let journal = state.path().join(JOURNAL);
        fs::write(&journal, b"one").unwrap();
        let watch = Watch::begin(state.path()).unwrap();
        let other = state.path().join("other");
        fs::write(&other, b"two").unwrap();
        fs::rename(&other, &journal).unwrap();
        assert!(matches!(watch.vanished().await, StateError::Vanished(path) if path == journal));
        let watch = Watch::begin(state.path()).unwrap();
        drop(state);
        assert!(matches!(watch.vanished().await, StateError::Vanished(_)));
    }
}
