//! The published model in libtorch with automatic differentiation, written as the
//! paper's code computes it. It is the reference that the other engines are tested
//! against.
//!
//! All parameters live in one flat tensor; the leaves that autograd knows are
//! views of it, so that clipping and Adam are a few operations on the whole.

use reprise_child::TorchDevice;
use reprise_model::engine::{Decoded, Engine, Latent, Mode, NORM_EPSILON, NORM_MOMENTUM, State};
use reprise_model::graphs::Graphs;
use reprise_model::objective::{Kl, Objective, OperationLoss, Optimiser};
use reprise_model::params::Params;
use reprise_model::shape::{Layout, Stage, Store};
use reprise_model::{Backend, PretrainError};
use tch::{Device, Kind, Reduction, Tensor};

use super::device::open;

/// The reference engine on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain(pub TorchDevice);

impl Backend for Plain {
    fn engine(
        &self,
        state: State,
        objective: Objective,
        optimiser: Optimiser,
    ) -> Result<Box<dyn Engine>, PretrainError> {
        let device = open(self.0)?;
        Ok(Box::new(PlainEngine::new(
            state, objective, optimiser, device,
        )))
    }
}

/// The reference engine.
#[derive(Debug)]
pub(crate) struct PlainEngine {
    layout: Layout,
    objective: Objective,
    optimiser: Optimiser,
    device: Device,
    /// All parameters.
    flat: Tensor,
    /// Views of `flat` by start of range, leaves of autograd.
    leaves: Vec<(usize, Tensor)>,
    /// All running statistics.
    statistics: Tensor,
    first: Tensor,
    second: Tensor,
    gradient: Tensor,
    steps: u64,
    batches: u64,
    means: Vec<f32>,
}

impl PlainEngine {
    /// # Panics
    /// If libtorch cannot allocate on the device; so do all computing methods.
    pub(crate) fn new(
        state: State,
        objective: Objective,
        optimiser: Optimiser,
        device: Device,
    ) -> Self {
        let place = |values: &[f32]| Tensor::from_slice(values).to_device(device);
        let State {
            params,
            first,
            second,
            steps,
        } = state;
        let flat = place(&params.values);
        let leaves = params
            .layout
            .tensors
            .iter()
            .filter(|tensor| tensor.store == Store::Parameters)
            .map(|tensor| {
                let range = &tensor.range;
                let view = flat
                    .narrow(0, range.start as i64, range.len() as i64)
                    .view_(tensor.dims.iter().map(|&d| d as i64).collect::<Vec<_>>())
                    .detach()
                    .set_requires_grad(true);
                (range.start, view)
            })
            .collect();
        Self {
            statistics: place(&params.statistics),
            first: place(&first),
            second: place(&second),
            gradient: Tensor::zeros_like(&flat),
            batches: params.batches,
            layout: params.layout,
            objective,
            optimiser,
            device,
            flat,
            leaves,
            steps,
            means: Vec::new(),
        }
    }

    /// The leaf whose range starts at `start`.
    fn leaf(&self, start: usize) -> &Tensor {
        let position = self
            .leaves
            .binary_search_by_key(&start, |(start, _)| *start)
            .expect("every range of the layout starts at a tensor");
        &self.leaves[position].1
    }

    fn stage(&self, stage: &Stage, input: &Tensor, training: bool) -> Tensor {
        let Stage { linear, norm } = stage;
        let statistic = |range: &std::ops::Range<usize>| {
            self.statistics
                .narrow(0, range.start as i64, range.len() as i64)
        };
        input
            .linear(
                self.leaf(linear.weight.start),
                Some(self.leaf(linear.bias.start)),
            )
            .batch_norm(
                Some(self.leaf(norm.scale.start)),
                Some(self.leaf(norm.shift.start)),
                Some(&statistic(&norm.mean)),
                Some(&statistic(&norm.variance)),
                training,
                NORM_MOMENTUM,
                NORM_EPSILON,
                false,
            )
            .relu()
    }

    /// Mean and log standard deviation, `[graphs, nodes, latent]` each.
    fn encoder(&self, graphs: &DenseGraphs, training: bool) -> (Tensor, Tensor) {
        let epsilon = self.leaf(self.layout.epsilon.start);
        let mut hidden = graphs.operations.shallow_clone();
        for (layer, [inner, outer]) in self.layout.blocks.iter().enumerate() {
            let own = &hidden * (epsilon.get(layer as i64) + 1.0);
            let aggregated = (own + graphs.adjacency.matmul(&hidden)).flatten(0, 1);
            let inner = self.stage(inner, &aggregated, training);
            hidden = self
                .stage(outer, &inner, training)
                .unflatten(0, [-1, graphs.nodes]);
        }
        let head = |position: usize| {
            let Layout { heads, shape, .. } = &self.layout;
            let weight = heads.weight.start + position * shape.latent * shape.hidden;
            let bias = heads.bias.start + position * shape.latent;
            hidden.linear(self.leaf(weight), Some(self.leaf(bias)))
        };
        (head(0), head(1))
    }

    /// Operation scores and edge scores of codes `[graphs, nodes, latent]`.
    fn decoder(&self, codes: &Tensor) -> (Tensor, Tensor) {
        let decoder = &self.layout.decoder;
        let operations = codes.linear(
            self.leaf(decoder.weight.start),
            Some(self.leaf(decoder.bias.start)),
        );
        (operations, codes.matmul(&codes.transpose(1, 2)))
    }

    /// The loss (protocol notes, section 2), and the means it was computed from.
    fn loss(&self, batch: &Graphs, mode: Mode<'_>) -> (Tensor, Tensor) {
        let graphs = DenseGraphs::new(batch, self.device);
        let (mean, log_std) = self.encoder(&graphs, matches!(mode, Mode::Training { .. }));
        let codes = match mode {
            Mode::Training { noise, dropout } => {
                let like_mean = |values| {
                    Tensor::from_slice(values)
                        .to_device(self.device)
                        .view_as(&mean)
                };
                (&mean + log_std.exp() * like_mean(noise)) * like_mean(dropout)
            }
            Mode::Evaluation => mean.shallow_clone(),
        };
        let (operation_scores, edge_scores) = self.decoder(&codes);
        let operation_loss =
            match self.objective.operations {
                OperationLoss::Sigmoid => operation_scores
                    .sigmoid()
                    .binary_cross_entropy::<Tensor>(&graphs.operations, None, Reduction::Mean),
                OperationLoss::Softmax => {
                    let chosen = operation_scores.log_softmax(-1, Kind::Float) * &graphs.operations;
                    let real = graphs.operations.sum(Kind::Float).clamp_min(1.0);
                    -chosen.sum(Kind::Float) / real
                }
            };
        let edge_loss = edge_scores
            .sigmoid()
            .triu(1)
            .binary_cross_entropy::<Tensor>(&graphs.adjacency.triu(1), None, Reduction::Mean);
        let mut loss = operation_loss + edge_loss;
        if self.objective.kl != Kl::Absent {
            let terms: Tensor = &log_std * 2.0 + 1.0 - mean.square() - log_std.exp().square();
            loss += terms.sum(Kind::Float) * (-0.5 * self.objective.kl_weight(batch.rows()));
        }
        (loss, mean)
    }

    fn collect_gradient(&mut self) {
        let parts: Vec<Tensor> = self
            .leaves
            .iter_mut()
            .map(|(_, leaf)| {
                let gradient = leaf.grad();
                let part = if gradient.defined() {
                    gradient.flatten(0, -1).copy()
                } else {
                    // A head that no term of the loss reads.
                    Tensor::zeros([leaf.numel() as i64], (Kind::Float, self.device))
                };
                leaf.zero_grad();
                part
            })
            .collect();
        self.gradient = Tensor::cat(&parts, 0);
    }

    fn update(&mut self) {
        self.steps += 1;
        let norm = self.gradient.norm().double_value(&[]);
        let gradient = &self.gradient * self.optimiser.clip_factor(norm);
        let (size, root) = self.optimiser.bias_corrections(self.steps);
        let _ = self.first.lerp_(&gradient, 1.0 - Optimiser::BETA1);
        self.second *= Optimiser::BETA2;
        self.second += gradient.square() * (1.0 - Optimiser::BETA2);
        let denominator = self.second.sqrt() * root + Optimiser::EPSILON;
        self.flat -= (&self.first / denominator) * size;
    }
}

impl Engine for PlainEngine {
    fn step(&mut self, batch: &Graphs, mode: Mode<'_>) -> f64 {
        let (loss, mean) = self.loss(batch, mode);
        loss.backward();
        self.batches += u64::from(matches!(mode, Mode::Training { .. }));
        tch::no_grad(|| {
            self.collect_gradient();
            self.update();
            self.means = values(&mean);
            loss.double_value(&[])
        })
    }

    fn means(&self) -> &[f32] {
        &self.means
    }

    fn gradient(&self) -> Vec<f32> {
        values(&self.gradient)
    }

    fn encode(&mut self, batch: &Graphs, out: &mut Latent) {
        tch::no_grad(|| {
            let (mean, log_std) = self.encoder(&DenseGraphs::new(batch, self.device), false);
            out.mean = values(&mean);
            out.log_std = values(&log_std);
        });
    }

    fn decode(&mut self, codes: &[f32], nodes: usize, out: &mut Decoded) {
        tch::no_grad(|| {
            let latent = self.layout.shape.latent as i64;
            let codes =
                Tensor::from_slice(codes)
                    .to_device(self.device)
                    .view([-1, nodes as i64, latent]);
            let (operations, edges) = self.decoder(&codes);
            out.operations = values(&operations);
            out.edges = values(&edges);
        });
    }

    fn state(&self) -> State {
        State {
            params: Params {
                layout: self.layout.clone(),
                values: values(&self.flat),
                statistics: values(&self.statistics),
                batches: self.batches,
            },
            first: values(&self.first),
            second: values(&self.second),
            steps: self.steps,
        }
    }
}

/// A batch as dense tensors.
struct DenseGraphs {
    nodes: i64,
    /// `[graphs, nodes, nodes]`, symmetric.
    adjacency: Tensor,
    /// `[graphs, nodes, operations]`, one-hot.
    operations: Tensor,
}

impl DenseGraphs {
    fn new(batch: &Graphs, device: Device) -> Self {
        let (nodes, kinds) = (batch.dims().nodes, batch.dims().operations);
        let mut adjacency = vec![0_f32; batch.rows() * nodes];
        let mut operations = vec![0_f32; batch.rows() * kinds];
        for (row, &neighbours) in batch.neighbours().iter().enumerate() {
            for node in 0..nodes {
                adjacency[row * nodes + node] = f32::from(neighbours >> node & 1);
            }
            if let Some(operation) = batch.operation(row) {
                operations[row * kinds + operation] = 1.0;
            }
        }
        let tensor = |values: &[f32], width: usize| {
            Tensor::from_slice(values)
                .to_device(device)
                .view([-1, nodes as i64, width as i64])
        };
        Self {
            nodes: nodes as i64,
            adjacency: tensor(&adjacency, nodes),
            operations: tensor(&operations, kinds),
        }
    }
}

/// Copies a tensor to the host.
fn values(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.detach().contiguous();
    let mut values = vec![0.0; tensor.numel()];
    tensor.copy_data(&mut values, tensor.numel());
    values
}

#[cfg(test)]
#[path = "plain_tests.rs"]
mod tests;
