//! Validity and uniqueness (protocol notes, section 3): how many points of a
//! Gaussian that fits the codes of the training graphs decode to a graph of the
//! space, and how many different ones these are.

use std::collections::HashSet;

use reprise_search::rng::Stream;
use reprise_search::space::SearchSpace;

use crate::engine::{Decoded, Engine, Latent, State};
use crate::graphs::GraphSet;
use crate::native::NativeEngine;
use crate::params::Params;
use crate::random::fill_normal;

/// Points that are decoded at once.
const BATCH: usize = 500;

/// The least edge score whose logistic function exceeds one half in single precision:
/// of a smaller one, `1 + exp(-score)` rounds to 2.
const EDGE: f32 = 1.5 / 16_777_216.0;

/// Added to the number of valid points that uniqueness is divided by (published).
const UNIQUENESS_EPSILON: f64 = 1e-8;

/// Sums over the codes of one epoch's training graphs, for each node position and
/// latent dimension: `[nodes, latent]`.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeSums {
    /// Graphs that were added.
    pub graphs: u64,
    /// Sums of the codes.
    pub sums: Vec<f64>,
    /// Sums of their squares.
    pub squares: Vec<f64>,
}

impl CodeSums {
    pub(crate) fn new(width: usize) -> Self {
        Self {
            graphs: 0,
            sums: vec![0.0; width],
            squares: vec![0.0; width],
        }
    }

    /// Adds the means of some graphs, `[graphs, nodes, latent]`.
    pub(crate) fn add(&mut self, means: &[f32]) {
        let width = self.sums.len();
        for graph in means.chunks_exact(width) {
            self.graphs += 1;
            let sums = self.sums.iter_mut().zip(&mut self.squares);
            for ((sum, square), &mean) in sums.zip(graph) {
                let mean = f64::from(mean);
                *sum += mean;
                *square += mean * mean;
            }
        }
    }

    /// The Gaussian with the codes' means and unbiased deviations.
    pub(crate) fn gaussian(&self) -> CodeGaussian {
        let count = self.graphs as f64;
        let entries = self.sums.iter().zip(&self.squares);
        let (mean, deviation) = entries
            .map(|(sum, square)| {
                let mean = sum / count;
                let variance = (square - sum * mean) / (count - 1.0).max(1.0);
                (mean as f32, variance.max(0.0).sqrt() as f32)
            })
            .unzip();
        CodeGaussian { mean, deviation }
    }
}

/// A Gaussian over the codes of a graph, of independent entries.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeGaussian {
    /// `[nodes, latent]`.
    mean: Vec<f32>,
    /// `[nodes, latent]`.
    deviation: Vec<f32>,
}

/// What points of a [`CodeGaussian`] decode to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Share of the points that decode to a graph of the space.
    pub validity: f64,
    /// Distinct graphs among the valid ones, over the number of these.
    pub uniqueness: f64,
}

impl CodeGaussian {
    /// The one that fits the codes which a trained model gives to `graphs`.
    pub fn of(params: &Params, graphs: &GraphSet) -> Self {
        let mut engine = NativeEngine::idle(State::new(params.clone()));
        let mut sums = CodeSums::new(graphs.dims().nodes * params.shape().latent);
        let mut batch = graphs.empty_batch();
        let mut latent = Latent::default();
        for start in (0..graphs.len()).step_by(BATCH) {
            graphs.gather(start..graphs.len().min(start + BATCH), &mut batch);
            engine.encode(&batch, &mut latent);
            sums.add(&latent.mean);
        }
        sums.gaussian()
    }

    /// Decodes so many points of it by a trained model; `lenient` as in
    /// [`SearchSpace::is_valid`].
    pub fn measure(
        &self,
        params: &Params,
        space: &dyn SearchSpace,
        points: usize,
        lenient: bool,
        stream: &mut Stream,
    ) -> Prior {
        let mut engine = NativeEngine::idle(State::new(params.clone()));
        self.decode(&mut engine, space, points, lenient, stream)
    }

    /// The same by the model of an engine.
    pub(crate) fn decode(
        &self,
        engine: &mut dyn Engine,
        space: &dyn SearchSpace,
        points: usize,
        lenient: bool,
        stream: &mut Stream,
    ) -> Prior {
        let dims = space.dims();
        let nodes = dims.nodes;
        let mut distinct = HashSet::new();
        let mut valid = 0_u64;
        let mut drawn = Vec::new();
        let mut decoded = Decoded::default();
        let mut adjacency = vec![0; nodes * nodes];
        let mut operations = vec![0; nodes];
        for start in (0..points).step_by(BATCH) {
            self.draw(BATCH.min(points - start), stream, &mut drawn);
            engine.decode(&drawn, nodes, &mut decoded);
            for (graph, edges) in decoded.edges.chunks_exact(nodes * nodes).enumerate() {
                for (node, operation) in operations.iter_mut().enumerate() {
                    *operation = decoded.operation(graph * nodes + node, dims.operations) as u8;
                }
                // Only the entries above the diagonal are ever written.
                let rows = adjacency.chunks_exact_mut(nodes);
                for (from, (row, scores)) in rows.zip(edges.chunks_exact(nodes)).enumerate() {
                    let above = row.iter_mut().zip(scores).skip(from + 1);
                    above.for_each(|(entry, &score)| *entry = u8::from(score >= EDGE));
                }
                if space.is_valid(&adjacency, &operations, lenient) {
                    valid += 1;
                    distinct.insert(space.identity(&adjacency, &operations));
                }
            }
        }
        Prior {
            validity: valid as f64 / points as f64,
            uniqueness: distinct.len() as f64 / (valid as f64 + UNIQUENESS_EPSILON),
        }
    }

    /// Replaces the contents of `points` by `count` points, `[count, nodes, latent]`.
    fn draw(&self, count: usize, stream: &mut Stream, points: &mut Vec<f32>) {
        points.resize(count * self.mean.len(), 0.0);
        fill_normal(stream, points);
        pulp::Arch::new().dispatch(Placed {
            gaussian: self,
            points,
        });
    }
}

/// Standard normal points taken to a Gaussian.
struct Placed<'a> {
    gaussian: &'a CodeGaussian,
    points: &'a mut [f32],
}

impl pulp::WithSimd for Placed<'_> {
    type Output = ();

    #[expect(
        clippy::inline_always,
        reason = "only inlined code gets the vector unit"
    )]
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let CodeGaussian { mean, deviation } = self.gaussian;
        for point in self.points.chunks_exact_mut(mean.len()) {
            for (value, (mean, deviation)) in point.iter_mut().zip(mean.iter().zip(deviation)) {
                *value = value.mul_add(*deviation, *mean);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sigmoid;

    /// The scores about the one that decides, one by one, and all magnitudes.
    #[test]
    fn an_edge_is_a_probability_above_one_half() {
        let near = EDGE.to_bits() - 200_000..EDGE.to_bits() + 200_000;
        let all = (0..f32::INFINITY.to_bits()).step_by(9_973);
        for bits in near.chain(all) {
            let score = f32::from_bits(bits);
            assert_eq!(score >= EDGE, sigmoid(score) > 0.5, "{score:e}");
            assert!(sigmoid(-score) <= 0.5, "{score:e}");
        }
        assert!(sigmoid(f32::INFINITY) > 0.5 && sigmoid(f32::NEG_INFINITY) <= 0.5);
    }

    #[test]
    fn the_gaussian_has_the_unbiased_moments_of_the_codes() {
        let mut codes = CodeSums::new(2);
        codes.add(&[1.0, 10.0, 2.0, 10.0]);
        codes.add(&[6.0, 10.0]);
        let CodeGaussian { mean, deviation } = codes.gaussian();
        assert_eq!(mean, [3.0, 10.0]);
        // Variance ((1-3)^2 + (2-3)^2 + (6-3)^2) / 2 = 7.
        assert!((deviation[0] - 7.0_f32.sqrt()).abs() < 1e-6 && deviation[1] == 0.0);
    }
}
