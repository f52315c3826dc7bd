//! Where a study stands, as clients see it. Serialised, these are what the command
//! line prints with `--output json`.

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, StudyName, TaskKey};
use crate::outcome::FailureClass;
use crate::stage::Stage;
use crate::units::Seconds;

/// A study in a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudySummary {
    /// Its name.
    pub name: StudyName,
    /// Digest of its spec.
    pub digest: Digest,
    /// Who submitted it; nobody in particular where there are no credentials.
    pub owner: Option<String>,
    /// What it is doing.
    pub state: StudyState,
    /// Counts of all its tasks.
    pub tasks: TaskCounts,
    /// Audits of its finished tasks.
    #[serde(default)]
    pub audits: AuditCounts,
    /// When it was first submitted, in milliseconds since the Unix epoch.
    pub submitted_at_ms: u64,
    /// When one of its tasks was first given to a worker.
    pub started_at_ms: Option<u64>,
    /// When it came to have nothing left to run.
    pub finished_at_ms: Option<u64>,
}

impl StudySummary {
    /// Whether nothing of it will run without a user's doing.
    pub const fn has_ended(&self) -> bool {
        match self.state {
            StudyState::Done | StudyState::Cancelled => true,
            StudyState::Stopped => self.tasks.remaining() == 0,
            StudyState::Running | StudyState::Paused => false,
        }
    }
}

/// Where a study stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyStatus {
    /// The study in a line.
    #[serde(flatten)]
    pub study: StudySummary,
    /// Its stages, in plan order.
    pub stages: Vec<StageStatus>,
    /// Tasks that were given up, by equal cause.
    pub failures: Failures,
    /// Workers that are connected now.
    pub workers_connected: u32,
    /// Ready tasks that no worker which is connected can run, by what they need; empty
    /// while none is connected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unserved: Vec<Unserved>,
}

/// Ready tasks that no connected worker can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unserved {
    /// How many.
    pub tasks: u64,
    /// What a worker must have for them, in words.
    pub needs: String,
}

impl StudyStatus {
    /// Tasks in all stages together.
    pub const fn total(&self) -> &TaskCounts {
        &self.study.tasks
    }
}

/// What a study is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StudyState {
    /// Something of it can run.
    Running,
    /// Held by a user.
    Paused,
    /// It stopped itself because too many of its tasks failed; what runs may
    /// finish.
    Stopped,
    /// Nothing is left to run; the counts tell whether all of it finished.
    Done,
    /// Ended by a user.
    Cancelled,
}

impl StudyState {
    /// The name as written in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Counts of one stage of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageStatus {
    /// Its name, for people.
    pub name: String,
    /// Which stage.
    #[serde(flatten)]
    pub stage: Stage,
    /// Counts of its tasks.
    pub tasks: TaskCounts,
}

/// Counts of tasks; `planned` is the sum of those that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskCounts {
    /// All of them.
    pub planned: u64,
    /// Finished ones.
    pub finished: u64,
    /// Those that a worker has.
    pub running: u64,
    /// Those that only a worker is missing for.
    pub ready: u64,
    /// Those whose inputs have not finished.
    pub waiting: u64,
    /// Those that wait after a failure.
    pub backing_off: u64,
    /// Those given up.
    pub failed: u64,
    /// Those that can never start because an input was given up.
    pub blocked: u64,
    /// Cancelled ones.
    pub cancelled: u64,
    /// Seconds that the finished ones held their slots, together.
    pub finished_slot_seconds: Seconds,
}

impl TaskCounts {
    /// Tasks that still have to run.
    pub const fn remaining(&self) -> u64 {
        self.running + self.ready + self.waiting + self.backing_off
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            planned: self.planned + other.planned,
            finished: self.finished + other.finished,
            running: self.running + other.running,
            ready: self.ready + other.ready,
            waiting: self.waiting + other.waiting,
            backing_off: self.backing_off + other.backing_off,
            failed: self.failed + other.failed,
            blocked: self.blocked + other.blocked,
            cancelled: self.cancelled + other.cancelled,
            finished_slot_seconds: self.finished_slot_seconds + other.finished_slot_seconds,
        }
    }
}

/// Counts of audits: finished tasks that run again on another worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AuditCounts {
    /// Those that wait for a free slot of another worker.
    pub due: u64,
    /// Those that a worker has.
    pub running: u64,
    /// Those that gave the same result.
    pub agreed: u64,
    /// Those that gave another result.
    pub differing: u64,
    /// Those that failed too often, or that there was no other worker for.
    pub given_up: u64,
}

impl AuditCounts {
    /// Audits that have yet to end.
    pub const fn pending(&self) -> u64 {
        self.due + self.running
    }

    /// All of them.
    pub const fn planned(&self) -> u64 {
        self.pending() + self.agreed + self.differing + self.given_up
    }
}

/// Tasks that were given up, by equal cause.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failures {
    /// The causes, the most frequent first.
    pub groups: Vec<FailureGroup>,
    /// Failed tasks whose causes are not listed.
    pub other_tasks: u64,
}

/// Failed tasks of one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureGroup {
    /// What kind of failure.
    pub class: FailureClass,
    /// What happened.
    pub message: String,
    /// How many tasks.
    pub tasks: u64,
    /// One of them.
    pub example: TaskKey,
    /// What that one is, for people.
    pub example_title: String,
}

/// How a client controls a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// End it.
    Cancel,
    /// Start nothing further of it.
    Pause,
    /// Go on.
    Resume,
}
