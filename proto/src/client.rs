//! Client channels with the limits that both ends agree on.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::MAX_MESSAGE_BYTES;
use crate::pb::artifact_service_client::ArtifactServiceClient;
use crate::pb::study_service_client::StudyServiceClient;
use crate::pb::worker_service_client::WorkerServiceClient;
use crate::status::{ApiError, ErrorCode};

/// Clients of all services over one connection.
#[derive(Debug, Clone)]
pub struct Clients {
    /// What a worker speaks.
    pub worker: WorkerServiceClient<Channel>,
    /// What the command line speaks.
    pub study: StudyServiceClient<Channel>,
    /// Files by content.
    pub artifact: ArtifactServiceClient<Channel>,
}

/// Connects to a coordinator at `url`, for example `http://127.0.0.1:7440`.
pub async fn connect(url: &str) -> Result<Clients, ApiError> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|_| {
            ApiError::new(
                ErrorCode::InvalidRequest,
                format_args!("`{url}` is not a coordinator address"),
            )
            .hint("write it as `http://HOST:PORT`")
        })?
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        // A peer that vanished without closing is noticed within 20 seconds.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10));
    let channel = endpoint.connect().await.map_err(|error| {
        let reason = std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), ToString::to_string);
        ApiError::new(
            ErrorCode::Unavailable,
            format_args!("coordinator `{url}` does not answer: {reason}"),
        )
        .hint("check that `reprise serve` runs there and that the port is reachable")
    })?;
    Ok(Clients {
        worker: WorkerServiceClient::new(channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES),
        study: StudyServiceClient::new(channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES),
        artifact: ArtifactServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES),
    })
}
