//! What is minimised and how: the terms of the loss and the optimiser's settings.

use reprise_domain::{ModelName, PretrainSpec};

/// Terms of the loss, beside the binary cross entropy of the edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Objective {
    pub(crate) operations: OperationLoss,
    pub(crate) kl: Kl,
}

/// How decoded operations are judged (protocol notes, Q2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperationLoss {
    /// Sigmoid and binary cross entropy, the mean over all nodes and operations,
    /// padded nodes with an all-zero target.
    Sigmoid,
    /// Softmax and cross entropy, the mean over real nodes.
    Softmax,
}

/// Weight of the divergence from the standard normal prior (protocol notes, Q3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kl {
    /// No such term.
    Absent,
    /// The mean over nodes.
    DividedOnce,
    /// The mean over nodes, divided by their number once more.
    DividedTwice,
}

impl Objective {
    pub(crate) fn of(spec: &PretrainSpec) -> Self {
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
    pub(crate) fn kl_weight(self, rows: usize) -> f64 {
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
pub(crate) struct Optimiser {
    pub(crate) learning_rate: f64,
    pub(crate) clip: f64,
}

impl Optimiser {
    /// Decay of the first moment (`PyTorch`'s default, as published).
    pub(crate) const BETA1: f64 = 0.9;
    /// Decay of the second moment.
    pub(crate) const BETA2: f64 = 0.999;
    /// Added to the root of the second moment.
    pub(crate) const EPSILON: f64 = 1e-8;
    /// Added to the norm that the gradient is divided by (`PyTorch`'s
    /// `clip_grad_norm_`).
    pub(crate) const CLIP_EPSILON: f64 = 1e-6;

    /// The factor that brings a gradient of this norm within the bound.
    pub(crate) fn clip_factor(&self, norm: f64) -> f64 {
        (self.clip / (norm + Self::CLIP_EPSILON)).min(1.0)
    }

    /// The factors of one step: `value -= size * first / (sqrt(second) * root + EPSILON)`,
    /// where `step` counts from 1.
    pub(crate) fn bias_corrections(&self, step: u64) -> (f64, f64) {
        let step = step as f64;
        let size = self.learning_rate / (1.0 - Self::BETA1.powf(step));
        let root = 1.0 / (1.0 - Self::BETA2.powf(step)).sqrt();
        (size, root)
    }
}
