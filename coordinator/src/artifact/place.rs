//! Where a store is: a directory or a bucket.

use std::path::Path as FsPath;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use url::Url;

use super::{ArtifactError, ArtifactStore};

/// Bytes of a part in a bucket: the least that S3 takes of all but the last.
const BUCKET_PART: usize = 5 << 20;

/// Bytes of a part in a directory.
const LOCAL_PART: usize = 1 << 20;

impl ArtifactStore {
    /// A store in a local directory, made when it is not there.
    pub fn local(directory: &FsPath) -> Result<Self, ArtifactError> {
        let name = directory.display().to_string();
        std::fs::create_dir_all(directory)
            .map_err(|error| ArtifactError::unusable(&name, error))?;
        let objects = LocalFileSystem::new_with_prefix(directory)
            .map_err(|error| ArtifactError::unusable(&name, error))?
            .with_fsync(true);
        let directory = Some(Arc::from(directory));
        Ok(Self::new(Arc::new(objects), directory, LOCAL_PART))
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
            _ => Err(ArtifactError::unusable(
                location,
                format!("`{scheme}` is neither `s3` nor `gs`, and a directory has no `://`"),
            )),
        }
    }

    pub(super) fn s3(location: &str, settings: AmazonS3Builder) -> Result<Self, ArtifactError> {
        Self::bucket(location, settings.with_url(location).build())
    }

    /// The part of a bucket that the URL's path names.
    fn bucket<O: ObjectStore>(
        location: &str,
        objects: object_store::Result<O>,
    ) -> Result<Self, ArtifactError> {
        let objects = objects.map_err(|error| ArtifactError::unusable(location, error))?;
        let url = Url::parse(location).map_err(|error| ArtifactError::unusable(location, error))?;
        let prefix = Path::parse(url.path().trim_matches('/'))
            .map_err(|error| ArtifactError::unusable(location, error))?;
        let objects: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(objects, prefix));
        Ok(Self::new(objects, None, BUCKET_PART))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_cannot_be_used_is_named() {
        let error = ArtifactStore::open("ftp://bucket/x").unwrap_err();
        assert!(error.to_string().contains("ftp://bucket/x"), "{error}");
    }
}
