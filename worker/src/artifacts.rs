//! Artifacts on the worker: a cache by digest, filled from the coordinator, and
//! the way back for files that tasks make. Content is checked on every read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use reprise_data::digest as digest_of;
use reprise_domain::Digest;
use reprise_domain::measure::ArtifactRef;
use reprise_proto::client::Clients;
use reprise_proto::status::{ApiError, ErrorCode};
use reprise_proto::{CHUNK_BYTES, convert, pb};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tonic::Status;

use crate::slots::Cancel;

/// Artifacts as tasks see them, from the slots' threads.
#[derive(Debug, Clone)]
pub struct Artifacts {
    directory: Arc<PathBuf>,
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
        /// Which file.
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
    /// A cache in `directory`.
    pub fn new(
        directory: &Path,
        runtime: Handle,
        clients: watch::Receiver<Option<Clients>>,
    ) -> Result<Self, ArtifactError> {
        fs::create_dir_all(directory).map_err(|source| ArtifactError::Cache {
            path: directory.to_owned(),
            source,
        })?;
        Ok(Self {
            directory: Arc::new(directory.to_owned()),
            runtime,
            clients,
        })
    }

    /// The content of an artifact. Waits while the coordinator is away.
    pub fn fetch(&self, digest: Digest, cancel: &Cancel) -> Result<Vec<u8>, ArtifactError> {
        /// Time between two looks at whether the task is still wanted.
        const PATIENCE: Duration = Duration::from_millis(500);
        if let Some(content) = self.cached(digest) {
            return Ok(content);
        }
        loop {
            let connection = self.clients.borrow().clone();
            let fetched = match connection {
                Some(clients) => self.runtime.block_on(get(clients, digest)),
                None => Err(ApiError::new(
                    ErrorCode::Unavailable,
                    "the coordinator is away",
                )),
            };
            match fetched {
                Ok(content) => {
                    // A full disk costs the next reader a download.
                    if let Err(error) = self.keep(digest, &content) {
                        tracing::warn!(%error, "artifact not cached");
                    }
                    return Ok(content);
                }
                // A worker that is not allowed is about to stop; that is not the
                // task's failure.
                Err(source) if !source.is_retryable() && !source.is_not_allowed() => {
                    return Err(ArtifactError::Fetch { digest, source });
                }
                Err(_) if cancel.is_cancelled() => return Err(ArtifactError::Stopped(digest)),
                Err(_) => std::thread::sleep(PATIENCE),
            }
        }
    }

    /// Keeps a file that a task made, until it is uploaded with its report.
    pub fn store(&self, content: &[u8]) -> Result<ArtifactRef, ArtifactError> {
        let digest = digest_of(content);
        self.keep(digest, content)?;
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

    /// Sends a kept file to the coordinator, unless it is there already.
    pub async fn upload(&self, mut clients: Clients, artifact: ArtifactRef) -> Result<(), Status> {
        let digest = convert::digest_bytes(artifact.digest);
        let present = clients
            .artifact
            .has(pb::GetRequest {
                digest: digest.clone(),
                attempt: None,
            })
            .await?;
        if present.into_inner().present {
            return Ok(());
        }
        let content = self.cached(artifact.digest).ok_or_else(|| {
            Status::from(ApiError::new(
                ErrorCode::Corrupt,
                format_args!(
                    "artifact `{}` is missing from the worker's cache",
                    artifact.digest
                ),
            ))
        })?;
        let mut chunks: Vec<_> = content
            .chunks(CHUNK_BYTES)
            .map(|chunk| pb::PutChunk {
                artifact: None,
                attempt: None,
                data: chunk.to_vec(),
            })
            .collect();
        if chunks.is_empty() {
            chunks.push(pb::PutChunk::default());
        }
        chunks[0].artifact = Some(pb::Artifact {
            digest,
            bytes: artifact.bytes,
        });
        clients
            .artifact
            .put(tokio_stream::iter(chunks))
            .await
            .map(|_| ())
    }

    /// Drops a file from the cache.
    pub fn forget(&self, digest: Digest) {
        // One that stays costs its space and nothing else.
        let _ = fs::remove_file(self.path(digest));
    }

    /// Content that is in the cache and undamaged.
    fn cached(&self, digest: Digest) -> Option<Vec<u8>> {
        let content = fs::read(self.path(digest)).ok()?;
        (digest_of(&content) == digest).then_some(content)
    }

    fn keep(&self, digest: Digest, content: &[u8]) -> Result<(), ArtifactError> {
        let path = self.path(digest);
        let thread = std::thread::current();
        let fresh = path.with_extension(thread.name().unwrap_or("new"));
        fs::write(&fresh, content)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|source| ArtifactError::Cache { path, source })
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.directory.join(digest.to_string())
    }
}

async fn get(mut clients: Clients, digest: Digest) -> Result<Vec<u8>, ApiError> {
    let request = pb::GetRequest {
        digest: convert::digest_bytes(digest),
        attempt: None,
    };
    let mut stream = clients
        .artifact
        .get(request)
        .await
        .map_err(|status| ApiError::from(&status))?
        .into_inner();
    let mut content = Vec::new();
    while let Some(chunk) = stream
        .message()
        .await
        .map_err(|status| ApiError::from(&status))?
    {
        content.extend_from_slice(&chunk.data);
    }
    let found = digest_of(&content);
    if found == digest {
        Ok(content)
    } else {
        Err(ApiError::new(
            ErrorCode::Corrupt,
            format_args!("artifact `{digest}` arrived as `{found}`"),
        ))
    }
}
