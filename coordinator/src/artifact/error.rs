//! What can be wrong with an artifact or with the store.

use reprise_domain::Digest;

/// An artifact that cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The place cannot be reached.
    #[error("{operation} `{object}` in the artifact store")]
    Access {
        /// What was tried.
        operation: &'static str,
        /// The object's path.
        object: String,
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
    /// Content that ended early.
    #[error("artifact `{digest}` of `{expected}` bytes ended after `{found}`")]
    Truncated {
        /// Which artifact.
        digest: Digest,
        /// The size that was announced.
        expected: u64,
        /// The size that came.
        found: u64,
    },
    /// More content than was announced or is taken.
    #[error(
        "artifact of `{0}` bytes is larger than it says or than the limit of `{limit}`",
        limit = super::MAX_BYTES
    )]
    TooLarge(u64),
    /// As many transfers as the memory has room for are under way.
    #[error("too many artifacts are being stored at once")]
    Busy,
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

impl ArtifactError {
    pub(super) fn unusable(
        location: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Directory {
            path: location.to_owned(),
            source: source.into(),
        }
    }

    /// What makes an error of the place's own one of ours.
    pub(super) fn access(
        operation: &'static str,
        object: &object_store::path::Path,
    ) -> impl FnOnce(object_store::Error) -> Self + use<> {
        let object = object.to_string();
        move |source| Self::Access {
            operation,
            object,
            source,
        }
    }
}
