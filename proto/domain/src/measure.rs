//! What tasks measure: the numbers of a result are a function of the task's key
//! alone (INV-7); what a run happened to cost is kept apart in [`Usage`].

use serde::{Deserialize, Serialize};

use crate::ids::Digest;
use crate::program::ProgramResult;
use crate::space::ArchIndex;
use crate::units::{Accuracy, Seconds};

/// A file made by a task, named by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// BLAKE3 of the content.
    pub digest: Digest,
    /// Size in bytes.
    pub bytes: u64,
}

/// The result of a finished task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TaskResult {
    /// Of a pretraining.
    Pretrain(PretrainResult),
    /// Of a search trial.
    Search(SearchResult),
    /// Of a real training.
    Evaluate(EvaluateResult),
    /// Of nothing.
    Noop,
    /// Of a program.
    Program(ProgramResult),
}

impl TaskResult {
    /// Files that the result refers to.
    pub fn artifacts(&self) -> Vec<ArtifactRef> {
        match self {
            Self::Pretrain(result) => vec![result.checkpoint, result.embedding],
            Self::Program(result) => result.files(),
            Self::Search(_) | Self::Evaluate(_) | Self::Noop => Vec::new(),
        }
    }
}

/// Result of a pretraining run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PretrainResult {
    /// One entry an epoch.
    pub epochs: Vec<EpochMeasures>,
    /// The trained parameters, as safetensors.
    pub checkpoint: ArtifactRef,
    /// The mean-pooled embedding of the whole space, `[architectures, latent]`
    /// as safetensors tensor `embedding`.
    pub embedding: ArtifactRef,
}

/// End-of-epoch measures (protocol notes, section 3), all fractions but the loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochMeasures {
    /// Mean of the epoch's batch losses.
    pub loss: f64,
    /// Held-out nodes whose operation is reconstructed, padded ones counted as
    /// the released code counts them.
    pub ops_accuracy: f64,
    /// The same over real nodes only.
    pub ops_accuracy_real_nodes: f64,
    /// Held-out cells of the strict upper triangle that are reconstructed.
    pub edge_accuracy: f64,
    /// Mean decoded probability of true edges.
    pub true_edge_probability: f64,
    /// Mean decoded probability of absent edges.
    pub false_edge_probability: f64,
    /// Held-out graphs reconstructed exactly, operations and edges.
    pub exact_match: f64,
    /// Latent points that decode to a valid architecture.
    pub validity: f64,
    /// Distinct architectures among the valid ones.
    pub uniqueness: f64,
}

/// Result of a search trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// Every charged query in order.
    pub trajectory: Trajectory,
}

/// The queries of one search, column by column; all columns are equally long.
///
/// The search saw `validation` only (INV-9): the other accuracies are looked up
/// for reporting after the trial has ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Trajectory {
    /// Which architecture was bought.
    pub arch: Vec<ArchIndex>,
    /// The validation accuracy that guided the search.
    pub validation: Vec<Accuracy>,
    /// The validation accuracy that is reported (mean over training seeds).
    pub reported_validation: Vec<Accuracy>,
    /// The test accuracy that is reported.
    pub test: Vec<Accuracy>,
    /// Simulated seconds charged for this query alone.
    pub cost: Vec<Seconds>,
}

impl Trajectory {
    /// Number of queries.
    pub fn len(&self) -> usize {
        self.arch.len()
    }

    /// Whether nothing was bought.
    pub fn is_empty(&self) -> bool {
        self.arch.is_empty()
    }

    /// Position of the incumbent after each query: the first best by guiding
    /// validation accuracy.
    pub fn incumbents(&self) -> Vec<usize> {
        let mut best = 0;
        (0..self.validation.len())
            .map(|query| {
                if self.validation[query] > self.validation[best] {
                    best = query;
                }
                best
            })
            .collect()
    }

    /// Whether all columns have the same length.
    pub fn is_rectangular(&self) -> bool {
        [
            self.validation.len(),
            self.reported_validation.len(),
            self.test.len(),
            self.cost.len(),
        ]
        .iter()
        .all(|&len| len == self.arch.len())
    }
}

/// Result of a real training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvaluateResult {
    /// Accuracy on the validation split after the last epoch.
    pub validation: Accuracy,
    /// Accuracy on the test split after the last epoch.
    pub test: Accuracy,
    /// Trainable parameters of the network.
    pub parameters: u64,
    /// Multiply-accumulates of one image's forward pass.
    pub flops: u64,
}

/// What an attempt cost. Differs from run to run; never part of a result.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Wall-clock seconds of the whole task on its slot.
    pub wall: Seconds,
    /// Wall-clock seconds of the training loop alone, where there is one.
    pub training: Option<Seconds>,
    /// When it began by the worker's clock, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<u64>,
    /// When it ended by the worker's clock, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_incumbent_is_the_first_best_by_validation() {
        let validation = [0.1, 0.5, 0.3, 0.5, 0.6]
            .map(|a| Accuracy::new(a).unwrap())
            .to_vec();
        let trajectory = Trajectory {
            validation,
            ..Trajectory::default()
        };
        assert_eq!(trajectory.incumbents(), [0, 1, 1, 1, 4]);
        assert!(!trajectory.is_rectangular());
    }
}
