//! The parts of a study.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::program::{Factor, titled};
use crate::space::Dataset;
use crate::study::{MethodPlan, StudySpec};
use crate::suit::Requirement;
use crate::task::ModelName;

/// A part of a study that is counted and reported together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// The seeds of one pretraining entry.
    Pretrain {
        /// Position of the entry in the study.
        entry: usize,
        /// Its autoencoder, by which it is named where it has no name of its own.
        model: ModelName,
        /// Its own name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String>,
        /// The values of its factors, in the order of the study.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        level: Vec<Factor>,
    },
    /// The trials of one method on one data set.
    Search {
        /// The method's label.
        method: String,
        /// The data set.
        dataset: Dataset,
        /// The values of its factors, in the order of the study.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        level: Vec<Factor>,
    },
    /// The real trainings.
    Evaluate,
    /// The tasks that do nothing.
    Noop,
    /// The runs of an experiment's program with one value of each of its factors.
    Experiment {
        /// The experiment's name.
        experiment: String,
        /// The values, in the order of the study.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        level: Vec<Factor>,
    },
}

impl Stage {
    /// The limits that a study sets for the attempts of this stage.
    pub fn limits(&self, spec: &StudySpec) -> Limits {
        let limits = match self {
            Self::Pretrain { entry, .. } => spec.pretrain.get(*entry).map(|entry| entry.limits),
            Self::Search { method, level, .. } => spec.search.as_ref().and_then(|search| {
                let mut methods = search.methods.iter();
                let is_it = |known: &&MethodPlan| known.label == *method && known.level == *level;
                Some(methods.find(is_it)?.limits)
            }),
            Self::Evaluate => spec.evaluate.as_ref().map(|evaluate| evaluate.limits),
            Self::Noop => spec.noop.map(|noop| noop.limits),
            Self::Experiment { experiment, .. } => {
                let mut experiments = spec.experiments.iter();
                let named = experiments.find(|known| known.name == *experiment);
                named.map(|named| named.limits)
            }
        };
        limits.unwrap_or_default()
    }

    /// What a worker must have to run the tasks of this stage.
    pub fn requirement(&self, spec: &StudySpec) -> Requirement {
        let experiment = match self {
            Self::Experiment { experiment, .. } => experiment,
            Self::Evaluate => return Requirement::Libtorch,
            Self::Search { .. } if spec.search_trains() => return Requirement::Libtorch,
            Self::Pretrain { .. } | Self::Search { .. } | Self::Noop => return Requirement::None,
        };
        let mut experiments = spec.experiments.iter();
        let named = experiments.find(|known| known.name == *experiment);
        named.map_or(Requirement::None, |named| Requirement::Program(named.needs))
    }

    /// The values of the factors that its runs share, in the order of the study.
    pub fn level(&self) -> &[Factor] {
        match self {
            Self::Pretrain { level, .. }
            | Self::Search { level, .. }
            | Self::Experiment { level, .. } => level,
            Self::Evaluate | Self::Noop => &[],
        }
    }

    /// The method's label or the experiment's name, where it has one.
    pub fn method(&self) -> Option<&str> {
        match self {
            Self::Search { method, .. } => Some(method),
            Self::Experiment { experiment, .. } => Some(experiment),
            Self::Pretrain { .. } | Self::Evaluate | Self::Noop => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pretrain {
                model,
                label,
                level,
                ..
            } => {
                let label = label.as_deref().unwrap_or(model.as_str());
                write!(f, "pretrain {}", titled(label, level))
            }
            Self::Search {
                method,
                dataset,
                level,
            } => write!(f, "{} on {dataset}", titled(method, level)),
            Self::Evaluate => f.write_str("evaluate"),
            Self::Noop => f.write_str("noop"),
            Self::Experiment { experiment, level } => f.write_str(&titled(experiment, level)),
        }
    }
}
