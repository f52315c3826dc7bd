//! The interface of a training engine, and the values that pass through it.
//! Two engines exist: [`super::plain`] in libtorch with automatic differentiation,
//! which is the reference and runs on any device, and [`super::native`], the fast
//! one for processors. Both give equal numbers within rounding.

use std::str::FromStr;

use super::error::PretrainError;
use super::graphs::Graphs;
use super::native::NativeEngine;
use super::objective::{Objective, Optimiser};
use super::params::Params;
use super::plain::PlainEngine;
use crate::cuda_devices;

/// `PyTorch`'s default `BatchNorm` constants: added to the variance, and the
/// weight of a new batch in the running statistics.
pub(crate) const NORM_EPSILON: f64 = 1e-5;
pub(crate) const NORM_MOMENTUM: f64 = 0.1;

/// Which engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// The fast one for processors, one thread.
    #[default]
    Native,
    /// Libtorch with automatic differentiation.
    Libtorch(TorchDevice),
}

/// The device on which libtorch computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TorchDevice {
    /// The processor.
    Cpu,
    /// The CUDA device of this index.
    Cuda(u32),
}

impl Backend {
    /// An engine that goes on from `state`.
    pub(crate) fn engine(
        self,
        state: State,
        objective: Objective,
        optimiser: Optimiser,
    ) -> Result<Box<dyn Engine>, PretrainError> {
        Ok(match self {
            Self::Native => Box::new(NativeEngine::new(state, objective, optimiser)),
            Self::Libtorch(device) => {
                let device = device.open()?;
                Box::new(PlainEngine::new(state, objective, optimiser, device))
            }
        })
    }
}

impl FromStr for TorchDevice {
    type Err = String;

    /// `cpu`, `cuda` for the first card, or `cuda:INDEX`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let index = text.strip_prefix("cuda:").map(str::parse);
        match (text, index) {
            ("cpu", _) => Ok(Self::Cpu),
            ("cuda", _) => Ok(Self::Cuda(0)),
            (_, Some(Ok(index))) => Ok(Self::Cuda(index)),
            _ => Err("expected `cpu`, `cuda` or `cuda:INDEX`".to_owned()),
        }
    }
}

impl TorchDevice {
    /// Whether this machine and its libtorch have it.
    pub fn check(self) -> Result<(), PretrainError> {
        self.open().map(drop)
    }

    /// The device, if this machine and its libtorch have it.
    pub(crate) fn open(self) -> Result<tch::Device, PretrainError> {
        match self {
            Self::Cpu => Ok(tch::Device::Cpu),
            Self::Cuda(index) => {
                let found = cuda_devices();
                if index >= found {
                    return Err(PretrainError::NoDevice { index, found });
                }
                Ok(tch::Device::Cuda(index as usize))
            }
        }
    }
}

/// Which mode a step is in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode<'a> {
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
pub(crate) struct Latent {
    pub(crate) mean: Vec<f32>,
    pub(crate) log_std: Vec<f32>,
}

/// Decoder outputs before their activation.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Decoded {
    /// `[rows, operations]`.
    pub(crate) operations: Vec<f32>,
    /// `[graphs, nodes, nodes]`; only the strict upper triangle has a meaning.
    pub(crate) edges: Vec<f32>,
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
pub(crate) struct State {
    pub(crate) params: Params,
    /// Adam's first moments, placed as the parameters.
    pub(crate) first: Vec<f32>,
    /// Adam's second moments.
    pub(crate) second: Vec<f32>,
    /// Steps made.
    pub(crate) steps: u64,
}

impl State {
    /// Before the first step.
    pub(crate) fn new(params: Params) -> Self {
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
pub(crate) trait Engine: Send + std::fmt::Debug {
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
    use reprise_search::rng::Stream;
    use reprise_search::space::{GraphDims, PADDING};

    use super::*;
    use crate::autoencoder::objective::{Kl, OperationLoss};
    use crate::autoencoder::random::{fill_dropout, fill_normal};
    use crate::autoencoder::shape::{Shape, Store};

    const SHAPE: Shape = Shape {
        operations: 5,
        hidden: 24,
        latent: 6,
        layers: 3,
    };

    fn some_graphs(count: usize, seed: u64) -> Graphs {
        let nodes = 7;
        let dims = GraphDims {
            nodes,
            operations: SHAPE.operations,
        };
        let mut graphs = Graphs::empty(dims).unwrap();
        let mut stream = Stream::new(b"graphs", "test", seed);
        for _ in 0..count {
            let real = 3 + stream.index(nodes - 2);
            let mut adjacency = vec![0; nodes * nodes];
            let mut operations = vec![PADDING; nodes];
            for row in 0..real {
                operations[row] = stream.index(SHAPE.operations) as u8;
                for column in row + 1..real {
                    adjacency[row * nodes + column] = stream.index(2) as u8;
                }
            }
            graphs.push(&adjacency, &operations).unwrap();
        }
        graphs
    }

    fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max)
    }

    /// Takes one step with either engine from the same state, and compares.
    fn compare(objective: Objective, training: bool, state: &State) -> State {
        let optimiser = Optimiser {
            learning_rate: 1e-3,
            clip: 5.0,
        };
        let graphs = some_graphs(9, state.steps);
        let draws = graphs.rows() * SHAPE.latent;
        let mut noise = vec![0.0; draws];
        let mut dropout = vec![0.0; draws];
        fill_normal(&mut Stream::new(b"k", "noise", state.steps), &mut noise);
        fill_dropout(
            &mut Stream::new(b"k", "drop", state.steps),
            0.3,
            &mut dropout,
        );
        let mode = if training {
            Mode::Training {
                noise: &noise,
                dropout: &dropout,
            }
        } else {
            Mode::Evaluation
        };
        let build = |backend: Backend| backend.engine(state.clone(), objective, optimiser).unwrap();
        let mut native = build(Backend::Native);
        let mut plain = build(Backend::Libtorch(TorchDevice::Cpu));
        let what = format!("{objective:?}, training {training}, step {}", state.steps);
        let (mut latent, mut expected) = (Latent::default(), Latent::default());
        native.encode(&graphs, &mut latent);
        plain.encode(&graphs, &mut expected);
        assert!(
            largest_difference(&latent.mean, &expected.mean) < 1e-5,
            "{what}"
        );
        assert!(
            largest_difference(&latent.log_std, &expected.log_std) < 1e-5,
            "{what}"
        );
        let losses = (native.step(&graphs, mode), plain.step(&graphs, mode));
        assert!(
            (losses.0 - losses.1).abs() < 2e-6,
            "{what}: losses {losses:?}"
        );

        let (gradient, expected) = (native.gradient(), plain.gradient());
        let largest = expected.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
        let bound = 1e-5 * largest.max(0.1);
        for tensor in &state.params.layout.tensors {
            if tensor.store == Store::Parameters {
                let range = tensor.range.clone();
                let difference = largest_difference(&gradient[range.clone()], &expected[range]);
                assert!(difference < bound, "{what}: `{}` {difference}", tensor.name);
            }
        }
        assert!(largest > 1e-3, "{what}: no gradient");
        assert!(largest_difference(native.means(), plain.means()) < 1e-5);

        let (native, plain) = (native.state(), plain.state());
        let statistics = (&native.params.statistics, &plain.params.statistics);
        assert!(
            largest_difference(statistics.0, statistics.1) < 1e-5,
            "{what}"
        );
        assert_eq!(native.params.batches, plain.params.batches);
        plain
    }

    #[test]
    fn both_engines_agree_in_every_mode_and_objective() {
        tch::set_num_threads(1);
        for operations in [OperationLoss::Sigmoid, OperationLoss::Softmax] {
            for kl in [Kl::Absent, Kl::DividedOnce, Kl::DividedTwice] {
                let objective = Objective { operations, kl };
                let mut state = State::new(Params::init(SHAPE, b"engines").unwrap());
                for training in [true, true, false, false] {
                    state = compare(objective, training, &state);
                }
            }
        }
    }

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
