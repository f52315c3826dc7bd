//! Where running tasks stand: on the worker's own disk, so that a killed process
//! loses little, and at the coordinator, so that a lost machine does not lose much
//! more.
//!
//! What a checkpoint holds is the task's affair; to this module it is bytes.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, fs, io};

use reprise_data::digest as digest_of;
use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, TaskKey};

use crate::artifacts::{ArtifactError, Artifacts};
use crate::slots::Cancel;

/// Time between two checkpoints on the own disk: a local write costs next to
/// nothing.
const LOCAL_INTERVAL: Duration = Duration::from_secs(10);

/// Bytes of a digest.
const DIGEST_BYTES: usize = 32;

/// What is called when a checkpoint is ready to be sent.
type Announce = dyn Fn(AttemptId, Announced) + Send + Sync;

/// A checkpoint that is ready to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The file.
    pub artifact: ArtifactRef,
    /// Units of work that are done in it.
    pub done: u64,
}

/// A checkpoint that the coordinator has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Its content.
    pub artifact: ArtifactRef,
    /// The attempt that made it, in whose area it is; the shared one without.
    pub of: Option<AttemptId>,
}

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
        announce: impl Fn(AttemptId, Announced) + Send + Sync + 'static,
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

    /// Time between two checkpoints of an attempt.
    pub fn period(&self) -> Duration {
        LOCAL_INTERVAL.min(self.interval)
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
        stored: Option<StoredCheckpoint>,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<u8>>, ArtifactError> {
        let local = fs::read(&self.path).ok();
        let mut found: Vec<_> = local.and_then(unsealed).into_iter().collect();
        if let Some(stored) = stored {
            let StoredCheckpoint { artifact, of } = stored;
            match self.all.artifacts.fetch_from(of, artifact.digest, cancel) {
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

    /// Sends the checkpoint that the attempt goes on from, unless the coordinator has
    /// it already: what a killed process had saved counts as progress at once.
    pub fn resumed(&mut self, stored: Option<StoredCheckpoint>, content: &[u8], done: u64) {
        let is_stored = stored.is_some_and(|stored| stored.artifact.digest == digest_of(content));
        if !is_stored {
            self.announce(content, done);
        }
    }

    /// Whether a checkpoint is to be saved now.
    pub fn is_time(&self, stopping: bool) -> bool {
        stopping || self.saved.elapsed() >= self.all.period()
    }

    /// Saves where the attempt stands, `done` units into its task, if it is time, or
    /// if the attempt is `stopping`; then it is announced as well.
    pub fn save(&mut self, stopping: bool, done: u64, content: impl FnOnce() -> Vec<u8>) {
        if self.is_time(stopping) {
            self.keep(stopping, done, &content());
        }
    }

    /// Saves a checkpoint that was made when it was time.
    pub fn keep(&mut self, stopping: bool, done: u64, content: &[u8]) {
        if let Err(error) = write(&self.all.directory, &self.path, content) {
            tracing::warn!(%error, path = %self.path.display(), "checkpoint not written");
        }
        self.saved = Instant::now();
        // Whoever made it has another clock, which may be half a period ahead.
        let sent = self.sent.elapsed() + self.all.period() / 2;
        if stopping || sent >= self.all.interval {
            self.announce(content, done);
            self.sent = self.saved;
        }
    }

    fn announce(&self, content: &[u8], done: u64) {
        match self.all.artifacts.store(content) {
            Ok(artifact) => (self.all.announce)(self.attempt, Announced { artifact, done }),
            Err(error) => {
                tracing::warn!(%error, attempt = %self.attempt, "checkpoint not sent");
            }
        }
    }

    /// Forgets the own disk's checkpoint: the task is done or not wanted, or has
    /// failed and is not to be taken up from what it failed of.
    pub fn clear(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A file is the digest of a checkpoint, then the checkpoint: what a power cut
/// leaves of it must not be taken for the whole.
fn write(directory: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(digest_of(content).as_bytes())?;
    file.write_all(content)?;
    file.sync_data()?;
    fs::rename(&fresh, path)
}

/// The checkpoint in a file, if it is whole.
fn unsealed(mut file: Vec<u8>) -> Option<Vec<u8>> {
    if file.len() < DIGEST_BYTES {
        return None;
    }
    let content = file.split_off(DIGEST_BYTES);
    (digest_of(&content).as_bytes().as_slice() == file).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_checkpoints_are_taken_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("task");
        write(directory.path(), &path, b"where it stands").unwrap();
        let file = fs::read(&path).unwrap();
        assert_eq!(unsealed(file.clone()).unwrap(), b"where it stands");
        for end in 0..file.len() {
            assert_eq!(unsealed(file[..end].to_vec()), None, "cut at {end}");
        }
        let mut zeroed = file;
        let last = zeroed.len() - 1;
        zeroed[last] = 0;
        assert_eq!(unsealed(zeroed), None);
    }
}
