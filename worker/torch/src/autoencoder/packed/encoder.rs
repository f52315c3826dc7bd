//! The graph isomorphism encoder of every member, forward and back.

use tch::{Reduction, Tensor};

use super::data::Batch;
use super::parameters::Parameters;
use super::stage::Passed;
use super::{linear, of_members};

/// The values of a forward pass that the gradient needs.
#[derive(Debug)]
pub(super) struct Encoded {
    layers: Vec<Layer>,
    /// Means, then log standard deviations, `[members, 2 x latent, rows]`.
    heads: Tensor,
}

/// One layer: aggregate, then two stages.
#[derive(Debug)]
struct Layer {
    /// The input, `[members, features, rows]`.
    hidden: Tensor,
    /// The members' weights of a node's own features, `[members]`.
    own_weight: Tensor,
    stages: [Passed; 2],
}

impl Encoded {
    pub(super) fn of(parameters: &Parameters, batch: &Batch, training: bool) -> Self {
        let layout = parameters.layout();
        let own_weights = (parameters.values(&layout.epsilon) + 1.0).unbind(1);
        let mut hidden = batch.operations.shallow_clone();
        let mut layers = Vec::with_capacity(layout.blocks.len());
        for ([inner, outer], own_weight) in layout.blocks.iter().zip(own_weights) {
            let aggregated = batch.aggregate(&hidden, &own_weight);
            let inner = Passed::through(parameters, inner, aggregated, training);
            let between = inner.output.shallow_clone();
            let outer = Passed::through(parameters, outer, between, training);
            let following = outer.output.shallow_clone();
            layers.push(Layer {
                hidden,
                own_weight,
                stages: [inner, outer],
            });
            hidden = following;
        }
        Self {
            heads: linear::apply(parameters, &layout.heads, &hidden),
            layers,
        }
    }

    pub(super) fn heads(&self) -> &Tensor {
        &self.heads
    }

    /// Writes the gradients of the encoder's parameters, given that of the heads.
    pub(super) fn back(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        heads_gradient: &Tensor,
        training: bool,
    ) {
        let layout = parameters.layout();
        if let Some(last) = self.layers.last() {
            linear::back(parameters, &layout.heads, last.output(), heads_gradient);
        }
        let mut gradient = linear::back_to_input(parameters, &layout.heads, heads_gradient);
        let mut weights = Vec::with_capacity(self.layers.len());
        let layers = self.layers.iter().zip(&layout.blocks).enumerate();
        for (position, (layer, [inner, outer])) in layers.rev() {
            let [first, second] = &layer.stages;
            let mapped = second.back(parameters, outer, &gradient, training);
            let between = linear::back_to_input(parameters, &outer.linear, &mapped);
            let mapped = first.back(parameters, inner, &between, training);
            let aggregated = linear::back_to_input(parameters, &inner.linear, &mapped);
            let own = of_members(&(&aggregated * &layer.hidden), Reduction::Sum);
            weights.push(own);
            // The input of the first layer is data and has no gradient.
            if position > 0 {
                // The adjacency is symmetric, so the gradient is aggregated in the same
                // way.
                gradient = batch.aggregate(&aggregated, &layer.own_weight);
            }
        }
        weights.reverse();
        let mut epsilon = parameters.gradient(&layout.epsilon).shallow_clone();
        epsilon.copy_(&Tensor::stack(&weights, 1));
    }
}

impl Layer {
    fn output(&self) -> &Tensor {
        &self.stages[1].output
    }
}
