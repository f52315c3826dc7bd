//! From a study to its tasks: which they are, in which order they are best done,
//! and under which keys their results are known.
//!
//! A plan is a function of the study alone. It is journalled with the study, so
//! that a later version of this code does not change what was planned before.

mod error;
mod expand;
mod form;
mod key;
pub(crate) mod sweep;
mod tasks;

pub use reprise_domain::Stage;
use reprise_domain::{TaskKey, TaskSpec};
use serde::{Deserialize, Serialize};

pub use error::PlanError;
pub use expand::{MAX_STAGES, MAX_TASKS, plan};
pub(crate) use key::hash;
pub use key::{study_digest, task_key};
pub use tasks::Plan;
pub(crate) use tasks::PlannedKeys;

/// One task of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedTask {
    /// Its key, [`task_key`] of `spec`.
    pub key: TaskKey,
    /// What is to be done.
    pub spec: TaskSpec,
    /// The part of the study that it belongs to.
    pub stage: Stage,
}
