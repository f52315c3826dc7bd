//! The artifact store: files named by the BLAKE3 digest of their content, checked
//! on every read, in any place that `object_store` reaches.

use std::path::Path as FsPath;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use reprise_data::digest as digest_of;
use reprise_domain::Digest;

/// Largest artifact, in bytes: ten times the embedding of NAS-Bench-101.
pub const MAX_BYTES: u64 = 256 << 20;

/// Files by content.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    objects: Arc<dyn ObjectStore>,
}

/// An artifact that cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The place cannot be reached.
    #[error("{operation} artifact `{digest}`")]
    Access {
        /// What was tried.
        operation: &'static str,
        /// Which artifact.
        digest: Digest,
        /// Why it failed.
        #[source]
        source: object_store::Error,
    },
    /// No such artifact.
    #[error("artifact `{0}` is not stored")]
    Missing(Digest),
    /// Content that does not have its digest.
    #[error("artifact `{expected}` has content with digest `{found}`")]
    Corrupt {
        /// The digest that it should have.
        expected: Digest,
        /// The digest that it has.
        found: Digest,
    },
    /// The directory cannot be used.
    #[error("use the artifact directory `{path}`")]
    Directory {
        /// Which directory.
        path: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ArtifactStore {
    /// A store in a local directory, made when it is not there.
    pub fn local(directory: &FsPath) -> Result<Self, ArtifactError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ArtifactError::Directory {
            path: directory.display().to_string(),
            source,
        };
        std::fs::create_dir_all(directory).map_err(|error| failed(error.into()))?;
        let objects = LocalFileSystem::new_with_prefix(directory)
            .map_err(|error| failed(error.into()))?
            .with_fsync(true);
        Ok(Self {
            objects: Arc::new(objects),
        })
    }

    /// Stores content under its digest. Storing it again changes nothing.
    pub async fn put(&self, expected: Digest, content: Vec<u8>) -> Result<(), ArtifactError> {
        check(expected, &content)?;
        if self.has(expected).await? {
            return Ok(());
        }
        self.objects
            .put(&location(expected), PutPayload::from(content))
            .await
            .map(|_| ())
            .map_err(|source| ArtifactError::Access {
                operation: "store",
                digest: expected,
                source,
            })
    }

    /// Reads content and checks it against its digest.
    pub async fn get(&self, digest: Digest) -> Result<Vec<u8>, ArtifactError> {
        let failed = |source| match source {
            object_store::Error::NotFound { .. } => ArtifactError::Missing(digest),
            source => ArtifactError::Access {
                operation: "read",
                digest,
                source,
            },
        };
        let object = self.objects.get(&location(digest)).await.map_err(failed)?;
        let content = object.bytes().await.map_err(failed)?;
        check(digest, &content)?;
        Ok(content.into())
    }

    /// Removes content; what is not there is as good as removed.
    pub async fn remove(&self, digest: Digest) -> Result<(), ArtifactError> {
        match self.objects.delete(&location(digest)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(ArtifactError::Access {
                operation: "remove",
                digest,
                source,
            }),
        }
    }

    /// Whether there is content of this digest.
    pub async fn has(&self, digest: Digest) -> Result<bool, ArtifactError> {
        match self.objects.head(&location(digest)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(ArtifactError::Access {
                operation: "look for",
                digest,
                source,
            }),
        }
    }
}

fn check(expected: Digest, content: &[u8]) -> Result<(), ArtifactError> {
    let found = digest_of(content);
    if found == expected {
        Ok(())
    } else {
        Err(ArtifactError::Corrupt { expected, found })
    }
}

/// Two levels, so that no directory grows past a few hundred entries soon.
fn location(digest: Digest) -> Path {
    let name = digest.to_string();
    Path::from_iter([&name[..2], &name])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn content_comes_back_and_damage_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let store = ArtifactStore::local(directory.path()).unwrap();
        let content = b"embedding".to_vec();
        let digest = digest_of(&content);
        assert!(!store.has(digest).await.unwrap());
        assert!(matches!(
            store.get(digest).await,
            Err(ArtifactError::Missing(_))
        ));
        store.put(digest, content.clone()).await.unwrap();
        store.put(digest, content.clone()).await.unwrap();
        assert_eq!(store.get(digest).await.unwrap(), content);
        store.remove(digest).await.unwrap();
        store.remove(digest).await.unwrap();
        assert!(!store.has(digest).await.unwrap());
        store.put(digest, content.clone()).await.unwrap();

        let name = digest.to_string();
        std::fs::write(directory.path().join(&name[..2]).join(&name), b"embeddinG").unwrap();
        assert!(matches!(
            store.get(digest).await,
            Err(ArtifactError::Corrupt { .. })
        ));
    }

    #[tokio::test]
    async fn content_is_not_stored_under_a_wrong_digest() {
        let directory = tempfile::tempdir().unwrap();
        let store = ArtifactStore::local(directory.path()).unwrap();
        let wrong = digest_of(b"other");
        assert!(matches!(
            store.put(wrong, b"this".to_vec()).await,
            Err(ArtifactError::Corrupt { .. })
        ));
        assert!(!store.has(wrong).await.unwrap());
    }
}
