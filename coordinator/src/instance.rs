//! One running coordinator: state directory, engine and server together.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::grpc::{Server, ServerError};
use crate::artifact::{ArtifactError, ArtifactStore};
use crate::engine::{self, EngineError};
use crate::security::Security;
use crate::store::StoreError;
use crate::store::sqlite::SqliteStore;

/// What a coordinator is started with.
#[derive(Debug)]
pub struct Config {
    /// Journal and artifacts.
    pub state: PathBuf,
    /// Where to listen; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Certificates and credentials; without them connections are in plaintext.
    pub security: Option<Security>,
    /// Whether plaintext is wanted beyond this machine.
    pub plaintext: bool,
}

impl Config {
    /// A coordinator for this machine alone.
    pub fn local(state: &Path) -> Self {
        Self {
            state: state.to_owned(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            security: None,
            plaintext: false,
        }
    }
}

/// A coordinator that listens.
#[derive(Debug)]
pub struct Instance {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether its connections are encrypted.
    pub encrypted: bool,
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
    /// Everybody in the network could do everything.
    #[error(
        "`{0}` can be reached from other machines, and connections would not be encrypted; \
         make certificates with `reprise serve --init --name HOST`, or ask for it with `--plaintext`"
    )]
    Plaintext(SocketAddr),
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
    /// Takes the state directory, reads the journal and listens.
    pub async fn start(config: Config) -> Result<Self, InstanceError> {
        let Config {
            state,
            listen: address,
            security,
            plaintext,
        } = config;
        let encrypted = security.is_some();
        if !encrypted && !plaintext && !address.ip().is_loopback() {
            return Err(InstanceError::Plaintext(address));
        }
        let lock = lock(&state)?;
        let store = Arc::new(SqliteStore::open(&state.join("journal.sqlite")).await?);
        let artifacts = ArtifactStore::local(&state.join("artifacts"))?;
        let config = engine::Config::default();
        let (service, handle) = engine::Service::open(config, store).await?;
        let heartbeat_timeout = config.core.heartbeat_timeout;
        let server = Server::bind(address, security, handle, artifacts, heartbeat_timeout).await?;
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
            encrypted,
            stopped,
            shutdown,
            _lock: lock,
        })
    }

    /// Its address as clients and workers write it.
    pub fn url(&self) -> String {
        let scheme = if self.encrypted { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

fn lock(state: &Path) -> Result<Flock<File>, InstanceError> {
    let failed = |source| InstanceError::State {
        path: state.to_owned(),
        source,
    };
    fs::create_dir_all(state).map_err(failed)?;
    let file = File::create(state.join("lock")).map_err(failed)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| InstanceError::InUse(state.to_owned()))
}
