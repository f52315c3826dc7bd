//! Artifacts on the worker: a cache by digest, filled from the coordinator, and
//! the way back for files that tasks make. Content is checked on every read.

mod cache;
mod fetching;
mod transfer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reprise_data::digest as digest_of;
use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Digest};
use reprise_proto::client::Clients;
use reprise_proto::status::{ApiError, ErrorCode};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use self::cache::Cache;
use self::fetching::Fetching;
use self::transfer::Interrupted;
use crate::slots::Cancel;

/// Bytes of the cache above which files that nobody waits for are dropped.
pub const CACHE_BYTES: u64 = 4 << 30;

/// Uploads at once. What the coordinator has not taken yet fills the connection
/// that heartbeats go over, too.
const UPLOADS: usize = 2;

/// Time between two looks at whether a task is still wanted.
const PATIENCE: Duration = Duration::from_millis(500);

/// Artifacts as tasks see them, from the slots' threads.
#[derive(Debug, Clone)]
pub struct Artifacts {
    directory: Arc<PathBuf>,
    cache: Arc<Cache>,
    fetching: Arc<Fetching>,
    uploads: Arc<Semaphore>,
    runtime: Handle,
    /// The connection in use; none while the coordinator is away.
    clients: watch::Receiver<Option<Clients>>,
}

/// An artifact that cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The cache directory cannot be used.
    #[error("use the artifact cache `{path}`")]
    Cache {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The coordinator does not have it, or has something else.
    #[error("fetch artifact `{digest}`")]
    Fetch {
        /// Which one.
        digest: Digest,
        /// Why not.
        #[source]
        source: ApiError,
    },
    /// The task was stopped while it waited for the coordinator.
    #[error("stopped while waiting for artifact `{0}`")]
    Stopped(Digest),
}

impl Artifacts {
    /// A cache in `directory` of about `limit` bytes.
    pub fn new(
        directory: &Path,
        limit: u64,
        runtime: Handle,
        clients: watch::Receiver<Option<Clients>>,
    ) -> Result<Self, ArtifactError> {
        let cache = Cache::open(directory, limit).map_err(|source| ArtifactError::Cache {
            path: directory.to_owned(),
            source,
        })?;
        Ok(Self {
            directory: Arc::new(directory.to_owned()),
            cache: Arc::new(cache),
            fetching: Arc::default(),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            runtime,
            clients,
        })
    }

    /// The content of an artifact that all share. Waits while the coordinator is
    /// away.
    pub fn fetch(&self, digest: Digest, cancel: &Cancel) -> Result<Vec<u8>, ArtifactError> {
        self.fetch_from(None, digest, cancel)
    }

    /// The content of a checkpoint, from the area of the attempt that made it.
    pub fn fetch_from(
        &self,
        attempt: Option<AttemptId>,
        digest: Digest,
        cancel: &Cancel,
    ) -> Result<Vec<u8>, ArtifactError> {
        loop {
            if let Some(content) = self.cache.read(digest) {
                return Ok(content);
            }
            // Slots that want the same artifact wait for one download together.
            let fetched = match self.fetching.turn(digest, PATIENCE) {
                Some(_turn) => match self.cache.read(digest) {
                    Some(content) => Ok(Some(content)),
                    None => self.fetch_once(attempt, digest),
                },
                None => Ok(None),
            };
            match fetched {
                Ok(Some(content)) => return Ok(content),
                // A worker that is not allowed is about to stop; that is not the
                // task's failure.
                Err(source) if !source.is_retryable() && !source.is_not_allowed() => {
                    return Err(ArtifactError::Fetch { digest, source });
                }
                Ok(None) | Err(_) if cancel.is_cancelled() => {
                    return Err(ArtifactError::Stopped(digest));
                }
                // Nothing came of it: another thread has the turn, or the cache cannot
                // be read back.
                Ok(None) | Err(_) => std::thread::sleep(PATIENCE),
            }
        }
    }

    /// One try: to the disk, or to the memory alone where the disk has no room.
    fn fetch_once(
        &self,
        attempt: Option<AttemptId>,
        digest: Digest,
    ) -> Result<Option<Vec<u8>>, ApiError> {
        let clients = self.clients.borrow().clone();
        let clients = clients
            .ok_or_else(|| ApiError::new(ErrorCode::Unavailable, "the coordinator is away"))?;
        let unwritable = match self.fetch_to_disk(clients.clone(), attempt, digest) {
            Ok(()) => return Ok(self.cache.read(digest)),
            Err(Interrupted::Refused(error)) => return Err(error),
            Err(Interrupted::Unwritable(error)) => error,
        };
        // A full disk costs the next reader a download.
        tracing::warn!(error = %unwritable, %digest, "artifact not cached");
        let mut content = Vec::new();
        let downloaded = transfer::download(clients, attempt, digest, |piece| {
            content.extend_from_slice(piece);
            Ok(())
        });
        match self.runtime.block_on(downloaded) {
            Ok(()) => {}
            Err(Interrupted::Refused(error)) => return Err(error),
            Err(Interrupted::Unwritable(error)) => {
                return Err(ApiError::new(ErrorCode::Internal, error));
            }
        }
        let found = digest_of(&content);
        if found == digest {
            Ok(Some(content))
        } else {
            Err(transfer::changed_on_the_way(digest, found))
        }
    }

    fn fetch_to_disk(
        &self,
        clients: Clients,
        attempt: Option<AttemptId>,
        digest: Digest,
    ) -> Result<(), Interrupted> {
        let mut fresh = self.cache.begin().map_err(Interrupted::Unwritable)?;
        let downloaded = transfer::download(clients, attempt, digest, |piece| fresh.write(piece));
        self.runtime.block_on(downloaded)?;
        let found = fresh.digest();
        if found != digest {
            let error = transfer::changed_on_the_way(digest, found);
            return Err(Interrupted::Refused(error));
        }
        self.cache
            .keep(fresh)
            .map(drop)
            .map_err(Interrupted::Unwritable)
    }

    /// Keeps a file that a task made, until it is uploaded and released.
    pub fn store(&self, content: &[u8]) -> Result<ArtifactRef, ArtifactError> {
        let kept = self.cache.keep_waiting(content);
        let digest = kept.map_err(|source| ArtifactError::Cache {
            path: self.directory.to_path_buf(),
            source,
        })?;
        Ok(ArtifactRef {
            digest,
            bytes: content.len() as u64,
        })
    }

    /// The same, however long the disk is full: hours of work wait for it.
    pub fn store_in_time(
        &self,
        content: &[u8],
        cancel: &Cancel,
    ) -> Result<ArtifactRef, ArtifactError> {
        /// Time between two tries.
        const PATIENCE: Duration = Duration::from_secs(2);
        loop {
            match self.store(content) {
                Ok(stored) => return Ok(stored),
                Err(_) if cancel.is_cancelled() => {
                    return Err(ArtifactError::Stopped(digest_of(content)));
                }
                Err(error) => {
                    tracing::warn!(%error, "artifact not kept; trying again soon");
                    std::thread::sleep(PATIENCE);
                }
            }
        }
    }

    /// Sends a kept file to the coordinator, to the area of `attempt` or to the
    /// shared one, unless it is there already and whole.
    pub async fn upload(
        &self,
        mut clients: Clients,
        attempt: Option<AttemptId>,
        artifact: ArtifactRef,
    ) -> Result<(), ApiError> {
        // The semaphore is never closed.
        let _turn = self.uploads.acquire().await;
        if transfer::is_stored(&mut clients, attempt, artifact.digest).await? {
            return Ok(());
        }
        let cache = Arc::clone(&self.cache);
        let opened = tokio::task::spawn_blocking(move || cache.open_file(artifact.digest)).await;
        let Ok(Some(file)) = opened else {
            return Err(ApiError::new(
                ErrorCode::Corrupt,
                format_args!(
                    "artifact `{}` is missing from the worker's cache, or damaged there",
                    artifact.digest
                ),
            ));
        };
        transfer::send(clients, attempt, artifact, file).await
    }

    /// Keeps a file that an earlier process left until it is released: it waits to
    /// be uploaded.
    pub fn hold(&self, digest: Digest) {
        self.cache.hold(digest);
    }

    /// A file that is uploaded stays for the tasks that read it, as long as there
    /// is room.
    pub fn release(&self, digest: Digest) {
        self.cache.release(digest);
    }

    /// Drops a file that nobody will ask for.
    pub fn forget(&self, digest: Digest) {
        self.cache.remove(digest);
    }
}
