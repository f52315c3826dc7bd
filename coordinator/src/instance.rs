//! One running coordinator: state directory, engine and server together.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::grpc::{Server, ServerError};
use crate::artifact::{ArtifactError, ArtifactStore};
use crate::engine::{self, EngineError};
use crate::store::StoreError;
use crate::store::sqlite::SqliteStore;

/// The journal in a state directory.
pub(crate) const JOURNAL: &str = "journal.sqlite";

/// A coordinator that listens.
#[derive(Debug)]
pub struct Instance {
    /// Where it listens.
    pub address: SocketAddr,
    /// Ends when it stops, with the reason if it had to.
    pub stopped: JoinHandle<Result<(), InstanceError>>,
    /// Stops it.
    pub shutdown: CancellationToken,
    _lock: Flock<File>,
}

/// Why there is no coordinator.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The state directory cannot be used.
    #[error("use the state directory `{path}`")]
    State {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another coordinator has it.
    #[error(
        "state directory `{0}` is in use by another `reprise`; wait for it, or pass another `--state`"
    )]
    InUse(PathBuf),
    /// The journal cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The artifact store cannot be used.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The engine cannot start or had to stop.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The server cannot start or had to stop.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl Instance {
    /// Takes the state directory, reads the journal and listens on `address`.
    pub async fn start(state: &Path, address: SocketAddr) -> Result<Self, InstanceError> {
        let lock = lock(state)?;
        let store = Arc::new(SqliteStore::open(&state.join(JOURNAL)).await?);
        let artifacts = ArtifactStore::local(&state.join("artifacts"))?;
        let config = engine::Config::default();
        let (service, handle) = engine::Service::open(config, store, artifacts.clone()).await?;
        let server =
            Server::bind(address, handle, artifacts, config.core.heartbeat_timeout).await?;
        let address = server.address().unwrap_or(address);
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let stopped = tokio::spawn(async move {
            let engine = service.run(stop.clone());
            let server = server.run(stop.clone());
            let ended: Result<(), InstanceError> = tokio::select! {
                ended = engine => ended.map_err(Into::into),
                ended = server => ended.map_err(Into::into),
            };
            stop.cancel();
            ended
        });
        Ok(Self {
            address,
            stopped,
            shutdown,
            _lock: lock,
        })
    }

    /// Its address as clients and workers write it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Takes a state directory, or says who has it.
pub(crate) fn lock(state: &Path) -> Result<Flock<File>, InstanceError> {
    let failed = |source| InstanceError::State {
        path: state.to_owned(),
        source,
    };
    fs::create_dir_all(state).map_err(failed)?;
    let file = File::create(state.join("lock")).map_err(failed)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| InstanceError::InUse(state.to_owned()))
}
