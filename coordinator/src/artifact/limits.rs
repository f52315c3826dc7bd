//! How much memory transfers may take together, whoever asks for how many.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ArtifactError;

/// Artifacts that are read at once. Each has at most four chunks of
/// [`super::READ_BYTES`] in memory, on its way from the disk to the connection.
const READERS: usize = 48;

/// Artifacts that are written at once. Each has a part and a message in memory: 6
/// MiB with a bucket, 2 MiB with a directory.
const WRITERS: usize = 8;

/// Uploads that wait for their turn. What a connection has received of them is in
/// memory.
const WAITING: usize = 128;

/// How long an upload waits for its turn before its sender is asked to try later.
const PATIENCE: Duration = Duration::from_secs(20);

/// Permits of all transfers.
#[derive(Debug)]
pub(super) struct Limits {
    readers: Arc<Semaphore>,
    writers: Arc<Semaphore>,
    waiting: Semaphore,
    patience: Duration,
}

/// The right to transfer one artifact.
#[derive(Debug)]
pub(super) struct Permit {
    _held: Option<OwnedSemaphorePermit>,
}

impl Limits {
    pub(super) fn new() -> Self {
        Self {
            readers: Arc::new(Semaphore::new(READERS)),
            writers: Arc::new(Semaphore::new(WRITERS)),
            waiting: Semaphore::new(WAITING),
            patience: PATIENCE,
        }
    }

    /// Waits for the turn to read: a reader that waits has nothing in memory.
    pub(super) async fn reader(&self) -> Permit {
        // The semaphore is never closed.
        let held = Arc::clone(&self.readers).acquire_owned().await.ok();
        Permit { _held: held }
    }

    /// Waits for the turn to write, not for ever.
    pub(super) async fn writer(&self) -> Result<Permit, ArtifactError> {
        let _place = self
            .waiting
            .try_acquire()
            .map_err(|_| ArtifactError::Busy)?;
        let turn = Arc::clone(&self.writers).acquire_owned();
        match tokio::time::timeout(self.patience, turn).await {
            Ok(Ok(held)) => Ok(Permit { _held: Some(held) }),
            Ok(Err(_)) | Err(_) => Err(ArtifactError::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_writer_waits_for_its_turn_and_not_for_ever() {
        let limits = Limits {
            patience: Duration::ZERO,
            ..Limits::new()
        };
        let mut held = Vec::new();
        for _ in 0..WRITERS {
            held.push(limits.writer().await.unwrap());
        }
        assert!(matches!(limits.writer().await, Err(ArtifactError::Busy)));
        held.pop();
        limits.writer().await.unwrap();
    }
}
