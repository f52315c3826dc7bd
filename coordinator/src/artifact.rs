//! The artifact store: files named by the BLAKE3 digest of their content, checked
//! on every read, in any place that `object_store` reaches.

use std::path::Path as FsPath;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use reprise_data::digest as digest_of;
use reprise_domain::Digest;
use url::Url;

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
    #[error("use the artifact store `{path}`")]
    Directory {
        /// Which one.
        path: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ArtifactStore {
    /// A store in a local directory, made when it is not there.
    pub fn local(directory: &FsPath) -> Result<Self, ArtifactError> {
        let name = directory.display().to_string();
        std::fs::create_dir_all(directory).map_err(|error| unusable(&name, error))?;
        let objects = LocalFileSystem::new_with_prefix(directory)
            .map_err(|error| unusable(&name, error))?
            .with_fsync(true);
        Ok(Self {
            objects: Arc::new(objects),
        })
    }

    /// A store at `location`: a directory, or the URL of a bucket with a prefix,
    /// `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`. Credentials and endpoints come
    /// from the environment variables that the clouds' own tools read
    /// (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, ..).
    pub fn open(location: &str) -> Result<Self, ArtifactError> {
        let Some((scheme, _)) = location.split_once("://") else {
            return Self::local(FsPath::new(location));
        };
        // Both clouds' clients find it there; an error says that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        match scheme {
            "s3" => Self::s3(location, AmazonS3Builder::from_env()),
            "gs" => {
                let settings = GoogleCloudStorageBuilder::from_env().with_url(location);
                Self::bucket(location, settings.build())
            }
            _ => Err(unusable(
                location,
                format!("`{scheme}` is none of `s3` and `gs`, and a directory has no `://`"),
            )),
        }
    }

    fn s3(location: &str, settings: AmazonS3Builder) -> Result<Self, ArtifactError> {
        Self::bucket(location, settings.with_url(location).build())
    }

    /// The part of a bucket that the URL's path names.
    fn bucket<O: ObjectStore>(
        location: &str,
        objects: object_store::Result<O>,
    ) -> Result<Self, ArtifactError> {
        let objects = objects.map_err(|error| unusable(location, error))?;
        let url = Url::parse(location).map_err(|error| unusable(location, error))?;
        let prefix =
            Path::parse(url.path().trim_matches('/')).map_err(|error| unusable(location, error))?;
        Ok(Self {
            objects: Arc::new(PrefixStore::new(objects, prefix)),
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

fn unusable(
    location: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ArtifactError {
    ArtifactError::Directory {
        path: location.to_owned(),
        source: source.into(),
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
    use reprise_tests::object_server::ObjectServer;

    use super::*;

    /// What every place keeps: content comes back, storing and removing twice
    /// changes nothing, and nothing is stored under a wrong digest.
    async fn keeps_the_contract(store: &ArtifactStore) {
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

        let wrong = digest_of(b"other");
        assert!(matches!(
            store.put(wrong, b"this".to_vec()).await,
            Err(ArtifactError::Corrupt { .. })
        ));
        assert!(!store.has(wrong).await.unwrap());
        let large = vec![7; 20 << 20];
        store.put(digest_of(&large), large.clone()).await.unwrap();
        assert_eq!(store.get(digest_of(&large)).await.unwrap(), large);
    }

    #[tokio::test]
    async fn a_directory_keeps_the_contract_and_damage_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(&directory.path().display().to_string()).unwrap();
        keeps_the_contract(&store).await;
        let digest = digest_of(b"embedding");
        store.put(digest, b"embedding".to_vec()).await.unwrap();
        let name = digest.to_string();
        std::fs::write(directory.path().join(&name[..2]).join(&name), b"embeddinG").unwrap();
        assert!(matches!(
            store.get(digest).await,
            Err(ArtifactError::Corrupt { .. })
        ));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_s3_server_keeps_the_contract() {
        let Some(server) = ObjectServer::start("artifacts").unwrap() else {
            return;
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = AmazonS3Builder::new()
            .with_endpoint(server.url())
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_access_key_id("test")
            .with_secret_access_key("test");
        let store = ArtifactStore::s3("s3://artifacts/reprise/lab", settings).unwrap();
        keeps_the_contract(&store).await;
    }

    #[test]
    fn a_place_that_is_none_is_named() {
        let error = ArtifactStore::open("ftp://bucket/x").unwrap_err();
        assert!(error.to_string().contains("ftp://bucket/x"), "{error}");
    }
}
