//! From a study to its tasks: which they are, in which order they are best done,
//! and under which keys their results are known.
//!
//! A plan is a function of the study alone. It is journalled with the study, so
//! that a later version of this code does not change what was planned before.

mod error;
mod expand;
mod key;
pub(crate) mod sweep;
mod tasks;

use std::fmt;

use reprise_domain::study::StudySpec;
use reprise_domain::{Dataset, Limits, ModelName, TaskKey, TaskSpec};
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

/// A part of a study that is counted and reported together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// The seeds of one pretraining entry.
    Pretrain {
        /// Position of the entry in the study.
        entry: usize,
        /// Its autoencoder, by which it is named.
        model: ModelName,
    },
    /// The trials of one method on one data set.
    Search {
        /// The method's label.
        method: String,
        /// The data set.
        dataset: Dataset,
    },
    /// The real trainings.
    Evaluate,
    /// The tasks that do nothing.
    Noop,
}

impl Stage {
    /// The limits that a study sets for the attempts of this stage.
    pub(crate) fn limits(&self, spec: &StudySpec) -> Limits {
        let limits = match self {
            Self::Pretrain { entry, .. } => spec.pretrain.get(*entry).map(|entry| entry.limits),
            Self::Search { method, .. } => spec.search.as_ref().and_then(|search| {
                let mut methods = search.methods.iter();
                let named = methods.find(|known| known.label == *method)?;
                Some(named.limits)
            }),
            Self::Evaluate => spec.evaluate.as_ref().map(|evaluate| evaluate.limits),
            Self::Noop => spec.noop.map(|noop| noop.limits),
        };
        limits.unwrap_or_default()
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pretrain { model, .. } => write!(f, "pretrain {model}"),
            Self::Search { method, dataset } => write!(f, "{method} on {dataset}"),
            Self::Evaluate => f.write_str("evaluate"),
            Self::Noop => f.write_str("noop"),
        }
    }
}
