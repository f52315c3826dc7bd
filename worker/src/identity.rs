//! Who this worker is: an id kept in its directory, so that a restarted process is
//! known again and can deliver what its predecessor had finished. A lock keeps a
//! second process out of the directory.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use reprise_domain::{ParseIdError, WorkerId};

/// The kernel's random bytes.
const RANDOM: &str = "/dev/urandom";

/// A worker's directory, held by this process alone.
#[derive(Debug)]
pub struct Home {
    /// The worker's id.
    pub worker: WorkerId,
    /// The directory.
    pub directory: PathBuf,
    _lock: Flock<File>,
}

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The directory or a file in it cannot be made or read.
    #[error("use the worker directory `{path}`")]
    Access {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another worker runs there.
    #[error(
        "worker directory `{path}` is in use by another worker; give this one its own with `--directory`"
    )]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// The id file holds something else.
    #[error("worker id file `{path}` is damaged; delete it to start as a new worker")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ParseIdError,
    },
}

impl Home {
    /// Takes the directory, making it and a new id when there is none.
    pub fn take(directory: &Path) -> Result<Self, HomeError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| HomeError::Access { path, source }
        };
        fs::create_dir_all(directory).map_err(failed(directory))?;
        let lock_path = directory.join("lock");
        let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
        let lock =
            Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|_| HomeError::InUse {
                path: directory.to_owned(),
            })?;
        let id_path = directory.join("worker-id");
        let worker = match fs::read_to_string(&id_path) {
            Ok(text) => text.trim().parse().map_err(|source| HomeError::Damaged {
                path: id_path.clone(),
                source,
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let worker = random().map_err(failed(Path::new(RANDOM)))?;
                // Renamed into place: a crash leaves no half-written id.
                let fresh = directory.join("worker-id.new");
                fs::write(&fresh, worker.to_string()).map_err(failed(&fresh))?;
                fs::rename(&fresh, &id_path).map_err(failed(&id_path))?;
                worker
            }
            Err(source) => return Err(failed(&id_path)(source)),
        };
        Ok(Self {
            worker,
            directory: directory.to_owned(),
            _lock: lock,
        })
    }
}

/// An id that no other worker has.
fn random() -> io::Result<WorkerId> {
    let mut bytes = [0; 16];
    File::open(RANDOM)?.read_exact(&mut bytes)?;
    Ok(WorkerId(
        uuid::Builder::from_random_bytes(bytes).into_uuid(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_kept_and_the_directory_is_taken_once() {
        let directory = tempfile::tempdir().unwrap();
        let first = Home::take(directory.path()).unwrap();
        let worker = first.worker;
        assert!(matches!(
            Home::take(directory.path()),
            Err(HomeError::InUse { .. })
        ));
        drop(first);
        assert_eq!(Home::take(directory.path()).unwrap().worker, worker);
    }

    #[test]
    fn a_damaged_id_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("worker-id"), "nobody").unwrap();
        assert!(matches!(
            Home::take(directory.path()),
            Err(HomeError::Damaged { .. })
        ));
    }
}
