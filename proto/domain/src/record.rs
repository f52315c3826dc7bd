//! What became of single tasks, attempts and workers, as clients see it.
//! Serialised, these are what the command line prints with `--output json`.

use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::ids::{Digest, StudyName, TaskKey, WorkerId};
use crate::measure::{TaskResult, Usage};
use crate::outcome::Failure;
use crate::stage::Stage;
use crate::task::TaskSpec;

/// A task and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its key.
    pub key: TaskKey,
    /// What it is, for people.
    pub title: String,
    /// The part of its study that it belongs to.
    #[serde(flatten)]
    pub stage: Stage,
    /// Position of that part among the study's stages.
    pub stage_index: u32,
    /// Its repetition seed.
    pub seed: u64,
    /// Repetition seed of the pretraining whose embedding it reads, if it reads one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrain_seed: Option<u64>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: TaskState,
    /// Attempts made.
    pub attempts: u32,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum TaskState {
    /// An input has not finished.
    Waiting,
    /// Only a worker is missing.
    Ready,
    /// It waits after a failure.
    BackingOff {
        /// Until when, in milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// A worker has it.
    Running {
        /// Which.
        worker: WorkerId,
    },
    /// It is done.
    Finished,
    /// It was given up.
    Failed {
        /// Why. Lists leave the log out.
        failure: Failure,
    },
    /// An input was given up.
    Blocked {
        /// Which.
        by: TaskKey,
        /// Why that one was. Lists leave the log out.
        failure: Failure,
    },
    /// No study wants it any more.
    Cancelled,
}

impl TaskState {
    /// Which of the states.
    pub const fn kind(&self) -> TaskStateKind {
        match self {
            Self::Waiting => TaskStateKind::Waiting,
            Self::Ready => TaskStateKind::Ready,
            Self::BackingOff { .. } => TaskStateKind::BackingOff,
            Self::Running { .. } => TaskStateKind::Running,
            Self::Finished => TaskStateKind::Finished,
            Self::Failed { .. } => TaskStateKind::Failed,
            Self::Blocked { .. } => TaskStateKind::Blocked,
            Self::Cancelled => TaskStateKind::Cancelled,
        }
    }

    /// Why it will not finish, where that is known.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed { failure } | Self::Blocked { failure, .. } => Some(failure),
            _ => None,
        }
    }
}

/// [`TaskState`] without its data, to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStateKind {
    /// An input has not finished.
    Waiting,
    /// Only a worker is missing.
    Ready,
    /// It waits after a failure.
    BackingOff,
    /// A worker has it.
    Running,
    /// It is done.
    Finished,
    /// It was given up.
    Failed,
    /// An input was given up.
    Blocked,
    /// No study wants it any more.
    Cancelled,
}

impl TaskStateKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Ready,
        Self::BackingOff,
        Self::Running,
        Self::Finished,
        Self::Failed,
        Self::Blocked,
        Self::Cancelled,
    ];

    /// The name as written in tables and arguments.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::BackingOff => "backing-off",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which tasks of a study are asked for: those that fit all that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskFilter {
    /// In one of these states; in any without one.
    pub states: Vec<TaskStateKind>,
    /// Trials of the method of this label.
    pub method: Option<String>,
    /// On this data set.
    pub dataset: Option<String>,
    /// Of this seed.
    pub seed: Option<u64>,
    /// Of the stage of this name.
    pub stage: Option<String>,
}

/// A task with its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The task and where it stands.
    #[serde(flatten)]
    pub task: Task,
    /// What it is.
    pub spec: TaskSpec,
    /// What it found, if it has finished.
    pub outcome: Option<Outcome>,
    /// What [`Outcome::provenance`] is the digest of, in the first of several records
    /// that name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Capability>,
}

/// What a finished task found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its result.
    pub result: TaskResult,
    /// What the attempt that finished it cost.
    pub usage: Usage,
    /// Host of the worker that ran it.
    pub host: String,
    /// The worker that ran it, where that was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// Digest of the description of the program and the device that ran it, where one
    /// was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Digest>,
}

/// A finished task's result with what its winning attempt cost, and where it ran: what
/// is stored of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredResult {
    /// The result. First: stores take the digest of its bytes from there.
    pub result: TaskResult,
    /// Its cost.
    pub usage: Usage,
    /// Host that ran it.
    pub host: String,
    /// Number of the attempt; 0 where it was not recorded.
    #[serde(default)]
    pub attempt: u32,
    /// Worker that ran it.
    #[serde(default)]
    pub worker: Option<WorkerId>,
    /// When the attempt was given to the worker, in milliseconds since the Unix epoch;
    /// 0 where it was not recorded.
    #[serde(default)]
    pub started_ms: u64,
    /// When its report came; 0 where it was not recorded.
    #[serde(default)]
    pub ended_ms: u64,
    /// Digest of the text that describes the program and the device that ran it.
    #[serde(default)]
    pub provenance: Option<Digest>,
}

/// What is stored of a finished task, to be kept elsewhere and brought back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArchivedResult {
    /// Its key.
    pub task: TaskKey,
    /// What is stored.
    pub stored: StoredResult,
    /// The text that [`StoredResult::provenance`] is the digest of, in the first of
    /// several results that name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<String>,
}

/// What became of results that were brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Unarchived {
    /// Tasks that are finished by them.
    pub taken: u64,
    /// Tasks that had the same result already.
    pub known: u64,
    /// Tasks that had another result, which they keep.
    pub differing: u64,
    /// One of those.
    pub example: Option<TaskKey>,
}

/// A task with its attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskDetail {
    /// The task and where it stands.
    #[serde(flatten)]
    pub task: Task,
    /// What it is.
    pub spec: TaskSpec,
    /// Studies that have it in their plan.
    pub studies: Vec<StudyName>,
    /// Attempts that are known, oldest first.
    pub attempt_records: Vec<AttemptRecord>,
    /// What it found, if it has finished.
    pub result: Option<TaskResult>,
    /// What the attempt that finished it cost.
    pub usage: Option<Usage>,
    /// Whether attempts at it gave different results.
    #[serde(default)]
    pub disputed: bool,
    /// What its result was made with, if that was recorded: program, libraries, device,
    /// host.
    #[serde(default)]
    pub provenance: Option<Capability>,
}

/// One attempt at a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Which, from 1.
    pub number: u32,
    /// Who had it.
    pub worker: WorkerId,
    /// The worker's host.
    pub host: String,
    /// What the worker computes on.
    pub device: String,
    /// The worker program and what it computes with, in words; empty where it is not
    /// known.
    #[serde(default)]
    pub program: String,
    /// When it was given to the worker, in milliseconds since the Unix epoch.
    pub started_at_ms: Option<u64>,
    /// When it ended.
    pub ended_at_ms: Option<u64>,
    /// What became of it.
    #[serde(flatten)]
    pub state: AttemptState,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum AttemptState {
    /// A worker has it.
    Running,
    /// It finished the task.
    Finished,
    /// It failed.
    Failed {
        /// Why, without its log.
        failure: Failure,
    },
    /// The worker handed it back.
    Returned,
    /// Its worker was lost.
    Lost,
    /// Another attempt won, or no study wanted the task any more.
    Stopped,
    /// It audited a finished task, with the same result.
    Agreed,
    /// It audited a finished task, with another result.
    Differed,
}

impl AttemptState {
    /// The name as written in tables.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed { .. } => "failed",
            Self::Returned => "returned",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
            Self::Agreed => "agreed",
            Self::Differed => "differed",
        }
    }
}

/// A worker that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its id.
    pub id: WorkerId,
    /// Its host.
    pub host: String,
    /// What it computes on.
    pub device: String,
    /// Version of the worker program.
    pub version: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// Tasks that it runs at once.
    pub slots: u32,
    /// Attempts that it has, running or not begun.
    pub held_attempts: u64,
    /// Whether it is there.
    pub state: WorkerState,
}

/// Whether a worker is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerState {
    /// It is connected.
    Connected,
    /// It is connected, and is given nothing more.
    Draining,
    /// It was not heard of for a while, and may still come back.
    Away,
}

impl WorkerState {
    /// The name as written in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Draining => "draining",
            Self::Away => "away",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What kind of event.
    pub kind: String,
    /// The study that it is about.
    pub study: Option<StudyName>,
    /// The task that it is about.
    pub task: Option<TaskKey>,
    /// Which attempt of the task.
    pub attempt: Option<u32>,
    /// The worker that it is about.
    pub worker: Option<WorkerId>,
    /// The same in words.
    pub text: String,
    /// Events before this one that the reader was too slow for.
    pub missed: u64,
}
