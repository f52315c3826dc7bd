//! Where a study stands, and what became of each of its tasks, as clients see it.

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, StudyName, TaskKey};
use crate::measure::{TaskResult, Usage};
use crate::outcome::Failure;
use crate::study::StudySpec;
use crate::task::TaskSpec;
use crate::units::Seconds;

/// Where a study stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyStatus {
    /// Its name.
    pub name: StudyName,
    /// Digest of its spec.
    pub digest: Digest,
    /// What it is doing.
    pub state: StudyState,
    /// Counts a stage, in plan order.
    pub stages: Vec<StageStatus>,
    /// Tasks that were given up, at most 100 of them.
    pub failures: Vec<FailedTask>,
    /// Workers that are connected now.
    pub workers: u32,
    /// The spec itself.
    pub spec: StudySpec,
}

impl StudyStatus {
    /// Tasks in all stages together.
    pub fn total(&self) -> StageStatus {
        let mut total = StageStatus {
            stage: "all".to_owned(),
            ..StageStatus::default()
        };
        for stage in &self.stages {
            total.planned += stage.planned;
            total.finished += stage.finished;
            total.running += stage.running;
            total.failed += stage.failed;
            total.blocked += stage.blocked;
            total.cancelled += stage.cancelled;
            total.seconds = total.seconds + stage.seconds;
        }
        total
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
    /// Nothing is left to run; `failed`, `blocked` and `cancelled` tell whether
    /// all of it finished.
    Done,
    /// Cancelled by a user.
    Cancelled,
}

/// Counts of one stage of a study.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StageStatus {
    /// The stage's name.
    pub stage: String,
    /// All tasks of the stage.
    pub planned: u64,
    /// Finished ones.
    pub finished: u64,
    /// Those that a worker has.
    pub running: u64,
    /// Those given up.
    pub failed: u64,
    /// Those that can never start because an input was given up.
    pub blocked: u64,
    /// Cancelled ones.
    pub cancelled: u64,
    /// Slot seconds of the finished ones.
    pub seconds: Seconds,
}

impl StageStatus {
    /// Tasks that still have to run.
    pub fn remaining(&self) -> u64 {
        self.planned - self.finished - self.failed - self.blocked - self.cancelled
    }
}

/// A task that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTask {
    /// Its key.
    pub task: TaskKey,
    /// What it was, for people.
    pub title: String,
    /// Attempts made.
    pub attempts: u32,
    /// How the last one failed.
    pub failure: Failure,
}

/// What became of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Its key.
    pub key: TaskKey,
    /// What it is.
    pub spec: TaskSpec,
    /// What became of it.
    pub fate: TaskFate,
    /// Attempts made.
    pub attempts: u32,
}

/// What became of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum TaskFate {
    /// It finished.
    Finished {
        /// Its result.
        result: TaskResult,
        /// What the winning attempt cost.
        usage: Usage,
        /// Host of the worker that ran it.
        host: String,
    },
    /// It was given up.
    Failed(Failure),
    /// It has not ended.
    Unfinished,
}
