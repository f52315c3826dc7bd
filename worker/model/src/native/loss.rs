//! From the heads to the loss and back: reparameterisation, decoder, the terms of
//! the loss (protocol notes, section 2) and their gradients.

use super::gemm::{Finish, Packed, multiply, multiply_transposed};
use super::norm::column_sums;
use super::vector::{dot, dot_lanes, exp, vectorised};
use crate::engine::Mode;
use crate::graphs::Graphs;
use crate::objective::{Objective, OperationLoss};

/// The decoder's linear map, `[operations, latent]` and `[operations]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decoder<'a> {
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
}

/// Buffers of one batch between the heads and the loss.
#[derive(Debug, Default)]
pub(super) struct LatentPass {
    /// `[rows, latent]`.
    pub(super) means: Vec<f32>,
    deviations: Vec<f32>,
    codes: Vec<f32>,
    code_gradient: Vec<f32>,
    /// `[rows, operations]`: scores, then their gradient.
    scores: Vec<f32>,
    targets: Vec<f32>,
    /// `[graphs, nodes * (nodes - 1) / 2]`: scores, then their gradient.
    edges: Vec<f32>,
    edge_targets: Vec<f32>,
    likelihoods: Vec<f32>,
    packed: Packed,
}

impl LatentPass {
    /// The loss of a batch whose heads gave `heads` `[rows, 2 * latent]`; turns
    /// `heads` into the gradient of the same, and writes the decoder's gradients.
    pub(super) fn run(
        &mut self,
        heads: &mut [f32],
        graphs: &Graphs,
        mode: Mode<'_>,
        objective: Objective,
        decoder: Decoder<'_>,
        (weight_gradient, bias_gradient): (&mut [f32], &mut [f32]),
    ) -> f64 {
        let operations = decoder.bias.len();
        let latent = decoder.weight.len() / operations;
        let rows = graphs.rows();
        let log_std_sum = self.encode(heads, latent, mode);
        let kl_weight = objective.kl_weight(rows);
        let divergence = f64::from(dot(&self.means, &self.means))
            + f64::from(dot(&self.deviations, &self.deviations))
            - 2.0 * log_std_sum
            - self.means.len() as f64;

        self.score_operations(decoder, latent);
        let mut loss = 0.5 * kl_weight * divergence;
        loss += self.operation_loss(graphs, objective.operations);
        self.scores_back(decoder, latent);
        self.packed.pack(&self.codes, rows, latent);
        multiply_transposed(&self.scores, &self.packed, weight_gradient);
        column_sums(&self.scores, bias_gradient);

        loss += self.edge_loss(graphs, latent);
        let parts = HeadGradient {
            means: &self.means,
            deviations: &self.deviations,
            codes: &mut self.code_gradient,
            latent,
            kl_weight: kl_weight as f32,
        };
        match mode {
            Mode::Training { noise, dropout } => parts.sampled(noise, dropout, heads),
            Mode::Evaluation => parts.plain(heads),
        }
        loss
    }

    /// Splits the heads and draws the codes; the sum of the log deviations.
    fn encode(&mut self, heads: &[f32], latent: usize, mode: Mode<'_>) -> f64 {
        self.means.clear();
        self.deviations.clear();
        for row in heads.chunks_exact(2 * latent) {
            let (mean, log_std) = row.split_at(latent);
            self.means.extend_from_slice(mean);
            self.deviations.extend_from_slice(log_std);
        }
        let sum = self.deviations.iter().map(|&s| f64::from(s)).sum();
        exp_in_place(&mut self.deviations);
        self.codes.resize(self.means.len(), 0.0);
        match mode {
            Mode::Training { noise, dropout } => {
                draw_codes(
                    &self.means,
                    &self.deviations,
                    noise,
                    dropout,
                    &mut self.codes,
                );
            }
            Mode::Evaluation => self.codes.copy_from_slice(&self.means),
        }
        sum
    }

    fn score_operations(&mut self, decoder: Decoder<'_>, latent: usize) {
        let operations = decoder.bias.len();
        self.scores
            .resize(self.codes.len() / latent * operations, 0.0);
        self.packed
            .pack_transposed(decoder.weight, latent, operations);
        let finish = Finish::Bias(decoder.bias);
        multiply(&self.codes, &self.packed, finish, &mut self.scores);
    }

    /// The gradient of the codes by way of the operations' scores.
    fn scores_back(&mut self, decoder: Decoder<'_>, latent: usize) {
        self.packed.pack(decoder.weight, decoder.bias.len(), latent);
        self.code_gradient.resize(self.codes.len(), 0.0);
        let out = &mut self.code_gradient;
        multiply(&self.scores, &self.packed, Finish::Plain, out);
    }

    /// The loss of the operations; leaves its gradient in the scores.
    fn operation_loss(&mut self, graphs: &Graphs, kind: OperationLoss) -> f64 {
        let operations = graphs.dims().operations;
        match kind {
            OperationLoss::Sigmoid => {
                self.targets.clear();
                self.targets.resize(self.scores.len(), 0.0);
                for (row, targets) in self.targets.chunks_exact_mut(operations).enumerate() {
                    if let Some(operation) = graphs.operation(row) {
                        targets[operation] = 1.0;
                    }
                }
                let weight = 1.0 / self.scores.len() as f64;
                let scores = (&mut self.scores[..], &self.targets[..]);
                weight * binary_cross_entropy(scores, weight, &mut self.likelihoods)
            }
            OperationLoss::Softmax => {
                let rows = 0..graphs.rows();
                let real = rows.filter(|&row| graphs.operation(row).is_some()).count();
                let weight = 1.0 / real.max(1) as f64;
                let scores = self.scores.chunks_exact_mut(operations).enumerate();
                let sum: f64 = scores
                    .map(|(row, scores)| cross_entropy(scores, graphs.operation(row), weight))
                    .sum();
                weight * sum
            }
        }
    }

    /// The loss of the edges; adds its gradient to that of the codes.
    fn edge_loss(&mut self, graphs: &Graphs, latent: usize) -> f64 {
        let nodes = graphs.dims().nodes;
        self.edge_targets.clear();
        for (row, &neighbours) in graphs.neighbours().iter().enumerate() {
            for node in row % nodes + 1..nodes {
                self.edge_targets.push(f32::from(neighbours >> node & 1));
            }
        }
        self.edges.resize(self.edge_targets.len(), 0.0);
        score_edges(&self.codes, latent, nodes, &mut self.edges);
        // The published mean counts the masked entries of both triangles.
        let weight = 1.0 / (graphs.rows() * nodes) as f64;
        let scores = (&mut self.edges[..], &self.edge_targets[..]);
        let sum = binary_cross_entropy(scores, weight, &mut self.likelihoods);
        edges_back(
            &self.edges,
            &self.codes,
            latent,
            nodes,
            &mut self.code_gradient,
        );
        weight * sum
    }
}

vectorised! {
    fn exp_in_place<'a>(values: &'a mut [f32]) {
        for value in values {
            *value = exp(*value);
        }
    }
}

vectorised! {
    fn draw_codes<'a>(
        means: &'a [f32],
        deviations: &'a [f32],
        noise: &'a [f32],
        dropout: &'a [f32],
        codes: &'a mut [f32],
    ) {
        let len = codes.len();
        let (means, deviations) = (&means[..len], &deviations[..len]);
        let (noise, dropout) = (&noise[..len], &dropout[..len]);
        for i in 0..len {
            codes[i] = deviations[i].mul_add(noise[i], means[i]) * dropout[i];
        }
    }
}

vectorised! {
    /// Turns scores into gradients, and writes the probability that each target got.
    fn sigmoid_parts<'a>(
        scores: &'a mut [f32],
        targets: &'a [f32],
        weight: f32,
        likelihoods: &'a mut [f32],
    ) {
        // What `PyTorch` bounds the cross entropy's denominator by.
        const SMALLEST: f32 = 1e-12;
        let len = scores.len();
        let (targets, likelihoods) = (&targets[..len], &mut likelihoods[..len]);
        for i in 0..len {
            let target = targets[i];
            let probability = 1.0 / (1.0 + exp(-scores[i]));
            let complement = 1.0 - probability;
            likelihoods[i] = if target > 0.5 { probability } else { complement };
            let slope = probability * complement;
            let saturation = slope / slope.max(SMALLEST);
            scores[i] = (probability - target) * saturation * weight;
        }
    }
}

/// Summed binary cross entropy of scores against targets of 0 or 1; leaves the
/// gradient, times `weight`, in the scores.
///
/// As `PyTorch` computes it after a single-precision sigmoid: a logarithm is held
/// at -100, and a score whose probability has rounded to 0 or 1 has no gradient.
fn binary_cross_entropy(
    (scores, targets): (&mut [f32], &[f32]),
    weight: f64,
    likelihoods: &mut Vec<f32>,
) -> f64 {
    /// exp(-100).
    const SMALLEST: f64 = 3.720_075_976_020_836e-44;
    /// So many factors of the smallest kind are still a normal double.
    const FACTORS: usize = 7;
    likelihoods.resize(scores.len(), 0.0);
    sigmoid_parts(scores, targets, weight as f32, likelihoods);
    // One logarithm of a product in place of a sum of logarithms.
    let logs = likelihoods.chunks(FACTORS).map(|likelihoods| {
        let factors = likelihoods.iter().map(|&l| f64::from(l).max(SMALLEST));
        libm::log(factors.product())
    });
    -logs.sum::<f64>()
}

/// Cross entropy of one node's softmax, zero without a target; leaves the
/// gradient, times `weight`, in the scores.
fn cross_entropy(scores: &mut [f32], target: Option<usize>, weight: f64) -> f64 {
    let Some(target) = target else {
        scores.fill(0.0);
        return 0.0;
    };
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let chosen = f64::from(scores[target] - largest);
    let mut total = 0.0;
    for score in scores.iter_mut() {
        *score = exp(*score - largest);
        total += f64::from(*score);
    }
    let factor = weight / total;
    for score in scores.iter_mut() {
        *score = (f64::from(*score) * factor) as f32;
    }
    scores[target] -= weight as f32;
    libm::log(total) - chosen
}

vectorised! {
    /// Scalar products of the codes of each pair of nodes, first node first.
    fn score_edges<'a>(codes: &'a [f32], latent: usize, nodes: usize, out: &'a mut [f32]) {
        let pairs = nodes * (nodes - 1) / 2;
        for (codes, out) in codes.chunks_exact(nodes * latent).zip(out.chunks_exact_mut(pairs)) {
            let mut out = out.iter_mut();
            for first in 0..nodes {
                let own = &codes[first * latent..][..latent];
                let others = codes[(first + 1) * latent..].chunks_exact(latent);
                for (other, out) in others.zip(&mut out) {
                    *out = dot_lanes::<8>(own, other);
                }
            }
        }
    }
}

/// The same as whole matrices, `[graphs, nodes, nodes]`, the lower triangle and the
/// diagonal zero.
pub(super) fn score_all_edges(codes: &[f32], latent: usize, nodes: usize, out: &mut Vec<f32>) {
    let graphs = codes.len() / (nodes * latent);
    let pairs = nodes * (nodes - 1) / 2;
    let mut scores = vec![0.0; graphs * pairs];
    score_edges(codes, latent, nodes, &mut scores);
    out.clear();
    out.resize(graphs * nodes * nodes, 0.0);
    let mut scores = scores.into_iter();
    for matrix in out.chunks_exact_mut(nodes * nodes) {
        for (first, row) in matrix.chunks_exact_mut(nodes).enumerate() {
            for (out, score) in row[first + 1..].iter_mut().zip(&mut scores) {
                *out = score;
            }
        }
    }
}

vectorised! {
    fn edges_back<'a>(
        gradient: &'a [f32],
        codes: &'a [f32],
        latent: usize,
        nodes: usize,
        out: &'a mut [f32],
    ) {
        let pairs = nodes * (nodes - 1) / 2;
        let size = nodes * latent;
        for ((gradient, codes), out) in gradient
            .chunks_exact(pairs)
            .zip(codes.chunks_exact(size))
            .zip(out.chunks_exact_mut(size))
        {
            let mut pair = 0;
            for first in 0..nodes {
                let (own_out, other_out) = out[first * latent..].split_at_mut(latent);
                let (own, others) = codes[first * latent..].split_at(latent);
                for (other, other_out) in
                    others.chunks_exact(latent).zip(other_out.chunks_exact_mut(latent))
                {
                    let g = gradient[pair];
                    pair += 1;
                    for k in 0..latent {
                        own_out[k] = g.mul_add(other[k], own_out[k]);
                        other_out[k] = g.mul_add(own[k], other_out[k]);
                    }
                }
            }
        }
    }
}

/// What the gradient of the heads is made of.
struct HeadGradient<'a> {
    means: &'a [f32],
    deviations: &'a [f32],
    /// Gradient of the codes.
    codes: &'a mut [f32],
    latent: usize,
    kl_weight: f32,
}

impl HeadGradient<'_> {
    fn sampled(self, noise: &[f32], dropout: &[f32], heads: &mut [f32]) {
        let latent = self.latent;
        for (row, heads) in heads.chunks_exact_mut(2 * latent).enumerate() {
            let at = row * latent..(row + 1) * latent;
            for (gradient, factor) in self.codes[at.clone()].iter_mut().zip(&dropout[at.clone()]) {
                *gradient *= factor;
            }
            let (mean_out, log_std_out) = heads.split_at_mut(latent);
            self.mean_row(row, mean_out);
            let row = self.codes[at.clone()].iter().zip(&noise[at.clone()]);
            for (((gradient, noise), deviation), out) in
                row.zip(&self.deviations[at]).zip(log_std_out)
            {
                let divergence = self.kl_weight * deviation.mul_add(*deviation, -1.0);
                *out = (gradient * noise).mul_add(*deviation, divergence);
            }
        }
    }

    fn plain(self, heads: &mut [f32]) {
        let latent = self.latent;
        for (row, heads) in heads.chunks_exact_mut(2 * latent).enumerate() {
            let (mean_out, log_std_out) = heads.split_at_mut(latent);
            self.mean_row(row, mean_out);
            let deviations = &self.deviations[row * latent..][..latent];
            for (deviation, out) in deviations.iter().zip(log_std_out) {
                *out = self.kl_weight * deviation.mul_add(*deviation, -1.0);
            }
        }
    }

    fn mean_row(&self, row: usize, out: &mut [f32]) {
        let at = row * self.latent..(row + 1) * self.latent;
        for ((out, gradient), mean) in out
            .iter_mut()
            .zip(&self.codes[at.clone()])
            .zip(&self.means[at])
        {
            *out = self.kl_weight.mul_add(*mean, *gradient);
        }
    }
}
