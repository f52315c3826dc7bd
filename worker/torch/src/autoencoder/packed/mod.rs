//! The engine for graphics cards: many models of one shape, equal but for their
//! seeds, trained as one batched model. A step of a small model leaves such a card
//! waiting for the next kernel, so a pack of them costs little more than one.
//!
//! Every member has parameters, batches, random numbers, a gradient norm and a loss
//! of its own. Its numbers are those of [`super::plain`] within rounding, whichever
//! members are in the same pack, and a member that diverges does not affect the others.
//!
//! Activations are laid out `[member, feature, row]`, a row being a node of a graph:
//! a member's features are channels in the middle of the shape, which is what
//! libtorch's `BatchNorm` takes, and every linear map is a product of `[feature, input]`
//! by `[input, row]` in each member, `baddbmm`. The cost of a step is proportional to
//! the number of its kernels, so the derivative is written out: automatic
//! differentiation launches more kernels and needs as long again to choose them.
//!
//! Not here: which graphs a step is made of, and when (`pack`).

mod data;
mod encoder;
mod entropy;
mod linear;
mod loss;
mod parameters;
mod stage;
#[cfg(test)]
mod tests;

use reprise_model::engine::State;
use reprise_model::objective::{Objective, Optimiser};
use tch::{Kind, Reduction, Tensor};

pub(crate) use self::data::{DeviceGraphs, Draws, to_host_f64};
use self::encoder::Encoded;
use self::loss::Loss;
use self::parameters::Parameters;

/// The engine.
#[derive(Debug)]
pub(crate) struct PackedEngine {
    objective: Objective,
    parameters: Parameters,
}

/// The results of a step, on the device.
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
        tch::no_grad(|| {
            let training = draws.is_some();
            let batch = data.gather(positions);
            let encoded = Encoded::of(&self.parameters, &batch, training);
            let loss = Loss::of(
                &self.parameters,
                self.objective,
                &batch,
                encoded.heads(),
                draws,
            );
            encoded.back(&self.parameters, &batch, &loss.heads_gradient, training);
            self.parameters.update(training);
            let [members, latent] = [batch.members, self.parameters.latent()];
            Stepped {
                means: loss
                    .means
                    .view([members, latent, batch.graphs, batch.nodes]),
                losses: loss.losses,
            }
        })
    }

    /// The mean over the nodes of every graph's code in evaluation mode, of the
    /// first member alone: `[graphs, latent]`, of the graphs from `start` on.
    pub(crate) fn embed(&self, data: &DeviceGraphs, start: usize, graphs: usize) -> Vec<f32> {
        tch::no_grad(|| {
            let batch = data.range(start, graphs);
            let encoded = Encoded::of(&self.parameters, &batch, false);
            let latent = self.parameters.latent();
            let of_graphs = encoded
                .heads()
                .narrow(1, 0, latent)
                .reshape([latent, batch.graphs, batch.nodes])
                .mean_dim(2, false, Kind::Float)
                .transpose(0, 1);
            data::to_host(&of_graphs)
        })
    }

    /// The members' states.
    pub(crate) fn states(&self) -> Vec<State> {
        tch::no_grad(|| self.parameters.states())
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
