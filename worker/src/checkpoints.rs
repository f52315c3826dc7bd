//! Where running tasks stand: on the worker's own disk, so that a killed process
//! loses little, and at the coordinator, so that a lost machine does not lose much
//! more.
//!
//! What a checkpoint holds is the task's affair; here are bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, fs, io};

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, TaskKey};

use crate::artifacts::{ArtifactError, Artifacts};
use crate::slots::Cancel;

/// Time between two checkpoints on the own disk: a local write costs next to
/// nothing.
const LOCAL_INTERVAL: Duration = Duration::from_secs(10);

/// What is called when a checkpoint is ready to be sent.
type Announce = dyn Fn(AttemptId, ArtifactRef) + Send + Sync;

/// The checkpoints of all slots.
#[derive(Clone)]
pub struct Checkpoints {
    directory: Arc<PathBuf>,
    artifacts: Artifacts,
    /// Most work that a lost machine loses.
    interval: Duration,
    announce: Arc<Announce>,
}

/// The checkpoints of one attempt.
#[derive(Debug)]
pub struct AttemptCheckpoints<'a> {
    all: &'a Checkpoints,
    attempt: AttemptId,
    path: PathBuf,
    saved: Instant,
    sent: Instant,
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoints")
            .field("directory", &self.directory)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

impl Checkpoints {
    /// Checkpoints in `directory`, announced every `interval` of work.
    pub fn new(
        directory: PathBuf,
        artifacts: Artifacts,
        interval: Duration,
        announce: impl Fn(AttemptId, ArtifactRef) + Send + Sync + 'static,
    ) -> Self {
        Self {
            directory: Arc::new(directory),
            artifacts,
            interval,
            announce: Arc::new(announce),
        }
    }

    /// The checkpoints of an attempt that begins now.
    pub fn of(&self, attempt: AttemptId) -> AttemptCheckpoints<'_> {
        let now = Instant::now();
        AttemptCheckpoints {
            all: self,
            attempt,
            path: self.path(attempt.task),
            saved: now,
            sent: now,
        }
    }

    fn path(&self, task: TaskKey) -> PathBuf {
        self.directory.join(task.to_string())
    }
}

impl AttemptCheckpoints<'_> {
    /// What there is to go on from: what an earlier attempt left on this disk, and
    /// what another worker's attempt had `stored`. The caller takes whichever is
    /// further along.
    pub fn found(
        &self,
        stored: Option<ArtifactRef>,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<u8>>, ArtifactError> {
        let mut found: Vec<_> = fs::read(&self.path).into_iter().collect();
        if let Some(stored) = stored {
            match self.all.artifacts.fetch(stored.digest, cancel) {
                Ok(content) => found.push(content),
                Err(stopped @ ArtifactError::Stopped(_)) => return Err(stopped),
                // Without it the attempt begins anew: slower, not wrong.
                Err(error) => {
                    tracing::warn!(%error, attempt = %self.attempt, "stored checkpoint cannot be had");
                }
            }
        }
        Ok(found)
    }

    /// Saves where the attempt stands if it is time, or if the attempt is
    /// `stopping`; then it is announced as well.
    pub fn save(&mut self, stopping: bool, content: impl FnOnce() -> Vec<u8>) {
        if !stopping && self.saved.elapsed() < LOCAL_INTERVAL.min(self.all.interval) {
            return;
        }
        let content = content();
        if let Err(error) = write(&self.all.directory, &self.path, &content) {
            tracing::warn!(%error, path = %self.path.display(), "checkpoint not written");
        }
        self.saved = Instant::now();
        if stopping || self.sent.elapsed() >= self.all.interval {
            match self.all.artifacts.store(&content) {
                Ok(artifact) => (self.all.announce)(self.attempt, artifact),
                Err(error) => {
                    tracing::warn!(%error, attempt = %self.attempt, "checkpoint not sent");
                }
            }
            self.sent = self.saved;
        }
    }

    /// Forgets the own disk's checkpoint after the task is done. It stays when it
    /// cannot be removed, and is as right as before.
    pub fn clear(self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn write(directory: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let fresh = path.with_extension("new");
    fs::write(&fresh, content)?;
    fs::rename(&fresh, path)
}
