//! All services on one listening socket.

use std::net::SocketAddr;
use std::time::Duration;

use reprise_proto::MAX_MESSAGE_BYTES;
use reprise_proto::pb::artifact_service_server::ArtifactServiceServer;
use reprise_proto::pb::study_service_server::StudyServiceServer;
use reprise_proto::pb::worker_service_server::WorkerServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use super::artifact::ArtifactApi;
use super::study::StudyApi;
use super::worker::WorkerApi;
use crate::artifact::ArtifactStore;
use crate::engine::Handle;

/// The listening server before it runs.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    engine: Handle,
    artifacts: ArtifactStore,
    heartbeat_timeout: Duration,
}

/// The server cannot listen or has failed.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is taken or not ours.
    #[error("listen on `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The transport failed.
    #[error("serve gRPC")]
    Serve(#[source] tonic::transport::Error),
}

impl Server {
    /// Binds `address`; port 0 takes any free port.
    pub async fn bind(
        address: SocketAddr,
        engine: Handle,
        artifacts: ArtifactStore,
        heartbeat_timeout: Duration,
    ) -> Result<Self, ServerError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServerError::Listen { address, source })?;
        Ok(Self {
            listener,
            engine,
            artifacts,
            heartbeat_timeout,
        })
    }

    /// The address that clients reach it at.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Serves until `shutdown`. Open streams are cut then: workers go on alone
    /// and dial again.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServerError> {
        let worker = WorkerApi::new(
            self.engine.clone(),
            self.heartbeat_timeout,
            shutdown.clone(),
        );
        let study = StudyApi::new(self.engine, shutdown.clone());
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let serving = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .add_service(
                WorkerServiceServer::new(worker)
                    .max_decoding_message_size(MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(MAX_MESSAGE_BYTES),
            )
            .add_service(
                StudyServiceServer::new(study)
                    .max_decoding_message_size(MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(MAX_MESSAGE_BYTES),
            )
            .add_service(
                ArtifactServiceServer::new(ArtifactApi::new(self.artifacts))
                    .max_decoding_message_size(MAX_MESSAGE_BYTES),
            )
            .serve_with_incoming(incoming);
        tokio::select! {
            served = serving => served.map_err(ServerError::Serve),
            () = shutdown.cancelled() => Ok(()),
        }
    }
}
