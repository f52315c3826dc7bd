//! The measures of an epoch (protocol notes, section 3), and the reconstruction of the
//! held-out graphs.
//!
//! Not here: how validity and uniqueness are found, which is `prior`.

use std::ops::Range;

use reprise_domain::EpochMeasures;

use crate::course::Course;
use crate::engine::{Decoded, Engine, Latent, sigmoid};
use crate::graphs::GraphSet;
use crate::prior::CodeSums;

/// Graphs that are measured at once, as published: means over edges are taken
/// batch by batch and weighted by the batch's graphs.
const BATCH: usize = 500;

/// How well held-out graphs are reconstructed; fractions as in
/// [`reprise_domain::EpochMeasures`].
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reconstruction {
    ops_accuracy: f64,
    ops_accuracy_real_nodes: f64,
    edge_accuracy: f64,
    true_edge_probability: f64,
    false_edge_probability: f64,
    exact_match: f64,
}

/// The counts of a fraction.
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
        // A batch without such an edge does not count.
        if count > 0 {
            self.sum += sum / count as f64 * graphs as f64;
            self.weight += graphs as f64;
        }
    }

    fn mean(self) -> f64 {
        self.sum / self.weight
    }
}

/// Measures the model of `engine` after the last step of `epoch`: `loss` is the mean
/// of the epoch's losses, `codes` sums over its training graphs.
pub fn of_epoch(
    course: &Course,
    epoch: u32,
    engine: &mut dyn Engine,
    loss: f64,
    codes: &CodeSums,
) -> EpochMeasures {
    let reconstruction = reconstruction(engine, &course.graphs, course.held_out());
    let prior = codes.gaussian().decode(
        engine,
        course.space.as_ref(),
        course.spec.latent_points as usize,
        course.spec.quirks.lenient_validity,
        &mut course.latent_points(epoch),
    );
    EpochMeasures {
        loss,
        ops_accuracy: reconstruction.ops_accuracy,
        ops_accuracy_real_nodes: reconstruction.ops_accuracy_real_nodes,
        edge_accuracy: reconstruction.edge_accuracy,
        true_edge_probability: reconstruction.true_edge_probability,
        false_edge_probability: reconstruction.false_edge_probability,
        exact_match: reconstruction.exact_match,
        validity: prior.validity,
        uniqueness: prior.uniqueness,
    }
}

/// The first measure that is infinite or not a number, and its value: no result and
/// no checkpoint can hold it.
pub fn not_finite(measures: &EpochMeasures) -> Option<(&'static str, f64)> {
    let EpochMeasures {
        loss,
        ops_accuracy,
        ops_accuracy_real_nodes,
        edge_accuracy,
        true_edge_probability,
        false_edge_probability,
        exact_match,
        validity,
        uniqueness,
    } = *measures;
    let all = [
        ("the mean loss", loss),
        ("the operations' accuracy", ops_accuracy),
        ("the real nodes' accuracy", ops_accuracy_real_nodes),
        ("the edges' accuracy", edge_accuracy),
        ("the true edges' probability", true_edge_probability),
        ("the false edges' probability", false_edge_probability),
        ("the exact match", exact_match),
        ("the validity", validity),
        ("the uniqueness", uniqueness),
    ];
    all.into_iter().find(|(_, value)| !value.is_finite())
}

/// Encodes and decodes the graphs of `held_out` in evaluation mode.
fn reconstruction(
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

/// Whether [`reconstruction`] has at least one entry of each kind to measure.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_that_no_file_can_hold_is_named() {
        let finite = EpochMeasures {
            loss: 0.5,
            ops_accuracy: 1.0,
            ops_accuracy_real_nodes: 1.0,
            edge_accuracy: 1.0,
            true_edge_probability: 0.9,
            false_edge_probability: 0.1,
            exact_match: 1.0,
            validity: 0.0,
            uniqueness: 0.0,
        };
        assert_eq!(not_finite(&finite), None);
        let wrong = EpochMeasures {
            true_edge_probability: f64::INFINITY,
            ..finite
        };
        let found = Some(("the true edges' probability", f64::INFINITY));
        assert_eq!(not_finite(&wrong), found);
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
