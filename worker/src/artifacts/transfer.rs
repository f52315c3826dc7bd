//! Artifacts between the worker's disk and the coordinator, piece by piece.

use std::fs::File;
use std::io::{self, Read as _};

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Digest};
use reprise_proto::client::Clients;
use reprise_proto::status::{ApiError, ErrorCode};
use reprise_proto::{convert, pb};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::cache::PIECE_BYTES;

/// Why a download ended early.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// The coordinator said so.
    Refused(ApiError),
    /// There is no room for it here.
    Unwritable(io::Error),
}

/// Reads an artifact piece by piece into `take`; from the area of `attempt`, or
/// from the shared one.
pub(super) async fn download(
    mut clients: Clients,
    attempt: Option<AttemptId>,
    digest: Digest,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Interrupted> {
    let refused = |status| Interrupted::Refused(ApiError::from(&status));
    let request = request(attempt, digest);
    let mut stream = clients
        .artifact
        .get(request)
        .await
        .map_err(refused)?
        .into_inner();
    while let Some(chunk) = stream.message().await.map_err(refused)? {
        take(&chunk.data).map_err(Interrupted::Unwritable)?;
    }
    Ok(())
}

/// What is said of content that arrived otherwise than it was stored.
pub(super) fn changed_on_the_way(digest: Digest, found: Digest) -> ApiError {
    ApiError::new(
        ErrorCode::Unavailable,
        format_args!("artifact `{digest}` arrived as `{found}`"),
    )
}

/// Whether the coordinator has an artifact, whole.
pub(super) async fn is_stored(
    clients: &mut Clients,
    attempt: Option<AttemptId>,
    digest: Digest,
) -> Result<bool, ApiError> {
    let answer = clients.artifact.has(request(attempt, digest)).await;
    let answer = answer.map_err(|status| ApiError::from(&status))?;
    Ok(answer.into_inner().present)
}

/// Sends a file, to the area of `attempt` or to the shared one.
pub(super) async fn send(
    mut clients: Clients,
    attempt: Option<AttemptId>,
    artifact: ArtifactRef,
    file: File,
) -> Result<(), ApiError> {
    let (sender, chunks) = mpsc::channel(1);
    let first = pb::PutChunk {
        artifact: Some(artifact.into()),
        attempt: attempt.map(Into::into),
        data: Vec::new(),
    };
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read_out(first, file, &sender) {
            // What comes short is refused at the other end.
            tracing::warn!(%error, digest = %artifact.digest, "a cached artifact cannot be read");
        }
    });
    let answer = clients.artifact.put(ReceiverStream::new(chunks)).await;
    answer.map(drop).map_err(|status| ApiError::from(&status))
}

/// Passes a file on, as fast as it is taken, until it ends or nobody takes it.
fn read_out(
    first: pb::PutChunk,
    mut file: File,
    sender: &mpsc::Sender<pb::PutChunk>,
) -> io::Result<()> {
    let mut next = Some(first);
    while let Some(chunk) = next {
        if sender.blocking_send(chunk).is_err() {
            return Ok(());
        }
        let mut data = Vec::with_capacity(PIECE_BYTES);
        (&mut file)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut data)?;
        next = (!data.is_empty()).then(|| pb::PutChunk {
            data,
            ..pb::PutChunk::default()
        });
    }
    Ok(())
}

fn request(attempt: Option<AttemptId>, digest: Digest) -> pb::GetRequest {
    pb::GetRequest {
        digest: convert::digest_bytes(digest),
        attempt: attempt.map(Into::into),
    }
}
