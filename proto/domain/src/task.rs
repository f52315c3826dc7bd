//! Task specifications: everything that decides a task's result, and nothing
//! else. Their canonical JSON form is what a [`TaskKey`] is computed over.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::benchmark::BenchmarkRef;
use crate::ids::TaskKey;
use crate::program::ProgramSpec;
use crate::protocol::{PretrainQuirks, SearchQuirks};
use crate::space::{ArchIndex, Dataset, SpaceName};
use crate::units::{Seconds, Seed};

/// One unit of work that a worker carries out alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TaskSpec {
    /// Train a graph autoencoder on a space and embed the whole of it.
    Pretrain(PretrainSpec),
    /// One trial of a search method.
    Search(SearchSpec),
    /// Train one architecture on images.
    Evaluate(EvaluateSpec),
    /// Nothing: measures the orchestrator.
    Noop(NoopSpec),
    /// A program of somebody's own.
    Program(ProgramSpec),
}

/// Versions of the algorithms behind the kinds of tasks. Part of their keys: raise one
/// when a change of code changes results, so that old ones are not reused. Raise the
/// protocol of the workers with it, so that none computes by another version.
pub const ALGORITHMS: [(&str, u32); 5] = [
    // 2: random numbers are drawn by space, purpose and seed.
    ("pretrain", 2),
    ("search", 2),
    ("evaluate", 2),
    ("noop", 1),
    ("program", 1),
];

impl TaskSpec {
    /// The kind's name as written in tables and logs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Pretrain(_) => "pretrain",
            Self::Search(_) => "search",
            Self::Evaluate(_) => "evaluate",
            Self::Noop(_) => "noop",
            Self::Program(_) => "program",
        }
    }

    /// Whether it runs only where libtorch is: what trains architectures for real.
    pub const fn needs_libtorch(&self) -> bool {
        match self {
            Self::Evaluate(_) => true,
            Self::Search(spec) => spec.benchmark.is_training(),
            Self::Pretrain(_) | Self::Noop(_) | Self::Program(_) => false,
        }
    }

    /// Whether processors and graphics cards compute it with different engines, whose
    /// results differ by rounding.
    pub const fn depends_on_device(&self) -> bool {
        matches!(self, Self::Pretrain(_)) || self.needs_libtorch()
    }

    /// Whether results of this kind refer to artifacts.
    pub const fn makes_artifacts(&self) -> bool {
        match self {
            Self::Pretrain(_) | Self::Program(_) => true,
            Self::Search(_) | Self::Evaluate(_) | Self::Noop(_) => false,
        }
    }

    /// The repetition seed.
    pub const fn seed(&self) -> Seed {
        match self {
            Self::Pretrain(spec) => spec.seed,
            Self::Search(spec) => spec.seed,
            Self::Evaluate(spec) => spec.seed,
            Self::Noop(spec) => spec.seed,
            Self::Program(spec) => spec.seed,
        }
    }

    /// Keys of the tasks whose artifacts this one reads.
    pub fn inputs(&self) -> Vec<TaskKey> {
        match self {
            Self::Search(SearchSpec {
                encoding: EncodingName::Embedding { pretrain },
                ..
            }) => {
                vec![*pretrain]
            }
            _ => Vec::new(),
        }
    }

    /// Version of the algorithm behind this kind of task, see [`ALGORITHMS`].
    pub const fn algorithm_version(&self) -> u32 {
        let kind = match self {
            Self::Pretrain(_) => 0,
            Self::Search(_) => 1,
            Self::Evaluate(_) => 2,
            Self::Noop(_) => 3,
            Self::Program(_) => 4,
        };
        ALGORITHMS[kind].1
    }
}

impl fmt::Display for TaskSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pretrain(spec) => write!(f, "pretrain {} seed {}", spec.model, spec.seed),
            Self::Search(spec) => {
                write!(
                    f,
                    "search {} on {} seed {}",
                    spec.method.name(),
                    spec.dataset,
                    spec.seed
                )
            }
            Self::Evaluate(spec) => {
                write!(
                    f,
                    "evaluate {} on {} seed {}",
                    spec.arch, spec.dataset, spec.seed
                )
            }
            Self::Noop(spec) => write!(f, "noop {}", spec.seed),
            Self::Program(spec) => spec.fmt(f),
        }
    }
}

/// A graph autoencoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelName {
    /// The published variational graph isomorphism autoencoder.
    #[serde(rename = "arch2vec")]
    Arch2vec,
    /// The same without the KL term.
    #[serde(rename = "arch2vec-no-kl")]
    Arch2vecNoKl,
}

impl ModelName {
    /// The name as written in study files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arch2vec => "arch2vec",
            Self::Arch2vecNoKl => "arch2vec-no-kl",
        }
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Sizes of the autoencoder; the defaults are the published ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModelSizes {
    /// Width of the hidden layers.
    pub hidden: u32,
    /// Latent dimensions of a node.
    pub latent: u32,
    /// Graph isomorphism layers (the paper's five "hops" less one).
    pub layers: u32,
    /// Dropout before the decoder, training mode only.
    pub dropout: f64,
}

impl Default for ModelSizes {
    fn default() -> Self {
        Self {
            hidden: 128,
            latent: 16,
            layers: 4,
            dropout: 0.3,
        }
    }
}

impl ModelSizes {
    /// Weights of the graph isomorphism layers, `2 x layers x hidden x hidden`,
    /// which are nearly all of a large model's.
    pub const fn weights(&self) -> u64 {
        let hidden = self.hidden as u64;
        (hidden * hidden).saturating_mul(2 * self.layers as u64)
    }
}

/// Specification of one pretraining run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PretrainSpec {
    /// Space whose cells are the training graphs.
    pub space: SpaceName,
    /// Which autoencoder.
    pub model: ModelName,
    /// Its sizes.
    pub sizes: ModelSizes,
    /// Passes over the training graphs.
    pub epochs: u32,
    /// Graphs a step.
    pub batch: u32,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// Bound of the global gradient norm.
    pub clip: f64,
    /// Latent points drawn for validity and uniqueness after each epoch.
    pub latent_points: u32,
    /// Quirks of the released code.
    pub quirks: PretrainQuirks,
    /// Repetition seed.
    pub seed: Seed,
}

/// What a search method sees of an architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum EncodingName {
    /// Its operations and edges.
    Discrete,
    /// Its row in the embedding that a pretraining task made.
    Embedding {
        /// The pretraining task.
        pretrain: TaskKey,
    },
}

/// A search method with its settings; defaults in [`crate::study`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum MethodSpec {
    /// Uniform sampling.
    Random,
    /// Regularised evolution (Real et al., 2019).
    RegularizedEvolution {
        /// Living architectures.
        population: u32,
        /// Size of a tournament.
        sample: u32,
    },
    /// REINFORCE with an LSTM policy that steps through the embedding.
    Reinforce {
        /// Architectures an episode.
        episode: u32,
        /// Adam's learning rate.
        learning_rate: f64,
        /// Reward baseline.
        baseline: f64,
        /// Discount; without effect under quirk Q10.
        discount: f64,
    },
    /// Bayesian optimisation with deep networks for global optimisation.
    Dngo {
        /// Random architectures before the first model.
        initial: u32,
        /// Architectures bought a round.
        batch: u32,
        /// Passes over the data in each round's training.
        epochs: u32,
        /// Target of expected improvement under quirk Q8.
        target: f64,
    },
}

impl MethodSpec {
    /// The name as written in study files and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::RegularizedEvolution { .. } => "regularized-evolution",
            Self::Reinforce { .. } => "reinforce",
            Self::Dngo { .. } => "dngo",
        }
    }
}

/// When a search stops.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// After so many charged queries.
    Queries(u32),
    /// Once the simulated time charged by the benchmark reaches this.
    Simulated(Seconds),
}

/// Specification of one search trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SearchSpec {
    /// Space that is searched.
    pub space: SpaceName,
    /// Data set whose accuracies answer the queries.
    pub dataset: Dataset,
    /// Where the accuracies come from.
    pub benchmark: BenchmarkRef,
    /// How it is searched.
    pub method: MethodSpec,
    /// What the method sees.
    pub encoding: EncodingName,
    /// When it stops.
    pub budget: Budget,
    /// Quirks of the released code.
    pub quirks: SearchQuirks,
    /// Repetition seed.
    pub seed: Seed,
}

/// A training recipe by name; its numbers are fixed by the algorithm's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// The small macro network on the handwritten digits.
    DigitsSmall,
}

/// Specification of one real training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EvaluateSpec {
    /// Space of the architecture.
    pub space: SpaceName,
    /// Which architecture.
    pub arch: ArchIndex,
    /// Images it is trained on.
    pub dataset: Dataset,
    /// How it is trained.
    pub recipe: Recipe,
    /// Repetition seed.
    pub seed: Seed,
}

/// Specification of a task that does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NoopSpec {
    /// Tells one from another.
    pub seed: Seed,
    /// How long a slot is held, in milliseconds.
    pub hold_ms: u32,
    /// Attempts that fail before one succeeds; for tests of retrying.
    pub failures: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;
    use crate::protocol::{Protocol, Quirks};

    #[test]
    fn a_search_reads_the_pretraining_that_made_its_embedding() {
        let pretrain = TaskKey(Digest::from_bytes([7; 32]));
        let spec = TaskSpec::Search(SearchSpec {
            space: SpaceName::Nasbench201,
            dataset: Dataset::Cifar10,
            benchmark: BenchmarkRef::Table {
                digest: Digest::from_bytes([1; 32]),
            },
            method: MethodSpec::Dngo {
                initial: 16,
                batch: 1,
                epochs: 100,
                target: 1.0,
            },
            encoding: EncodingName::Embedding { pretrain },
            budget: Budget::Simulated(Seconds::new(12_000.0).unwrap()),
            quirks: Quirks::of(Protocol::Reference).search,
            seed: Seed(3),
        });
        assert_eq!(spec.inputs(), [pretrain]);
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<TaskSpec>(&json).unwrap(), spec);
    }
}
