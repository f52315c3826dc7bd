//! The fast engine: the published model with its derivative written out, on plain
//! slices, for one core of a processor. Its numbers are those of the plain engine of
//! `reprise-torch` within rounding.

mod adam;
mod gemm;
mod graph;
mod loss;
mod network;
mod norm;
mod stage;
mod vector;

use self::gemm::{Finish, Packed, multiply};
use self::loss::{Decoder, LatentPass};
use self::network::Network;
use self::stage::Statistics;
use crate::engine::{Decoded, Engine, Latent, Mode, State};
use crate::graphs::Graphs;
use crate::objective::{Kl, Objective, OperationLoss, Optimiser};
use crate::params::Params;

/// The fast engine.
#[derive(Debug)]
pub struct NativeEngine {
    state: State,
    gradient: Vec<f32>,
    objective: Objective,
    optimiser: Optimiser,
    network: Network,
    pass: LatentPass,
    heads: Vec<f32>,
}

impl NativeEngine {
    /// One that goes on from `state`.
    pub fn new(state: State, objective: Objective, optimiser: Optimiser) -> Self {
        Self {
            gradient: vec![0.0; state.params.values.len()],
            network: Network::new(state.params.layout.shape.layers),
            pass: LatentPass::default(),
            heads: Vec::new(),
            state,
            objective,
            optimiser,
        }
    }

    /// One that encodes and decodes, and is not trained.
    pub fn idle(state: State) -> Self {
        let objective = Objective {
            operations: OperationLoss::Sigmoid,
            kl: Kl::Absent,
        };
        let optimiser = Optimiser {
            learning_rate: 0.0,
            clip: 1.0,
        };
        Self::new(state, objective, optimiser)
    }
}

impl Engine for NativeEngine {
    fn step(&mut self, batch: &Graphs, mode: Mode<'_>) -> f64 {
        let Self {
            state,
            gradient,
            network,
            pass,
            heads,
            ..
        } = self;
        let Params {
            layout,
            values,
            statistics,
            batches,
        } = &mut state.params;
        let training = matches!(mode, Mode::Training { .. });
        *batches += u64::from(training);
        let source = if training {
            Statistics::Batch(statistics)
        } else {
            Statistics::Frozen(statistics)
        };
        network.forward(layout, values, source, batch, heads);

        let decoder = Decoder {
            weight: &values[layout.decoder.weight.clone()],
            bias: &values[layout.decoder.bias.clone()],
        };
        // The decoder's bias follows its weight.
        let slots = &mut gradient[layout.decoder.weight.start..layout.decoder.bias.end];
        let slots = slots.split_at_mut(layout.decoder.weight.len());
        let loss = pass.run(heads, batch, mode, self.objective, decoder, slots);

        let frozen = (!training).then_some(statistics.as_slice());
        network.backward(layout, values, frozen, batch, heads, gradient);

        state.steps += 1;
        adam::step(
            &self.optimiser,
            values,
            gradient,
            (&mut state.first, &mut state.second),
            state.steps,
        );
        loss
    }

    fn means(&self) -> &[f32] {
        &self.pass.means
    }

    fn gradient(&self) -> Vec<f32> {
        self.gradient.clone()
    }

    fn encode(&mut self, batch: &Graphs, out: &mut Latent) {
        let Params {
            layout,
            values,
            statistics,
            ..
        } = &self.state.params;
        let source = Statistics::Frozen(statistics);
        self.network
            .forward(layout, values, source, batch, &mut self.heads);
        let latent = layout.shape.latent;
        out.mean.clear();
        out.log_std.clear();
        for row in self.heads.chunks_exact(2 * latent) {
            out.mean.extend_from_slice(&row[..latent]);
            out.log_std.extend_from_slice(&row[latent..]);
        }
    }

    fn decode(&mut self, codes: &[f32], nodes: usize, out: &mut Decoded) {
        let Params { layout, values, .. } = &self.state.params;
        let latent = layout.shape.latent;
        let operations = layout.shape.operations;
        let mut packed = Packed::default();
        packed.pack_transposed(&values[layout.decoder.weight.clone()], latent, operations);
        out.operations
            .resize(codes.len() / latent * operations, 0.0);
        let bias = Finish::Bias(&values[layout.decoder.bias.clone()]);
        multiply(codes, &packed, bias, &mut out.operations);
        loss::score_all_edges(codes, latent, nodes, &mut out.edges);
    }

    fn state(&self) -> State {
        self.state.clone()
    }
}
