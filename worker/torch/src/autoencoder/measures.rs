//! End-of-epoch measures (protocol notes, section 3): reconstruction of the
//! held-out graphs, and validity and uniqueness of graphs decoded from points of a
//! Gaussian fitted to the epoch's training codes.

use std::collections::HashSet;
use std::ops::Range;

use reprise_search::rng::Stream;
use reprise_search::space::SearchSpace;

use super::engine::{Decoded, Engine, Latent, sigmoid};
use super::graphs::GraphSet;
use super::random::fill_normal;

/// Graphs that are measured at once, as published: means over edges are taken
/// batch by batch and weighted by the batch's graphs.
const BATCH: usize = 500;

/// Added to the number of valid points that uniqueness is divided by (published).
const UNIQUENESS_EPSILON: f64 = 1e-8;

/// Sums over the codes of one epoch's training graphs, for each node position and
/// latent dimension: `[nodes, latent]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CodeSums {
    pub(crate) graphs: u64,
    pub(crate) sums: Vec<f64>,
    pub(crate) squares: Vec<f64>,
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

    /// Mean and unbiased standard deviation.
    fn gaussian(&self) -> (Vec<f32>, Vec<f32>) {
        let count = self.graphs as f64;
        let entries = self.sums.iter().zip(&self.squares);
        entries
            .map(|(sum, square)| {
                let mean = sum / count;
                let variance = (square - sum * mean) / (count - 1.0).max(1.0);
                (mean as f32, variance.max(0.0).sqrt() as f32)
            })
            .unzip()
    }
}

/// How well held-out graphs come back; fractions as in
/// [`reprise_domain::EpochMeasures`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reconstruction {
    pub(crate) ops_accuracy: f64,
    pub(crate) ops_accuracy_real_nodes: f64,
    pub(crate) edge_accuracy: f64,
    pub(crate) true_edge_probability: f64,
    pub(crate) false_edge_probability: f64,
    pub(crate) exact_match: f64,
}

/// A fraction in the making.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    hits: u64,
    all: u64,
}

impl Tally {
    fn add(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.all += 1;
    }

    fn fraction(self) -> f64 {
        self.hits as f64 / self.all as f64
    }
}

/// A mean of batch means, each weighted by its graphs.
#[derive(Debug, Clone, Copy, Default)]
struct BatchMeans {
    sum: f64,
    weight: f64,
}

impl BatchMeans {
    fn add(&mut self, sum: f64, count: u64, graphs: usize) {
        // A batch without such an edge says nothing about them.
        if count > 0 {
            self.sum += sum / count as f64 * graphs as f64;
            self.weight += graphs as f64;
        }
    }

    fn mean(self) -> f64 {
        self.sum / self.weight
    }
}

/// Encodes and decodes the graphs of `held_out` in evaluation mode.
pub(crate) fn reconstruction(
    engine: &mut dyn Engine,
    set: &GraphSet,
    held_out: Range<usize>,
) -> Reconstruction {
    let nodes = set.dims().nodes;
    let [mut published, mut real, mut edges, mut exact] = [Tally::default(); 4];
    let mut edge_means = [BatchMeans::default(); 2];
    let mut batch = set.empty_batch();
    let (mut latent, mut decoded) = (Latent::default(), Decoded::default());
    for start in held_out.clone().step_by(BATCH) {
        set.gather(start..held_out.end.min(start + BATCH), &mut batch);
        engine.encode(&batch, &mut latent);
        engine.decode(&latent.mean, nodes, &mut decoded);
        let mut sums = [(0.0, 0_u64); 2];
        for graph in 0..batch.len() {
            let mut all_right = true;
            for row in graph * nodes..(graph + 1) * nodes {
                let found = decoded.operation(row, set.dims().operations);
                let target = batch.operation(row);
                // The released code takes the first operation for a padded node's.
                published.add(found == target.unwrap_or(0));
                if let Some(target) = target {
                    real.add(found == target);
                    all_right &= found == target;
                }
                let neighbours = batch.neighbours()[row];
                for column in row % nodes + 1..nodes {
                    let probability = sigmoid(decoded.edges[row * nodes + column]);
                    let is_edge = neighbours >> column & 1 == 1;
                    let right = (probability > 0.5) == is_edge;
                    edges.add(right);
                    all_right &= right;
                    let (sum, count) = &mut sums[usize::from(is_edge)];
                    *sum += f64::from(probability);
                    *count += 1;
                }
            }
            exact.add(all_right);
        }
        for (means, (sum, count)) in edge_means.iter_mut().zip(sums) {
            means.add(sum, count, batch.len());
        }
    }
    Reconstruction {
        ops_accuracy: published.fraction(),
        ops_accuracy_real_nodes: real.fraction(),
        edge_accuracy: edges.fraction(),
        true_edge_probability: edge_means[1].mean(),
        false_edge_probability: edge_means[0].mean(),
        exact_match: exact.fraction(),
    }
}

/// Whether [`reconstruction`] has something to measure of each kind.
pub(crate) fn is_measurable(set: &GraphSet, held_out: Range<usize>) -> bool {
    let nodes = set.dims().nodes;
    let mut batch = set.empty_batch();
    set.gather(held_out, &mut batch);
    let entries: u32 = batch.neighbours().iter().map(|n| n.count_ones()).sum();
    let cells = batch.rows() * (nodes - 1);
    entries > 0
        && (entries as usize) < cells
        && (0..batch.rows()).any(|row| batch.operation(row).is_some())
}

/// Validity and uniqueness of `points` graphs decoded from the Gaussian that fits
/// the epoch's codes.
pub(crate) fn prior(
    engine: &mut dyn Engine,
    space: &dyn SearchSpace,
    codes: &CodeSums,
    points: usize,
    lenient: bool,
    stream: &mut Stream,
) -> (f64, f64) {
    let dims = space.dims();
    let nodes = dims.nodes;
    let (mean, std) = codes.gaussian();
    let mut distinct = HashSet::new();
    let mut valid = 0_u64;
    let mut drawn = Vec::new();
    let mut decoded = Decoded::default();
    let mut adjacency = vec![0; nodes * nodes];
    let mut operations = vec![0; nodes];
    for start in (0..points).step_by(BATCH) {
        let count = BATCH.min(points - start);
        drawn.resize(count * mean.len(), 0.0);
        fill_normal(stream, &mut drawn);
        for point in drawn.chunks_exact_mut(mean.len()) {
            for ((value, mean), std) in point.iter_mut().zip(&mean).zip(&std) {
                *value = value.mul_add(*std, *mean);
            }
        }
        engine.decode(&drawn, nodes, &mut decoded);
        for (graph, edges) in decoded.edges.chunks_exact(nodes * nodes).enumerate() {
            for (node, operation) in operations.iter_mut().enumerate() {
                *operation = decoded.operation(graph * nodes + node, dims.operations) as u8;
            }
            for (cell, (entry, &score)) in adjacency.iter_mut().zip(edges).enumerate() {
                let above = cell % nodes > cell / nodes;
                *entry = u8::from(above && sigmoid(score) > 0.5);
            }
            if space.is_valid(&adjacency, &operations, lenient) {
                valid += 1;
                distinct.insert(space.identity(&adjacency, &operations));
            }
        }
    }
    let uniqueness = distinct.len() as f64 / (valid as f64 + UNIQUENESS_EPSILON);
    (valid as f64 / points as f64, uniqueness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gaussian_has_the_unbiased_moments_of_the_codes() {
        let mut codes = CodeSums::new(2);
        codes.add(&[1.0, 10.0, 2.0, 10.0]);
        codes.add(&[6.0, 10.0]);
        let (mean, std) = codes.gaussian();
        assert_eq!(mean, [3.0, 10.0]);
        // Variance ((1-3)^2 + (2-3)^2 + (6-3)^2) / 2 = 7.
        assert!((std[0] - 7.0_f32.sqrt()).abs() < 1e-6 && std[1] == 0.0);
    }

    #[test]
    fn batch_means_are_weighted_by_graphs_not_by_edges() {
        let mut means = BatchMeans::default();
        means.add(9.0, 10, 1);
        means.add(0.3, 1, 3);
        means.add(0.0, 0, 5);
        assert!((means.mean() - (0.9 + 3.0 * 0.3) / 4.0).abs() < 1e-12);
    }
}
