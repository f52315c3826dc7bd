//! The encoder's layers, forward and backward, over the flat buffers.

use super::gemm::{Finish, Packed, multiply, multiply_transposed};
use super::graph::{aggregate, aggregate_operations, keep_where};
use super::norm::column_sums;
use super::stage::{StageBuffers, Statistics};
use super::vector::dot;
use crate::graphs::Graphs;
use crate::shape::Layout;

/// The encoder with the activations of one batch.
#[derive(Debug)]
pub(super) struct Network {
    layers: Vec<LayerBuffers>,
    packed: Packed,
    /// Gradients on their way down, `[rows, hidden]` but for the first layer.
    outgoing: Vec<f32>,
    incoming: Vec<f32>,
}

#[derive(Debug, Default)]
struct LayerBuffers {
    /// Input of the first stage.
    aggregated: Vec<f32>,
    stages: [StageBuffers; 2],
}

impl Network {
    pub(super) fn new(layers: usize) -> Self {
        Self {
            layers: (0..layers).map(|_| LayerBuffers::default()).collect(),
            packed: Packed::default(),
            outgoing: Vec::new(),
            incoming: Vec::new(),
        }
    }

    /// Encodes into `heads`, `[rows, 2 * latent]`: mean, then log deviation.
    pub(super) fn forward(
        &mut self,
        layout: &Layout,
        parameters: &[f32],
        mut statistics: Statistics<'_>,
        graphs: &Graphs,
        heads: &mut Vec<f32>,
    ) {
        let hidden = layout.shape.hidden;
        let packed = &mut self.packed;
        for (layer, block) in layout.blocks.iter().enumerate() {
            let epsilon = parameters[layout.epsilon.start + layer];
            let (below, rest) = self.layers.split_at_mut(layer);
            let LayerBuffers { aggregated, stages } = &mut rest[0];
            aggregated.resize(graphs.rows() * block[0].linear.inputs, 0.0);
            match below.last() {
                Some(below) => {
                    aggregate(graphs, epsilon, &below.stages[1].output, hidden, aggregated);
                }
                None => aggregate_operations(graphs, epsilon, aggregated),
            }
            let [inner, outer] = stages;
            inner.forward(&block[0], aggregated, parameters, &mut statistics, packed);
            outer.forward(
                &block[1],
                &inner.output,
                parameters,
                &mut statistics,
                packed,
            );
        }
        let bias = Finish::Bias(&parameters[layout.heads.bias.clone()]);
        let weight = &parameters[layout.heads.weight.clone()];
        packed.pack_transposed(weight, hidden, layout.heads.outputs);
        heads.resize(graphs.rows() * layout.heads.outputs, 0.0);
        multiply(self.top(), &self.packed, bias, heads);
    }

    /// Writes the encoder's part of `gradient` for the batch encoded last, of which
    /// `heads` is the gradient of the heads. `statistics` are the running ones
    /// where the forward pass used them.
    pub(super) fn backward(
        &mut self,
        layout: &Layout,
        parameters: &[f32],
        statistics: Option<&[f32]>,
        graphs: &Graphs,
        heads: &[f32],
        gradient: &mut [f32],
    ) {
        self.heads_backward(layout, parameters, heads, gradient);
        let hidden = layout.shape.hidden;
        for (layer, block) in layout.blocks.iter().enumerate().rev() {
            let (below, rest) = self.layers.split_at_mut(layer);
            let LayerBuffers { aggregated, stages } = &rest[0];
            let [inner, outer] = stages;
            let [inner_stage, outer_stage] = block;
            let (packed, outgoing) = (&mut self.packed, &mut self.outgoing);
            let incoming = &mut self.incoming;

            let below_outer = &inner.output;
            outer.backward(
                outer_stage,
                below_outer,
                parameters,
                statistics,
                (outgoing, gradient),
                packed,
            );
            incoming.resize(below_outer.len(), 0.0);
            multiply(outgoing, packed, Finish::Where(below_outer), incoming);
            inner.backward(
                inner_stage,
                aggregated,
                parameters,
                statistics,
                (incoming, gradient),
                packed,
            );
            outgoing.resize(aggregated.len(), 0.0);
            multiply(incoming, packed, Finish::Plain, outgoing);

            let epsilon = layout.epsilon.start + layer;
            if let Some(below) = below.last() {
                let output = &below.stages[1].output;
                gradient[epsilon] = dot(outgoing, output);
                aggregate(graphs, parameters[epsilon], outgoing, hidden, incoming);
                keep_where(output, incoming);
                std::mem::swap(outgoing, incoming);
            } else {
                let rows = outgoing.chunks_exact(graphs.dims().operations).enumerate();
                gradient[epsilon] = rows
                    .filter_map(|(row, gradient)| graphs.operation(row).map(|o| gradient[o]))
                    .sum();
            }
        }
    }

    /// The heads' gradients; leaves that of the top layer's output to be carried
    /// down.
    fn heads_backward(
        &mut self,
        layout: &Layout,
        parameters: &[f32],
        heads: &[f32],
        gradient: &mut [f32],
    ) {
        let place = &layout.heads;
        let rows = heads.len() / place.outputs;
        let Some(LayerBuffers { stages, .. }) = self.layers.last() else {
            return;
        };
        let top = &stages[1].output;
        self.packed.pack(top, rows, place.inputs);
        multiply_transposed(heads, &self.packed, &mut gradient[place.weight.clone()]);
        column_sums(heads, &mut gradient[place.bias.clone()]);
        let weight = &parameters[place.weight.clone()];
        self.packed.pack(weight, place.outputs, place.inputs);
        self.outgoing.resize(top.len(), 0.0);
        multiply(heads, &self.packed, Finish::Where(top), &mut self.outgoing);
    }

    /// Output of the last layer, `[rows, hidden]`.
    fn top(&self) -> &[f32] {
        self.layers
            .last()
            .map_or(&[], |layer| &layer.stages[1].output)
    }
}
