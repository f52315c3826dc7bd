//! The parts of a study.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::space::Dataset;
use crate::study::StudySpec;
use crate::task::ModelName;

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
    pub fn limits(&self, spec: &StudySpec) -> Limits {
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

    /// The method's label, where it has one.
    pub fn method(&self) -> Option<&str> {
        match self {
            Self::Search { method, .. } => Some(method),
            Self::Pretrain { .. } | Self::Evaluate | Self::Noop => None,
        }
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
