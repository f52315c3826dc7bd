//! The interface of an engine, and the contract that the fleet relies on.

use std::time::Duration;

use async_trait::async_trait;

use super::program::ProgramError;

/// Something that runs workers on machines.
///
/// The contract, which holds across restarts of the loop:
/// * [`list`](Self::list) returns every worker of this fleet, whichever process asked
///   for it, and no worker of another fleet. Workers that [`grow`](Self::grow) asked
///   for are listed from then on, as requested or queued until they have a machine.
/// * Workers that [`shrink`](Self::shrink) and [`down`](Self::down) take away get
///   SIGTERM and time to hand their work back. The engine does not replace them.
/// * Asking twice for the same thing is not an error.
#[async_trait]
pub trait Engine: Send + Sync {
    /// The workers of this fleet.
    async fn list(&self) -> Result<Vec<Member>, EngineError>;

    /// Asks for `count` more workers.
    async fn grow(&self, count: u32) -> Result<(), EngineError>;

    /// Takes these workers away.
    async fn shrink(&self, ids: &[String]) -> Result<(), EngineError>;

    /// Where people find the logs of the workers.
    fn logs(&self) -> String;

    /// Takes all workers away, and everything that the engine keeps for them.
    async fn down(&self) -> Result<(), EngineError>;
}

/// One worker as the engine knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The engine's name for it.
    pub id: String,
    /// What it is doing.
    pub state: MemberState,
    /// The machine, where there is one.
    pub place: String,
    /// Why it waits, where the engine says so.
    pub note: String,
    /// How long it has had a machine.
    pub run: Duration,
}

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// The engine is to make it and has no name for it yet; its id stands for it
    /// until the next list.
    Requested,
    /// It waits for a machine.
    Queued,
    /// It has a machine.
    Up,
    /// It was asked to leave.
    Leaving,
}

impl MemberState {
    /// The state as people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Queued => "queued",
            Self::Up => "up",
            Self::Leaving => "leaving",
        }
    }
}

/// An engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Its program did not.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Its program said something that this version does not understand.
    #[error("`{program}` answered `{answer}`, which is not {expected}")]
    Answer {
        /// Which program.
        program: &'static str,
        /// What it said.
        answer: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The name is taken.
    #[error(
        "job `{job}` is named `{name}` but belongs to `{owner}`; give this fleet another name with `--name`"
    )]
    Foreign {
        /// The other fleet's job.
        job: String,
        /// The name that both have.
        name: String,
        /// What the job says it belongs to.
        owner: String,
    },
    /// A file for it cannot be written.
    #[error("write `{path}`")]
    File {
        /// Which file.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// More workers than it has numbers for.
    #[error("{wanted} workers are more than the {limit} that one fleet can have; lower `--max`")]
    TooMany {
        /// The highest number asked for.
        wanted: u32,
        /// The highest number there is.
        limit: u32,
    },
}
