//! All services on one listening socket.

use std::sync::Arc;
use std::time::Duration;

use reprise_proto::pb::artifact_service_server::ArtifactServiceServer;
use reprise_proto::pb::operation_service_server::OperationServiceServer;
use reprise_proto::pb::study_service_server::StudyServiceServer;
use reprise_proto::pb::task_service_server::TaskServiceServer;
use reprise_proto::pb::worker_service_server::WorkerServiceServer;
use reprise_proto::{CHUNK_BYTES, DESCRIPTORS, MAX_MESSAGE_BYTES};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::artifact::ArtifactApi;
use super::guard::Guard;
use super::operation::OperationApi;
use super::study::StudyApi;
use super::task::TaskApi;
use super::worker::WorkerApi;
use crate::artifact::ArtifactStore;
use crate::engine::Handle;
use crate::reading::Reading;
use crate::security::{Acceptor, Security};
use crate::store::Reader;

/// Requests and streams at once on one connection: a worker has its session and
/// an upload a slot. More wait at the client's end.
const MAX_STREAMS: u32 = 256;

/// Bytes that a peer may send on one stream before they are read. Below a
/// connection's own window, so that an upload that waits for its turn does not hold
/// up the heartbeats beside it.
const STREAM_WINDOW: u32 = 256 << 10;

/// Room for what a chunk's message holds beside the chunk, in bytes.
const CHUNK_ROOM: usize = 1 << 10;

/// Most bytes of a request's headers: ours are below a kilobyte.
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// The listening server before it runs.
#[derive(Debug)]
pub struct Server {
    acceptor: Acceptor,
    engine: Handle,
    store: Arc<dyn Reader>,
    artifacts: ArtifactStore,
    heartbeat_timeout: Duration,
}

/// The server has failed.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The transport failed.
    #[error("serve gRPC")]
    Serve(#[source] tonic::transport::Error),
    /// The schema that reflection is to tell is not readable.
    #[error("describe the schema")]
    Schema(#[source] tonic_reflection::server::Error),
}

impl Server {
    /// A server on a bound `listener`. Without `security` connections are in
    /// plaintext and everybody may do everything.
    pub fn new(
        listener: TcpListener,
        security: Option<Security>,
        engine: Handle,
        store: Arc<dyn Reader>,
        artifacts: ArtifactStore,
        heartbeat_timeout: Duration,
    ) -> Self {
        Self {
            acceptor: Acceptor::new(listener, security),
            engine,
            store,
            artifacts,
            heartbeat_timeout,
        }
    }

    /// Serves until `shutdown`. Open streams are cut then: workers go on alone
    /// and dial again.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServerError> {
        let worker = WorkerApi::new(
            self.engine.clone(),
            self.artifacts.clone(),
            self.heartbeat_timeout,
            shutdown.clone(),
        );
        let artifact = ArtifactApi::new(
            self.artifacts.clone(),
            self.engine.clone(),
            Arc::clone(&self.store),
        );
        let reading = Reading::new(self.engine.clone(), self.store);
        let study = StudyApi::new(
            self.engine.clone(),
            reading.clone(),
            self.artifacts.clone(),
            shutdown.clone(),
        );
        let task = TaskApi::new(
            self.engine.clone(),
            reading,
            self.artifacts.clone(),
            shutdown.clone(),
        );
        let operation = OperationApi::new(self.engine, shutdown.clone());
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<StudyServiceServer<StudyApi>>().await;
        health.set_serving::<WorkerServiceServer<WorkerApi>>().await;
        // The older name is what many tools still ask for.
        let reflection = described().build_v1().map_err(ServerError::Schema)?;
        let reflection_alpha = described().build_v1alpha().map_err(ServerError::Schema)?;
        let access = self.acceptor.access();
        let serving = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .add_service(Guard::new(
                WorkerServiceServer::new(worker)
                    .max_decoding_message_size(MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(MAX_MESSAGE_BYTES),
                &access,
            ))
            .add_service(Guard::new(
                StudyServiceServer::new(study)
                    .max_decoding_message_size(MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(MAX_MESSAGE_BYTES),
                &access,
            ))
            .add_service(Guard::new(
                ArtifactServiceServer::new(artifact)
                    .max_decoding_message_size(CHUNK_BYTES + CHUNK_ROOM),
                &access,
            ))
            .add_service(Guard::new(
                TaskServiceServer::new(task).max_decoding_message_size(MAX_MESSAGE_BYTES),
                &access,
            ))
            .add_service(Guard::new(OperationServiceServer::new(operation), &access))
            .add_service(Guard::new(health_service, &access))
            .add_service(Guard::new(reflection, &access))
            .add_service(Guard::new(reflection_alpha, &access))
            .serve_with_incoming(self.acceptor.incoming());
        tokio::select! {
            served = serving => served.map_err(ServerError::Serve),
            () = shutdown.cancelled() => Ok(()),
        }
    }
}

/// What reflection tells: our schema and that of the health service.
fn described() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
