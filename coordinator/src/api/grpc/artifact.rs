//! Artifacts over gRPC, in chunks.

use std::pin::Pin;

use futures::Stream;
use reprise_domain::Digest;
use reprise_proto::CHUNK_BYTES;
use reprise_proto::convert;
use reprise_proto::pb::artifact_service_server::ArtifactService;
use reprise_proto::pb::{GetChunk, GetRequest, Presence, PutChunk, PutReceipt};
use reprise_proto::status::{ApiError, ErrorCode};
use tonic::{Request, Response, Status, Streaming};

use crate::artifact::{ArtifactError, ArtifactStore, MAX_BYTES};

/// The artifact store for others.
#[derive(Debug)]
pub(super) struct ArtifactApi {
    store: ArtifactStore,
}

impl ArtifactApi {
    pub(super) fn new(store: ArtifactStore) -> Self {
        Self { store }
    }
}

#[tonic::async_trait]
impl ArtifactService for ArtifactApi {
    type GetStream = Pin<Box<dyn Stream<Item = Result<GetChunk, Status>> + Send>>;

    async fn put(
        &self,
        request: Request<Streaming<PutChunk>>,
    ) -> Result<Response<PutReceipt>, Status> {
        let mut stream = request.into_inner();
        let mut named: Option<(Digest, u64)> = None;
        let mut content = Vec::new();
        while let Some(chunk) = stream.message().await? {
            if let Some(artifact) = &chunk.artifact {
                let digest = convert::digest("put.artifact.digest", &artifact.digest)
                    .map_err(ApiError::from)?;
                named = Some((digest, artifact.bytes));
            }
            let (_, bytes) = named.ok_or_else(unnamed)?;
            let length = content.len() as u64 + chunk.data.len() as u64;
            if bytes > MAX_BYTES || length > bytes {
                return Err(too_large(bytes.max(length)).into());
            }
            content.extend_from_slice(&chunk.data);
        }
        let (digest, bytes) = named.ok_or_else(unnamed)?;
        if (content.len() as u64) < bytes {
            return Err(truncated(digest, bytes, content.len()).into());
        }
        self.store
            .put(digest, content)
            .await
            .map_err(|error| artifact_error(&error))?;
        Ok(Response::new(PutReceipt {}))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let content = self
            .store
            .get(requested(&request)?)
            .await
            .map_err(|error| artifact_error(&error))?;
        let chunks: Vec<_> = content
            .chunks(CHUNK_BYTES)
            .map(|chunk| {
                Ok(GetChunk {
                    data: chunk.to_vec(),
                })
            })
            .collect();
        Ok(Response::new(Box::pin(futures::stream::iter(chunks))))
    }

    async fn has(&self, request: Request<GetRequest>) -> Result<Response<Presence>, Status> {
        let present = self
            .store
            .has(requested(&request)?)
            .await
            .map_err(|error| artifact_error(&error))?;
        Ok(Response::new(Presence { present }))
    }
}

fn requested(request: &Request<GetRequest>) -> Result<Digest, ApiError> {
    Ok(convert::digest("digest", &request.get_ref().digest)?)
}

fn unnamed() -> ApiError {
    ApiError::new(
        ErrorCode::InvalidRequest,
        "the first chunk of an artifact must name it",
    )
}

fn too_large(bytes: u64) -> ApiError {
    ApiError::new(
        ErrorCode::TooLarge,
        format_args!(
            "artifact of `{bytes}` bytes is larger than it says or than the limit of `{MAX_BYTES}`"
        ),
    )
}

fn truncated(digest: Digest, bytes: u64, found: usize) -> ApiError {
    ApiError::new(
        ErrorCode::Corrupt,
        format_args!("artifact `{digest}` of `{bytes}` bytes ended after `{found}`"),
    )
    .hint("send it again, whole")
}

fn artifact_error(error: &ArtifactError) -> ApiError {
    let code = match error {
        ArtifactError::Missing(_) => ErrorCode::NotFound,
        ArtifactError::Corrupt { .. } => ErrorCode::Corrupt,
        ArtifactError::Access { .. } | ArtifactError::Directory { .. } => ErrorCode::Unavailable,
    };
    ApiError::new(code, error)
}
