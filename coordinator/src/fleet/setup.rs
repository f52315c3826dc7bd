//! The settings of a fleet: its engine, its workers' command line and its price. They
//! are kept in the fleet's directory for `status` and `down`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::engine::Engine;
use super::gcp::Gcp;
use super::kubernetes::Kubernetes;
use super::program::Programs;
use super::slurm::Slurm;

/// A fleet's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Its name.
    pub name: String,
    /// Where its workers run.
    pub on: EngineSetup,
    /// What is run there.
    pub worker: WorkerCommand,
    /// What an hour of one worker costs.
    pub price: Option<f64>,
}

/// An engine and its own settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "engine", rename_all = "kebab-case")]
pub enum EngineSetup {
    /// Slurm: one job of an array a worker.
    Slurm {
        /// Further arguments of `sbatch`.
        extra: Vec<String>,
    },
    /// Kubernetes: a deployment.
    Kubernetes {
        /// The workers' container image.
        image: String,
        /// GPUs a worker.
        gpus: u32,
        /// Label and taint of the nodes to use, `KEY=VALUE`.
        spot: Option<String>,
        /// Secret whose `worker.pem` the workers use.
        secret: Option<String>,
        /// Further arguments of every `kubectl`, such as `--namespace=NAME`.
        extra: Vec<String>,
    },
    /// Google Cloud: a managed group of spot machines.
    Gcp {
        /// The project, where `gcloud` is not set to it.
        project: Option<String>,
        /// The zone.
        zone: String,
        /// The machine type.
        machine: String,
        /// Secret of the Secret Manager that holds the workers' credential.
        secret: Option<String>,
        /// Further arguments of `gcloud compute instance-templates create`.
        extra: Vec<String>,
    },
}

impl EngineSetup {
    /// The engine's name as it is written on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Slurm { .. } => "slurm",
            Self::Kubernetes { .. } => "kubernetes",
            Self::Gcp { .. } => "gcp",
        }
    }
}

/// The command line of a worker, without its directory, which differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerCommand {
    /// The program: a path on the machines where it runs.
    pub program: String,
    /// Where the coordinator listens, as those machines reach it.
    pub coordinator: String,
    /// The worker's credential: a path on those machines.
    pub credential: Option<String>,
    /// Tasks at once.
    pub slots: u32,
    /// SHA-256 of the program's archive, where it is one, in hexadecimal digits.
    #[serde(default)]
    pub sha256: Option<String>,
}

impl WorkerCommand {
    /// The arguments that every engine gives its workers. `credential` is where the
    /// engine put the file, if it brings one itself.
    pub fn arguments(&self, credential: Option<&str>) -> Vec<String> {
        let mut arguments = vec![
            "--coordinator".to_owned(),
            self.coordinator.clone(),
            "--slots".to_owned(),
            self.slots.to_string(),
        ];
        if let Some(credential) = credential.or(self.credential.as_deref()) {
            arguments.extend(["--credential".to_owned(), credential.to_owned()]);
        }
        arguments
    }
}

impl Setup {
    /// The engine that these settings name; its files go to `directory`.
    pub fn engine(&self, directory: &Path) -> Box<dyn Engine> {
        self.engine_with(directory, Programs::on_path())
    }

    /// The same with other programs.
    pub fn engine_with(&self, directory: &Path, programs: Programs) -> Box<dyn Engine> {
        let directory: PathBuf = directory.to_owned();
        match &self.on {
            EngineSetup::Slurm { .. } => Box::new(Slurm::new(self.clone(), directory, programs)),
            EngineSetup::Kubernetes { .. } => Box::new(Kubernetes::new(self.clone(), programs)),
            EngineSetup::Gcp { .. } => Box::new(Gcp::new(self.clone(), directory, programs)),
        }
    }
}
