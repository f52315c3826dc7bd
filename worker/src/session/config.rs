//! What a worker is started with, and why it stops.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reprise_domain::Capability;
use reprise_proto::credential::Credential;
use reprise_proto::status::ApiError;

use crate::artifacts::ArtifactError;
use crate::identity::HomeError;
use crate::packing::Packs;
use crate::runner::program::ProgramSettings;
use crate::spool::SpoolError;
use crate::torch::Torch;

/// What a worker is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the coordinator listens, `https://HOST:PORT` or `http://HOST:PORT`;
    /// where several stand in for each other, all of them, separated by commas.
    pub coordinator: String,
    /// What it shows to an encrypted coordinator.
    pub credential: Option<Credential>,
    /// Threads that run one task each.
    pub threads: usize,
    /// How pretraining is packed, if it is.
    pub packs: Option<Packs>,
    /// The program that computes with libtorch, where there is one.
    pub torch: Option<Torch>,
    /// Most work that is lost with its machine.
    pub checkpoint_interval: Duration,
    /// Its own directory: identity, spool, checkpoints and caches.
    pub directory: PathBuf,
    /// What it runs programs with, if it runs any.
    pub programs: Option<ProgramSettings>,
    /// What it offers.
    pub capability: Capability,
}

/// Why the worker stopped.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Its directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Its spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Its artifact cache cannot be used.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// The directory of its attempts' logs cannot be used.
    #[error("use the logs in `{path}`")]
    Logs {
        /// Which directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The directories of programs cannot be used.
    #[error("use the directories of programs in `{path}`")]
    Programs {
        /// Where they are.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Its slots cannot be started.
    #[error("start the slots")]
    Slots(#[source] io::Error),
    /// The coordinator will never take it.
    #[error("the coordinator refused this worker: {0}")]
    Refused(ApiError),
}
