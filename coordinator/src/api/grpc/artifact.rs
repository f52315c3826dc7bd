//! Artifacts over gRPC, streamed both ways. What waits for its turn has nothing in
//! memory; a peer that stops in the middle loses its turn.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::{Stream, stream};
use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Digest};
use reprise_proto::convert::{self, ConvertError};
use reprise_proto::pb::artifact_service_server::ArtifactService;
use reprise_proto::pb::{
    self, CollectGarbageRequest, CollectGarbageResponse, GetChunk, GetRequest, Presence, PutChunk,
    PutReceipt,
};
use reprise_proto::status::{ApiError, ErrorCode};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use crate::artifact::{Area, ArtifactError, ArtifactStore, Download};
use crate::engine::Handle;
use crate::gc::{GcError, Referrers, collect};
use crate::store::Reader;

/// How long a peer may neither send nor take anything.
const STALL: Duration = Duration::from_mins(1);

/// Least time for which what nothing refers to is kept: a worker may be about to
/// report it.
const SHORTEST_GRACE: Duration = Duration::from_hours(1);

/// The artifact store for others.
#[derive(Debug)]
pub(super) struct ArtifactApi {
    store: ArtifactStore,
    engine: Handle,
    results: Arc<dyn Reader>,
}

impl ArtifactApi {
    pub(super) fn new(store: ArtifactStore, engine: Handle, results: Arc<dyn Reader>) -> Self {
        Self {
            store,
            engine,
            results,
        }
    }
}

#[tonic::async_trait]
impl ArtifactService for ArtifactApi {
    type GetStream = Pin<Box<dyn Stream<Item = Result<GetChunk, Status>> + Send>>;

    async fn put(
        &self,
        request: Request<Streaming<PutChunk>>,
    ) -> Result<Response<PutReceipt>, Status> {
        let writer = self.store.writer().await.map_err(artifact_error)?;
        let mut stream = request.into_inner();
        let first = received(&mut stream).await?.ok_or_else(unnamed)?;
        let artifact =
            ArtifactRef::try_from(first.artifact.ok_or_else(unnamed)?).map_err(ApiError::from)?;
        let area = area(first.attempt).map_err(ApiError::from)?;
        let mut upload = writer.begin(area, artifact).map_err(artifact_error)?;
        let mut data = first.data;
        loop {
            upload.write(&data).await.map_err(artifact_error)?;
            match received(&mut stream).await? {
                Some(chunk) => data = chunk.data,
                None => break,
            }
        }
        upload.finish().await.map_err(artifact_error)?;
        Ok(Response::new(PutReceipt {}))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let (area, digest) = requested(request.into_inner())?;
        let asked = Asked {
            area,
            digest,
            engine: self.engine.clone(),
        };
        let download = match self.store.get(area, digest).await {
            Ok(download) => download,
            Err(error) => {
                asked.note(&error).await;
                return Err(artifact_error(error).into());
            }
        };
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(send(download, sender, asked));
        Ok(Response::new(Box::pin(chunks(receiver))))
    }

    async fn has(&self, request: Request<GetRequest>) -> Result<Response<Presence>, Status> {
        let (area, digest) = requested(request.into_inner())?;
        // Read, and not only looked for: whoever asks would not send it again.
        let present = self.store.has(area, digest).await;
        let present = present.map_err(artifact_error)?;
        Ok(Response::new(Presence { present }))
    }

    async fn collect_garbage(
        &self,
        request: Request<CollectGarbageRequest>,
    ) -> Result<Response<CollectGarbageResponse>, Status> {
        let CollectGarbageRequest { grace_ms, dry_run } = request.into_inner();
        let grace = Duration::from_millis(grace_ms);
        if grace < SHORTEST_GRACE {
            return Err(ApiError::new(
                ErrorCode::InvalidRequest,
                "the grace must be an hour at least",
            )
            .into());
        }
        let referrers = Referrers::of_engine(self.engine.clone(), Arc::clone(&self.results));
        let now = SystemTime::now();
        let collected = collect(&self.store, &referrers, now, grace, dry_run).await;
        let collected = collected.map_err(gc_error)?;
        Ok(Response::new(CollectGarbageResponse {
            stored: collected.stored,
            stored_bytes: collected.stored_bytes,
            removed: collected.removed,
            removed_bytes: collected.removed_bytes,
        }))
    }
}

/// An artifact that a peer asked for.
#[derive(Debug)]
struct Asked {
    area: Area,
    digest: Digest,
    engine: Handle,
}

impl Asked {
    /// Tells the engine of a checkpoint that is missing or damaged: nobody can go on
    /// from it, and later ones must not be held against it.
    async fn note(&self, error: &ArtifactError) {
        if let Area::Checkpoint(attempt) = self.area
            && let ArtifactError::Missing(_) | ArtifactError::Corrupt { .. } = error
        {
            // When the engine has stopped there is nobody to tell.
            let _ = self.engine.checkpoint_lost(attempt, self.digest).await;
        }
    }
}

/// The next message of an upload.
async fn received(stream: &mut Streaming<PutChunk>) -> Result<Option<PutChunk>, Status> {
    tokio::time::timeout(STALL, stream.message())
        .await
        .map_err(|_| stalled())?
}

/// Reads as fast as the peer takes it, in a task of its own: a stream that nobody
/// polls cannot notice that time passes.
async fn send(
    mut download: Download,
    sender: mpsc::Sender<Result<Option<Vec<u8>>, ApiError>>,
    asked: Asked,
) {
    loop {
        let chunk = download.next().await;
        if let Err(error) = &chunk {
            asked.note(error).await;
        }
        let chunk = chunk.map_err(artifact_error);
        let last = !matches!(chunk, Ok(Some(_)));
        if sender.send_timeout(chunk, STALL).await.is_err() || last {
            return;
        }
    }
}

/// What was read, as a stream that ends well only where the artifact does.
fn chunks(
    receiver: mpsc::Receiver<Result<Option<Vec<u8>>, ApiError>>,
) -> impl Stream<Item = Result<GetChunk, Status>> {
    stream::unfold(Some(receiver), async |receiver| {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Ok(Some(data))) => Some((Ok(GetChunk { data }), Some(receiver))),
            Some(Ok(None)) => None,
            Some(Err(error)) => Some((Err(error.into()), None)),
            None => Some((Err(stalled().into()), None)),
        }
    })
}

fn requested(request: GetRequest) -> Result<(Area, Digest), ApiError> {
    let digest = convert::digest("digest", &request.digest)?;
    Ok((area(request.attempt)?, digest))
}

fn area(attempt: Option<pb::Attempt>) -> Result<Area, ConvertError> {
    let attempt = attempt.map(AttemptId::try_from).transpose()?;
    Ok(attempt.map_or(Area::Shared, Area::Checkpoint))
}

fn unnamed() -> ApiError {
    ApiError::new(
        ErrorCode::InvalidRequest,
        "the first chunk of an artifact must name it",
    )
}

fn stalled() -> ApiError {
    ApiError::new(
        ErrorCode::Unavailable,
        format_args!("the transfer stood still for {} s", STALL.as_secs()),
    )
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that `map_err` calls"
)]
fn artifact_error(error: ArtifactError) -> ApiError {
    let code = match error {
        ArtifactError::Missing(_) => ErrorCode::NotFound,
        ArtifactError::Corrupt { .. } | ArtifactError::Truncated { .. } => ErrorCode::Corrupt,
        ArtifactError::TooLarge(_) => ErrorCode::TooLarge,
        ArtifactError::Busy | ArtifactError::Access { .. } | ArtifactError::Directory { .. } => {
            ErrorCode::Unavailable
        }
    };
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    let told = ApiError::new(code, format_args!("{error}{}", cause.unwrap_or_default()));
    match error {
        ArtifactError::Truncated { .. } => told.hint("send it again, whole"),
        ArtifactError::Busy => told.hint("try again soon"),
        _ => told,
    }
}

fn gc_error(error: GcError) -> ApiError {
    match error {
        GcError::Artifact(error) => artifact_error(error),
        GcError::Unavailable(error) => ApiError::new(ErrorCode::Unavailable, error),
        error => ApiError::new(ErrorCode::Internal, error),
    }
}
