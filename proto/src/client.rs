//! Client channels with the limits that both ends agree on.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::MAX_MESSAGE_BYTES;
use crate::credential::Credential;
use crate::dial::{Address, Dial};
use crate::pb::artifact_service_client::ArtifactServiceClient;
use crate::pb::operation_service_client::OperationServiceClient;
use crate::pb::study_service_client::StudyServiceClient;
use crate::pb::task_service_client::TaskServiceClient;
use crate::pb::worker_service_client::WorkerServiceClient;
use crate::status::{ApiError, ErrorCode};

/// Clients of all services over one connection.
#[derive(Debug, Clone)]
pub struct Clients {
    /// What a worker speaks.
    pub worker: WorkerServiceClient<Channel>,
    /// Studies.
    pub study: StudyServiceClient<Channel>,
    /// Single tasks.
    pub task: TaskServiceClient<Channel>,
    /// Workers and events.
    pub operation: OperationServiceClient<Channel>,
    /// Files by content.
    pub artifact: ArtifactServiceClient<Channel>,
}

/// Connects to the first of `addresses` that answers: one or more of
/// `https://HOST:PORT` or `http://HOST:PORT` with commas between them. An
/// encrypted connection needs a credential; one that is not makes no use of it.
pub async fn connect(
    addresses: &str,
    credential: Option<&Credential>,
) -> Result<Clients, ApiError> {
    // A mistake in the last address shows at once, and not with the first
    // failover.
    let dials = addresses
        .split(',')
        .map(|url| Dial::new(Address::parse(url.trim())?, credential))
        .collect::<Result<Vec<_>, _>>()?;
    let mut failures = Vec::new();
    for dial in dials {
        match channel(dial).await {
            Ok(channel) => return Ok(clients(channel)),
            Err(error) => failures.push(error),
        }
    }
    Err(all(failures))
}

/// One error of all addresses: worth another try if any of them is.
fn all(failures: Vec<ApiError>) -> ApiError {
    let texts: Vec<_> = failures.iter().map(|error| error.message.clone()).collect();
    let position = failures.iter().position(ApiError::is_retryable);
    let decisive = failures.into_iter().nth(position.unwrap_or(0));
    ApiError {
        message: texts.join("; "),
        ..decisive.unwrap_or_else(|| ApiError::new(ErrorCode::InvalidRequest, ""))
    }
}

async fn channel(dial: Dial) -> Result<Channel, ApiError> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        ApiError::behind(error).unwrap_or_else(|| ApiError::new(ErrorCode::Unavailable, error))
    };
    // The dial encrypts; the transport is not to do it again.
    Endpoint::from_shared(dial.transport())
        .map_err(|error| failed(&error))?
        // A peer that vanished without closing is noticed within 20 seconds.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10))
        .connect_with_connector(dial)
        .await
        .map_err(|error| failed(&error))
}

fn clients(channel: Channel) -> Clients {
    Clients {
        worker: WorkerServiceClient::new(channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES),
        study: StudyServiceClient::new(channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES),
        task: TaskServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES),
        operation: OperationServiceClient::new(channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES),
        artifact: ArtifactServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_coordinator_that_may_come_back_makes_it_worth_another_try() {
        let refused = ApiError::new(ErrorCode::Unauthenticated, "a refuses");
        let away = ApiError::new(ErrorCode::Unavailable, "b is away");
        let error = all(vec![refused.clone(), away]);
        assert!(error.is_retryable());
        assert_eq!(error.message, "a refuses; b is away");
        assert!(all(vec![refused.clone(), refused]).is_not_allowed());
    }
}
