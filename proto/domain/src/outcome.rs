//! How an attempt ends.

use serde::{Deserialize, Serialize};

use crate::measure::{TaskResult, Usage};

/// The end of one attempt, as its worker reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum AttemptOutcome {
    /// The task is done.
    Finished {
        /// Its result.
        result: TaskResult,
        /// What it cost.
        usage: Usage,
    },
    /// The task failed.
    Failed(Failure),
    /// The worker gave the task back unfinished, for no fault of the task.
    Returned,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure: decides whether and how it is retried.
    pub class: FailureClass,
    /// What happened, in one line.
    pub message: String,
    /// The last lines of the task's log, oldest first.
    pub log: Vec<String>,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The task itself failed; trying again may help.
    Task,
    /// The task can never succeed as specified: a missing input, a bad spec.
    Permanent,
    /// The worker was lost while it ran.
    WorkerLost,
    /// The device's memory was exhausted.
    OutOfMemory,
    /// It ran longer than its study allows.
    TimeLimit,
    /// It made no progress for longer than its study allows.
    Stalled,
    /// A file that it reads is lost or damaged, which is no fault of the task.
    InputLost,
}

impl FailureClass {
    /// The name as written in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task error",
            Self::Permanent => "permanent error",
            Self::WorkerLost => "worker lost",
            Self::OutOfMemory => "out of memory",
            Self::TimeLimit => "time limit",
            Self::Stalled => "no progress",
            Self::InputLost => "input lost",
        }
    }
}
