//! Files on their way to the coordinator, beside the session.

use std::time::Duration;

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Failure, FailureClass};
use reprise_proto::client::Clients;

use super::connection::Outgoing;
use crate::artifacts::Artifacts;
use crate::checkpoints::Announced;

/// Wait before a refused upload is tried again.
const UPLOAD_WAIT: Duration = Duration::from_secs(2);

/// How an upload ended.
pub(super) enum Upload {
    Stored,
    /// The outcome is kept for the next connection.
    Disconnected,
    /// No further try would end differently.
    Impossible(Failure),
}

/// Uploads a file of a finished attempt, however often the coordinator has no
/// room for it.
pub(super) async fn upload(
    artifacts: &Artifacts,
    clients: &Clients,
    outgoing: &Outgoing,
    attempt: AttemptId,
    artifact: ArtifactRef,
) -> Upload {
    while let Err(error) = artifacts.upload(clients.clone(), None, artifact).await {
        if outgoing.is_closed() {
            return Upload::Disconnected;
        }
        if !error.is_retryable() {
            tracing::error!(%attempt, %error, "artifact cannot be uploaded; the attempt has failed");
            return Upload::Impossible(Failure {
                class: FailureClass::Task,
                message: format!("upload artifact `{}`: {error}", artifact.digest),
                log: Vec::new(),
            });
        }
        tracing::warn!(%attempt, %error, "artifact not uploaded; trying again soon");
        tokio::time::sleep(UPLOAD_WAIT).await;
    }
    Upload::Stored
}

/// Uploads a checkpoint to the area of its attempt, then announces it.
pub(super) async fn send_checkpoint(
    artifacts: &Artifacts,
    clients: Clients,
    outgoing: &Outgoing,
    attempt: AttemptId,
    checkpoint: Announced,
) {
    let uploaded = artifacts.upload(clients, Some(attempt), checkpoint.artifact);
    match uploaded.await {
        Ok(()) => {
            outgoing.checkpoint(attempt, checkpoint);
            let Announced { artifact, done } = checkpoint;
            tracing::info!(%attempt, done, bytes = artifact.bytes, "checkpoint stored");
        }
        Err(error) => {
            tracing::warn!(%attempt, %error, "checkpoint not uploaded");
        }
    }
}
