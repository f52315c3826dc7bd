//! The artifact store: files named by the BLAKE3 digest of their content, checked
//! on every read, in any place that `object_store` reaches. Nothing is held in
//! memory whole, and transfers wait for each other where they would take too much
//! together.
//!
//! Not here: which artifacts are still needed, which is the garbage collector's
//! question, and the wire.

mod area;
mod asked;
mod download;
mod error;
mod limits;
mod listing;
mod logs;
mod place;
#[cfg(test)]
mod suite;
mod upload;

use std::path::Path as FsPath;
use std::sync::Arc;

use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use reprise_domain::{AttemptId, Digest};
use tokio::sync::Mutex;

pub use area::{Area, Object};
use asked::AskedFor;
pub use download::{Download, Verdict};
pub use error::ArtifactError;
use limits::Limits;
pub use listing::Listed;
pub use logs::MAX_LOG_BYTES;
pub use upload::{Upload, Writer};

/// Largest artifact, in bytes: ten times the embedding of NAS-Bench-101.
pub const MAX_BYTES: u64 = 256 << 20;

/// Files by content.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    objects: Arc<dyn ObjectStore>,
    /// Where that is, if it is a directory.
    directory: Option<Arc<FsPath>>,
    /// Bytes of a part of a large upload.
    part_bytes: usize,
    limits: Arc<Limits>,
    /// Held by whoever replaces, sets aside or sweeps an object, so that what has
    /// just been healed is not removed for the damage that was there before.
    order: Arc<Mutex<()>>,
    asked_for: Arc<AskedFor>,
}

impl ArtifactStore {
    fn new(
        objects: Arc<dyn ObjectStore>,
        directory: Option<Arc<FsPath>>,
        part_bytes: usize,
    ) -> Self {
        Self {
            objects,
            directory,
            part_bytes,
            limits: Arc::new(Limits::new()),
            order: Arc::new(Mutex::new(())),
            asked_for: Arc::default(),
        }
    }

    /// Whether an artifact is stored and whole, so that nobody has to send it. What
    /// is shared is not swept for an hour then.
    pub async fn has(&self, area: Area, digest: Digest) -> Result<bool, ArtifactError> {
        if area == Area::Shared {
            self.asked_for.note(digest);
        }
        Ok(self.verify(area, digest).await? == Verdict::Whole)
    }

    /// Has a shared artifact not swept for an hour.
    pub fn note_asked_for(&self, digest: Digest) {
        self.asked_for.note(digest);
    }

    /// Size of a stored artifact in bytes; `None` if there is none. Says nothing
    /// about its content.
    pub async fn size(&self, area: Area, digest: Digest) -> Result<Option<u64>, ArtifactError> {
        let found = self.head(Object::Artifact(area, digest)).await?;
        Ok(found.map(|meta| meta.size))
    }

    /// Removes a checkpoint from its attempt's area; what is not there is as good
    /// as removed. What is shared can only be swept.
    pub async fn remove_checkpoint(
        &self,
        attempt: AttemptId,
        digest: Digest,
    ) -> Result<(), ArtifactError> {
        let object = Object::Artifact(Area::Checkpoint(attempt), digest);
        self.delete(object).await
    }

    async fn delete(&self, object: Object) -> Result<(), ArtifactError> {
        let location = object.location();
        match self.objects.delete(&location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(ArtifactError::access("remove", &location)(error)),
        }
    }

    async fn head(&self, object: Object) -> Result<Option<ObjectMeta>, ArtifactError> {
        let location = object.location();
        match self.objects.head(&location).await {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(ArtifactError::access("look for", &location)(error)),
        }
    }

    /// Moves damaged content out of the way, so that it counts as missing and an
    /// upload heals it; unless it has been replaced since it was read.
    async fn set_aside(&self, object: Object, read: &ObjectMeta, found: Digest) {
        let _order = self.order.lock().await;
        let Object::Artifact(_, expected) = object else {
            return;
        };
        let moved = match self.head(object).await {
            Ok(Some(now)) if is_same(&now, read) => {
                let aside = Object::Damaged(expected).location();
                let moved = self.objects.rename(&read.location, &aside).await;
                moved.map_err(ArtifactError::access("set aside", &read.location))
            }
            Ok(_) => return,
            Err(error) => Err(error),
        };
        let path = read.location.as_ref();
        match moved {
            Ok(()) => tracing::error!(
                path, %found, bytes = read.size,
                "a stored artifact is damaged and was set aside in `damaged`; \
                 an upload of the same content heals it"
            ),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(path, %found, error, "a stored artifact is damaged");
            }
        }
    }
}

/// Whether nobody has written the object in between.
fn is_same(a: &ObjectMeta, b: &ObjectMeta) -> bool {
    a.size == b.size && a.last_modified == b.last_modified && a.e_tag == b.e_tag
}
