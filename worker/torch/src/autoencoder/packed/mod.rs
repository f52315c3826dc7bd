//! The engine for graphics cards: many models of one shape, equal but for their
//! seeds, trained as one batched model. A step of a small model leaves such a card
//! waiting for the next kernel, so a pack of them costs little more than one.
//!
//! Every member has parameters, batches, random numbers, a gradient norm and a loss
//! of its own; its numbers are those of [`super::plain`] within rounding, whoever is
//! beside it, and a member that diverges takes none of the others with it.
//!
//! Activations are laid out `[member, feature, graph, node]`: a member's features are
//! channels in the middle of the shape, which is what libtorch's `BatchNorm` takes,
//! and every linear map is a product of `[feature, input]` by `[input, row]` in each
//! member, `baddbmm`.
//!
//! Not here: which graphs a step is made of, and when (`pack`).

mod data;
mod entropy;
mod parameters;
#[cfg(test)]
mod tests;

use tch::{Kind, Reduction, Tensor};

use self::data::Batch;
pub(crate) use self::data::{DeviceGraphs, Draws, to_host_f64};
use self::entropy::binary_cross_entropy;
use self::parameters::Parameters;
use super::engine::{NORM_EPSILON, NORM_MOMENTUM, State};
use super::objective::{Kl, Objective, OperationLoss, Optimiser};
use super::shape::{Linear, Stage};

/// The engine.
#[derive(Debug)]
pub(crate) struct PackedEngine {
    objective: Objective,
    parameters: Parameters,
}

/// What a step leaves on the device.
#[derive(Debug)]
pub(crate) struct Stepped {
    /// Loss of each member before the step, `[members]`.
    pub(crate) losses: Tensor,
    /// The codes' means, `[members, latent, graphs, nodes]`.
    pub(crate) means: Tensor,
}

impl PackedEngine {
    /// Goes on from the members' states, which are of one shape and after equally
    /// many steps.
    ///
    /// # Panics
    /// If there are none, and if libtorch cannot allocate on the device; so do all
    /// computing methods.
    pub(crate) fn new(
        states: &[State],
        objective: Objective,
        optimiser: Optimiser,
        device: tch::Device,
    ) -> Self {
        Self {
            objective,
            parameters: Parameters::new(states, optimiser, device),
        }
    }

    /// One optimiser step of every member on its own graphs, the rows of `positions`
    /// `[members, graphs]`; in training mode if there are draws. Nothing waits for
    /// the device.
    pub(crate) fn step(
        &mut self,
        data: &DeviceGraphs,
        positions: &Tensor,
        draws: Option<&Draws>,
    ) -> Stepped {
        let batch = data.gather(positions);
        let (losses, means) = self.losses(&batch, draws);
        let gradients = Tensor::run_backward(
            &[losses.sum(Kind::Float)],
            self.parameters.leaves(),
            false,
            false,
        );
        tch::no_grad(|| self.parameters.update(&gradients, draws.is_some()));
        Stepped {
            losses: losses.detach(),
            means: means.detach().view([
                batch.members,
                self.parameters.latent(),
                batch.graphs,
                batch.nodes,
            ]),
        }
    }

    /// The mean over the nodes of every graph's code in evaluation mode, of the
    /// first member alone: `[graphs, latent]`, of the graphs from `start` on.
    pub(crate) fn embed(&self, data: &DeviceGraphs, start: usize, graphs: usize) -> Vec<f32> {
        tch::no_grad(|| {
            let batch = data.range(start, graphs);
            let (means, _) = self.encoder(&batch, false);
            let of_graphs = means
                .view([-1, batch.graphs, batch.nodes])
                .mean_dim(2, false, Kind::Float)
                .transpose(0, 1);
            data::to_host(&of_graphs)
        })
    }

    /// The members' states.
    pub(crate) fn states(&self) -> Vec<State> {
        tch::no_grad(|| self.parameters.states())
    }

    /// Means and log standard deviations, `[members, latent, rows]` each.
    fn encoder(&self, batch: &Batch, training: bool) -> (Tensor, Tensor) {
        let layout = self.parameters.layout();
        let own_weights = (self.parameters.leaf(&layout.epsilon) + 1.0).unbind(1);
        let mut hidden = batch.operations.shallow_clone();
        for ([inner, outer], own_weight) in layout.blocks.iter().zip(own_weights) {
            let aggregated = batch.aggregate(&hidden, &own_weight);
            hidden = self.stage(inner, &aggregated, training);
            hidden = self.stage(outer, &hidden, training);
        }
        let heads = self.linear(&layout.heads, &hidden);
        let mut halves = heads.split(self.parameters.latent(), 1);
        let log_std = halves.pop().expect("the heads are two halves");
        let mean = halves.pop().expect("the heads are two halves");
        (mean, log_std)
    }

    /// `[members, inputs, rows]` to `[members, outputs, rows]`.
    fn linear(&self, linear: &Linear, input: &Tensor) -> Tensor {
        let bias = self.parameters.leaf(&linear.bias).unsqueeze(2);
        let weight = self.parameters.leaf(&linear.weight);
        bias.baddbmm(weight, input, 1, 1)
    }

    fn stage(&self, stage: &Stage, input: &Tensor, training: bool) -> Tensor {
        let Stage { linear, norm } = stage;
        let mapped = self.linear(linear, input);
        let channels = |tensor: &Tensor| tensor.view([-1]);
        mapped
            .view([1, -1, mapped.size()[2]])
            .batch_norm(
                Some(channels(self.parameters.leaf(&norm.scale))),
                Some(channels(self.parameters.leaf(&norm.shift))),
                Some(self.parameters.statistic(&norm.mean)),
                Some(self.parameters.statistic(&norm.variance)),
                training,
                NORM_MOMENTUM,
                NORM_EPSILON,
                false,
            )
            .relu()
            .view_as(&mapped)
    }

    /// The loss of each member (protocol notes, section 2), `[members]`, and the
    /// means it was computed from.
    fn losses(&self, batch: &Batch, draws: Option<&Draws>) -> (Tensor, Tensor) {
        let (mean, log_std) = self.encoder(batch, draws.is_some());
        let codes = match draws {
            Some(Draws { noise, dropout }) => (&mean + log_std.exp() * noise) * dropout,
            None => mean.shallow_clone(),
        };
        let scores = self.linear(&self.parameters.layout().decoder, &codes);
        let mut losses = self.operation_losses(&scores, batch) + batch.edge_losses(&codes);
        if self.objective.kl != Kl::Absent {
            let terms: Tensor = &log_std * 2.0 + 1.0 - mean.square() - log_std.exp().square();
            let weight = self
                .objective
                .kl_weight((batch.graphs * batch.nodes) as usize);
            losses += of_members(&terms, Reduction::Sum) * (-0.5 * weight);
        }
        (losses, mean)
    }

    fn operation_losses(&self, scores: &Tensor, batch: &Batch) -> Tensor {
        match self.objective.operations {
            OperationLoss::Sigmoid => of_members(
                &binary_cross_entropy(scores, &batch.operations),
                Reduction::Mean,
            ),
            OperationLoss::Softmax => {
                let chosen = scores.log_softmax(1, Kind::Float) * &batch.operations;
                let real = of_members(&batch.operations, Reduction::Sum).clamp_min(1.0);
                -of_members(&chosen, Reduction::Sum) / real
            }
        }
    }
}

/// Sum or mean of everything that a member has, `[members]`.
fn of_members(values: &Tensor, reduction: Reduction) -> Tensor {
    let values = values.flatten(1, -1);
    match reduction {
        Reduction::Mean => values.mean_dim(1, false, Kind::Float),
        _ => values.sum_dim_intlist(1, false, Kind::Float),
    }
}
