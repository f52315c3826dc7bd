//! Runs programs of somebody's own: a directory for each attempt, a supervised process,
//! its metrics while it runs, its checkpoints, and its result.
//!
//! The contract, for people, is `configs/programs.md`.

mod artifacts;
mod contract;
mod cores;
mod error;
mod generation;
mod leftovers;
mod metrics;
mod outcome;
mod output;
mod process;
mod run;
mod seeds;
mod workspace;

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use self::cores::Cores;
pub(crate) use self::error::ProgramError;

/// How long a program may take to save its work after it was asked to end. A worker
/// that leaves has 25 s for all of its work.
const GRACE: Duration = Duration::from_secs(10);

/// The same for a program whose result nobody wants any more.
const SHORT_GRACE: Duration = Duration::from_secs(2);

/// What a worker runs programs with.
#[derive(Debug, Clone)]
pub struct ProgramSettings {
    /// This program, or another one that knows `exec-program`.
    pub launcher: PathBuf,
    /// Cores that programs take together.
    pub cores: u32,
    /// The graphics card that programs may use that need one.
    pub card: Option<u32>,
}

/// What all slots of a worker that runs programs share.
#[derive(Debug)]
pub(crate) struct Programs {
    settings: ProgramSettings,
    /// Directories of the attempts that run.
    directory: PathBuf,
    cores: Cores,
}

impl Programs {
    /// Cores that programs have.
    pub(super) fn cores_in_use(&self) -> usize {
        self.cores.in_use()
    }

    /// Takes a directory for the attempts, after whatever an earlier process of this
    /// worker left there has been ended and removed.
    pub(crate) fn open(directory: &Path, settings: ProgramSettings) -> io::Result<Self> {
        if directory.exists() {
            let ended = leftovers::end(&directory.canonicalize()?);
            if ended > 0 {
                tracing::warn!(
                    processes = ended,
                    "ended what an earlier process left behind"
                );
            }
            workspace::remove(directory)?;
        }
        fs::create_dir_all(directory)?;
        Ok(Self {
            cores: Cores::new(settings.cores),
            settings,
            directory: directory.canonicalize()?,
        })
    }
}
