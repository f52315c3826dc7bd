//! One running coordinator: state directory, engine and server together.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::Flock;
use reprise_core::lifecycle::{Event, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::grpc::{Server, ServerError};
use crate::artifact::{ArtifactError, ArtifactStore};
use crate::engine::{self, EngineError};
use crate::security::Security;
use crate::state::{self, JOURNAL, StateError, Watch};
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::{Lack, SqliteStore};
use crate::store::{Batch, Store, StoreError};

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
    /// A PostgreSQL database for the journal, `postgres://..`; a file in `state`
    /// without one.
    pub database: Option<String>,
    /// Where artifacts are, as [`ArtifactStore::open`] takes it; in `state` without
    /// one.
    pub artifacts: Option<String>,
    /// How long workers may be silent and away.
    pub core: Settings,
    /// Bytes of records beyond its snapshot from which on the journal is compacted.
    pub longest_tail: u64,
}

impl Config {
    /// A coordinator for this machine alone.
    pub fn local(state: &Path) -> Self {
        Self {
            state: state.to_owned(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            security: None,
            plaintext: false,
            database: None,
            artifacts: None,
            core: Settings::default(),
            longest_tail: engine::Config::default().longest_tail,
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
    #[error(transparent)]
    State(#[from] StateError),
    /// Everybody in the network could do everything.
    #[error(
        "`{0}` can be reached from other machines, and connections would not be encrypted; \
         make certificates with `reprise serve --init --name HOST`, or ask for it with `--plaintext`"
    )]
    Plaintext(SocketAddr),
    /// The address is taken or not ours.
    #[error("listen on `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Studies have run here, but the database knows nothing of them.
    #[error(
        "the database holds no journal, but `{artifacts}` holds artifacts of studies: the journal \
         was lost, or `--database` names another database; restore a backup, or name an empty \
         place with `--artifacts` to begin anew"
    )]
    LostDatabase {
        /// Where the artifacts are.
        artifacts: String,
    },
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

impl InstanceError {
    /// Whether it is the journal's: another coordinator can go on.
    pub fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Engine(EngineError::Store(_)))
    }

    /// Whether what the journal has is still there and whole.
    pub fn keeps_results(&self) -> bool {
        match self {
            Self::State(error) => matches!(error, StateError::InUse(_)),
            Self::LostDatabase { .. } => false,
            Self::Store(error) | Self::Engine(EngineError::Store(error)) => matches!(
                error,
                StoreError::Access { .. } | StoreError::Lost { .. } | StoreError::Open { .. }
            ),
            _ => true,
        }
    }

    /// Whether the journal was within reach before.
    pub fn is_a_loss(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Lost { .. })
                | Self::Engine(EngineError::Store(StoreError::Lost { .. }))
        )
    }
}

impl Instance {
    /// Takes the state directory, listens, and reads the journal; with a database,
    /// once no other coordinator leads there. Until then whoever connects is turned
    /// away and tries the next address.
    pub async fn start(config: Config) -> Result<Self, InstanceError> {
        let Config {
            state: directory,
            listen: address,
            security,
            plaintext,
            database,
            artifacts,
            core,
            longest_tail,
        } = config;
        let encrypted = security.is_some();
        if !encrypted && !plaintext && !address.ip().is_loopback() {
            return Err(InstanceError::Plaintext(address));
        }
        let lock = state::lock(&directory)?;
        if database.is_none() {
            state::refuse_lost(&directory)?;
        }
        let artifacts = match artifacts {
            Some(location) => ArtifactStore::open(&location)?,
            None => ArtifactStore::local(&directory.join("artifacts"))?,
        };
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| InstanceError::Listen { address, source })?;
        let address = listener.local_addr().unwrap_or(address);
        let mut watch = None;
        let store: Arc<dyn Store> = match database {
            None => {
                let store = SqliteStore::open(&directory.join(JOURNAL)).await?;
                if let Some(lack) = store.lacks() {
                    note_lack(&store, lack).await?;
                }
                watch = Some(Watch::begin(&directory)?);
                Arc::new(store)
            }
            Some(url) => {
                let store = tokio::select! {
                    led = PostgresStore::lead(&url, || standing_by(address)) => led?,
                    () = turn_away(&listener) => unreachable!("connections are turned away for ever"),
                };
                refuse_lost(&store, &artifacts).await?;
                Arc::new(store)
            }
        };
        let config = engine::Config { core, longest_tail };
        let (service, handle) =
            engine::Service::open(config, Arc::clone(&store), artifacts.clone()).await?;
        let heartbeat_timeout = core.heartbeat_timeout;
        let reader = store.reader();
        let server = Server::new(
            listener,
            security,
            handle,
            reader,
            artifacts,
            heartbeat_timeout,
        );
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let stopped = tokio::spawn(run(service, server, store, watch, stop));
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

/// Runs engine and server until one of them ends, and then lets the other end too.
async fn run(
    engine: engine::Service,
    server: Server,
    store: Arc<dyn Store>,
    watch: Option<Watch>,
    stop: CancellationToken,
) -> Result<(), InstanceError> {
    let vanished = async {
        match &watch {
            Some(watch) => watch.vanished().await,
            None => std::future::pending().await,
        }
    };
    let engine = async {
        let ended = tokio::select! {
            ended = engine.run(stop.clone()) => ended.map_err(InstanceError::from),
            lost = store.lost() => Err(lost.into()),
            vanished = vanished => Err(vanished.into()),
        };
        stop.cancel();
        ended
    };
    let server = async {
        let ended = server.run(stop.clone()).await.map_err(InstanceError::from);
        stop.cancel();
        ended
    };
    let (engine, server) = tokio::join!(engine, server);
    engine.and(server)
}

/// Says that the newest part of a journal is lost, and notes it in the journal: what was
/// begun then may still run.
async fn note_lack(store: &SqliteStore, lack: Lack) -> Result<(), StoreError> {
    let Lack { newest, written } = lack;
    tracing::error!(
        newest,
        written,
        "the newest records of the journal are lost: its log was removed or is damaged, or an \
         older copy is in its place; what they tell is done again, except what workers still hold"
    );
    let at = engine::now();
    let batch = Batch {
        at,
        events: vec![Event::restored(at)],
        ..Batch::default()
    };
    store.commit(&batch).await.map(drop)
}

/// Refuses a database without a journal beside artifacts, so that nothing is done again
/// without a word.
async fn refuse_lost(store: &dyn Store, artifacts: &ArtifactStore) -> Result<(), InstanceError> {
    if store.reader().newest().await? == 0 && artifacts.holds_any().await? {
        return Err(InstanceError::LostDatabase {
            artifacts: artifacts.place(),
        });
    }
    Ok(())
}

fn standing_by(address: SocketAddr) {
    tracing::info!(%address, "another coordinator leads; standing by");
}

/// Closes every connection at once: its end tries the next address.
async fn turn_away(listener: &TcpListener) {
    loop {
        if listener.accept().await.is_err() {
            // Out of descriptors, say: trying again at once would only spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
