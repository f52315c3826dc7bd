//! The interface of a training engine, and the values that pass through it.
//!
//! Three engines exist, which give equal numbers within rounding: [`crate::native`],
//! the fast one for processors, and two in `reprise-torch`: the plain one with automatic
//! differentiation, which is the reference of the others, and the packed one for
//! graphics cards. Only the first two are behind this interface.

use crate::error::PretrainError;
use crate::graphs::Graphs;
use crate::native::NativeEngine;
use crate::objective::{Objective, Optimiser};
use crate::params::Params;

/// `PyTorch`'s default `BatchNorm` constant that is added to the variance.
pub const NORM_EPSILON: f64 = 1e-5;
/// Its default weight of a new batch in the running statistics.
pub const NORM_MOMENTUM: f64 = 0.1;

/// Builds the engine that computes.
pub trait Backend: std::fmt::Debug {
    /// An engine that goes on from `state`.
    ///
    /// # Errors
    /// If it needs a device that is not there.
    fn engine(
        &self,
        state: State,
        objective: Objective,
        optimiser: Optimiser,
    ) -> Result<Box<dyn Engine>, PretrainError>;
}

/// The fast engine for processors, one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Native;

impl Backend for Native {
    fn engine(
        &self,
        state: State,
        objective: Objective,
        optimiser: Optimiser,
    ) -> Result<Box<dyn Engine>, PretrainError> {
        Ok(Box::new(NativeEngine::new(state, objective, optimiser)))
    }
}

/// Which mode a step is in.
#[derive(Debug, Clone, Copy)]
pub enum Mode<'a> {
    /// Batch statistics, noise and dropout.
    Training {
        /// Standard normal, `[rows, latent]`.
        noise: &'a [f32],
        /// Factors of the latent code before the decoder, `[rows, latent]`.
        dropout: &'a [f32],
    },
    /// Running statistics, the mean as the code.
    Evaluation,
}

/// Encoder outputs, `[rows, latent]` each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latent {
    /// Means of the codes.
    pub mean: Vec<f32>,
    /// Logarithms of their standard deviations.
    pub log_std: Vec<f32>,
}

/// Decoder outputs before their activation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    /// `[rows, operations]`.
    pub operations: Vec<f32>,
    /// `[graphs, nodes, nodes]`; only the strict upper triangle has a meaning.
    pub edges: Vec<f32>,
}

impl Decoded {
    /// The operation that a row decodes to: the first of the largest scores.
    pub(crate) fn operation(&self, row: usize, operations: usize) -> usize {
        let scores = &self.operations[row * operations..][..operations];
        let mut best = 0;
        for (operation, score) in scores.iter().enumerate() {
            if *score > scores[best] {
                best = operation;
            }
        }
        best
    }
}

/// Everything that training changes.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Parameters and running statistics.
    pub params: Params,
    /// Adam's first moments, placed as the parameters.
    pub first: Vec<f32>,
    /// Adam's second moments.
    pub second: Vec<f32>,
    /// Steps made.
    pub steps: u64,
}

impl State {
    /// Before the first step.
    pub fn new(params: Params) -> Self {
        let zeros = vec![0.0; params.values.len()];
        Self {
            first: zeros.clone(),
            second: zeros,
            steps: 0,
            params,
        }
    }
}

/// One model in training.
pub trait Engine: Send + std::fmt::Debug {
    /// One optimiser step on a batch; the loss before it.
    fn step(&mut self, batch: &Graphs, mode: Mode<'_>) -> f64;

    /// The means that the last step encoded, `[rows, latent]`.
    fn means(&self) -> &[f32];

    /// The gradient of the last step before clipping, placed as the parameters.
    fn gradient(&self) -> Vec<f32>;

    /// Encodes in evaluation mode.
    fn encode(&mut self, batch: &Graphs, out: &mut Latent);

    /// Decodes codes `[rows, latent]` of graphs of `nodes` nodes.
    fn decode(&mut self, codes: &[f32], nodes: usize, out: &mut Decoded);

    /// A copy of the state.
    fn state(&self) -> State;
}

/// The logistic function of a decoder output.
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::{Kl, OperationLoss};
    use crate::test_space::{SHAPE, some_graphs};

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let objective = Objective {
            operations: OperationLoss::Softmax,
            kl: Kl::DividedOnce,
        };
        let still = Optimiser {
            learning_rate: 0.0,
            clip: 5.0,
        };
        let graphs = some_graphs(4, 99);
        let state = State::new(Params::init(SHAPE, b"slope").unwrap());
        let loss = |state: &State| {
            let mut engine = NativeEngine::new(state.clone(), objective, still);
            (engine.step(&graphs, Mode::Evaluation), engine.gradient())
        };
        let (_, gradient) = loss(&state);
        let norm = gradient
            .iter()
            .map(|g| f64::from(*g).powi(2))
            .sum::<f64>()
            .sqrt();
        // Along the gradient the loss rises by the norm times the distance.
        let distance = 1e-2;
        let shifted = |sign: f64| {
            let mut state = state.clone();
            for (value, g) in state.params.values.iter_mut().zip(&gradient) {
                *value += (sign * distance * f64::from(*g) / norm) as f32;
            }
            loss(&state).0
        };
        let slope = (shifted(1.0) - shifted(-1.0)) / (2.0 * distance);
        assert!(
            (slope / norm - 1.0).abs() < 2e-3,
            "slope {slope}, norm {norm}"
        );
    }
}
