//! What is minimised and how: the terms of the loss and the optimiser's settings.

use reprise_domain::{ModelName, PretrainSpec};

/// Terms of the loss, beside the binary cross entropy of the edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Objective {
    /// How decoded operations are judged.
    pub operations: OperationLoss,
    /// Weight of the divergence from the prior.
    pub kl: Kl,
}

/// How decoded operations are judged (protocol notes, Q2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationLoss {
    /// Sigmoid and binary cross entropy, the mean over all nodes and operations,
    /// padded nodes with an all-zero target.
    Sigmoid,
    /// Softmax and cross entropy, the mean over real nodes.
    Softmax,
}

/// Weight of the divergence from the standard normal prior (protocol notes, Q3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kl {
    /// No such term.
    Absent,
    /// The mean over nodes.
    DividedOnce,
    /// The mean over nodes, divided by their number once more.
    DividedTwice,
}

impl Objective {
    /// The one that the settings of a pretraining fix.
    pub fn of(spec: &PretrainSpec) -> Self {
        Self {
            operations: if spec.quirks.ops_decoded_by_sigmoid {
                OperationLoss::Sigmoid
            } else {
                OperationLoss::Softmax
            },
            kl: match spec.model {
                ModelName::Arch2vecNoKl => Kl::Absent,
                ModelName::Arch2vec if spec.quirks.kl_divided_twice => Kl::DividedTwice,
                ModelName::Arch2vec => Kl::DividedOnce,
            },
        }
    }

    /// The factor of the divergence summed over `rows` nodes.
    pub fn kl_weight(self, rows: usize) -> f64 {
        let rows = rows as f64;
        match self.kl {
            Kl::Absent => 0.0,
            Kl::DividedOnce => 1.0 / rows,
            Kl::DividedTwice => 1.0 / (rows * rows),
        }
    }
}

/// Adam with a bound on the global gradient norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimiser {
    /// Learning rate.
    pub learning_rate: f64,
    /// Bound on the gradient's norm.
    pub clip: f64,
}

impl Optimiser {
    /// Decay of the first moment (`PyTorch`'s default, as published).
    pub const BETA1: f64 = 0.9;
    /// Decay of the second moment.
    pub const BETA2: f64 = 0.999;
    /// Added to the root of the second moment.
    pub const EPSILON: f64 = 1e-8;
    /// Added to the norm that the gradient is divided by (`PyTorch`'s
    /// `clip_grad_norm_`).
    pub const CLIP_EPSILON: f64 = 1e-6;

    /// The factor that brings a gradient of this norm within the bound.
    pub fn clip_factor(&self, norm: f64) -> f64 {
        (self.clip / (norm + Self::CLIP_EPSILON)).min(1.0)
    }

    /// The factors of one step: `value -= size * first / (sqrt(second) * root + EPSILON)`,
    /// where `step` counts from 1.
    pub fn bias_corrections(&self, step: u64) -> (f64, f64) {
        let step = step as f64;
        let size = self.learning_rate / (1.0 - libm::pow(Self::BETA1, step));
        let root = 1.0 / (1.0 - libm::pow(Self::BETA2, step)).sqrt();
        (size, root)
    }
}
