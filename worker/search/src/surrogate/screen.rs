//! Finds exactly the best rows of a table without predicting every row. Upper
//! bounds, which cost a third of a prediction, rule out rows whose expected
//! improvement cannot reach that of the rows kept so far.
//!
//! Expected improvement grows with mean and variance. The mean is cheap. With the
//! eigenvectors q and eigenvalues λ of K, descending, the variance is
//! `noise + Σ (q·φ)²/λ`, and by the first r terms it is at most
//! `noise + Σ_r (q·φ)²/λ + (|φ|² - Σ_r (q·φ)²) / λ_least`. Bases of trained networks
//! lie close to a few eigenvectors, so that 16 to 64 terms of the 128 leave little, and
//! few rows need more.
//!
//! The bound of one row serves all rows of its cluster. How much the others can
//! differ follows from how far the network can stretch a distance.
//!
//! Rows that pass are predicted by the same code as without a screen. Faster code
//! computes the bounds, and its error is part of them.

use super::acquisition::ExpectedImprovement;
use super::choice::Choice;
use super::columns::{Column, Columns, First, Network, Project, ROWS, TANH_ERROR, Tiles};
use super::eigen::{Eigen, eigen};
use super::gate::Gate;
use super::kernel::{LANES, Lane};
use super::mlp::HIDDEN;
use super::model::{BLOCK, Surrogate};
use crate::embedding::Embedding;

/// Eigenvectors that a stage adds to the sum.
const STEP: usize = 16;

/// Stages: the last one leaves no eigenvector out.
const STAGES: usize = HIDDEN / STEP;

/// With at least this many leaders left, a block goes to the next stage by itself.
/// Fewer are collected with those of other blocks, because a block costs the same
/// however few leaders it has.
const MANY: usize = ROWS / 2;

/// Bounds over the predictions of one surrogate.
struct Screen<'a> {
    surrogate: &'a Surrogate,
    network: Network,
    stages: Vec<Stage>,
    limits: Limits,
}

/// Some eigenvectors.
struct Stage {
    directions: Tiles,
    /// One over their eigenvalues.
    weights: Vec<f32>,
}

/// The numbers from which the bounds are computed.
#[derive(Debug, Clone, Copy)]
struct Limits {
    noise: f32,
    /// One over the least eigenvalue, and its root.
    rest: f32,
    root: f32,
    /// Length of the weights' mean.
    weights: f32,
    /// The largest distance between the bases of two rows: a part for each unit of
    /// the distance between the rows, a part for each unit of the row's length and a
    /// constant part. The last two are rounding errors.
    stretch: f32,
    rounding: f32,
    always: f32,
}

/// Clusters with what is known of their leaders.
#[derive(Default)]
struct Batch {
    columns: Columns,
    /// Of each of them its position in the columns and its number.
    clusters: Vec<(usize, usize)>,
}

/// Clusters on their way through the stages.
struct Sieve<'a, 'b> {
    screen: &'a Screen<'a>,
    table: &'a Embedding,
    gate: Gate,
    choice: &'a mut Choice<'b>,
    /// Small batches, one for each stage that is still to be passed.
    waiting: Vec<Batch>,
    /// Rows to be predicted.
    pending: Vec<u32>,
}

impl Surrogate {
    /// Offers the rows of `table` that can be chosen, with their expected
    /// improvement. The `likely` ones come first: the better they are, the fewer
    /// others need a prediction.
    pub fn choose(
        &self,
        table: &Embedding,
        improvement: ExpectedImprovement,
        likely: &[u32],
        choice: &mut Choice<'_>,
    ) {
        match Screen::of(self) {
            Some(screen) => screen.choose(table, improvement, likely, choice),
            None => self.choose_from_all(table, improvement, choice),
        }
    }
}

impl<'a> Screen<'a> {
    /// `None` where K is so close to singular that its eigenvectors bound nothing.
    fn of(surrogate: &'a Surrogate) -> Option<Self> {
        /// Relative error of eigenvalues, with a wide margin.
        const ACCURACY: f64 = 1e-12;
        let posterior = &surrogate.posterior;
        let Eigen { values, vectors } = eigen(&mut posterior.precision().to_vec(), HIDDEN)?;
        let least = values[HIDDEN - 1] - ACCURACY * values[0];
        if least <= 0.5 * values[HIDDEN - 1] {
            return None;
        }
        let stage = |number: usize| {
            let first = number * STEP;
            Stage {
                directions: Tiles::of(STEP, HIDDEN, |direction, unit| {
                    vectors[(first + direction) * HIDDEN + unit] as f32
                }),
                weights: values[first..first + STEP]
                    .iter()
                    .map(|value| (1.0 / value) as f32)
                    .collect(),
            }
        };
        Some(Self {
            surrogate,
            network: Network::of(surrogate),
            stages: (0..STAGES).map(stage).collect(),
            limits: Limits::of(surrogate, least)?,
        })
    }

    fn choose(
        &self,
        table: &Embedding,
        improvement: ExpectedImprovement,
        likely: &[u32],
        choice: &mut Choice<'_>,
    ) {
        self.surrogate.offer(likely, table, improvement, choice);
        let clusters = table.clusters();
        let mut sieve = Sieve {
            screen: self,
            table,
            gate: Gate::open(improvement),
            choice,
            waiting: (0..STAGES).map(|_| Batch::new(table.dims())).collect(),
            pending: Vec::new(),
        };
        let mut batch = Batch::new(table.dims());
        let lanes = clusters.lanes().chunks(ROWS / LANES * table.dims());
        for (first, lanes) in (0..).step_by(ROWS).zip(lanes) {
            let count = ROWS.min(clusters.leaders().len() - first);
            batch.clusters.clear();
            batch
                .clusters
                .extend((0..count).map(|position| (position, first + position)));
            pulp::Arch::new().dispatch(First {
                network: &self.network,
                lanes,
                columns: &mut batch.columns,
            });
            let threshold = sieve.choice.threshold();
            sieve.gate.raise(threshold, &batch.columns.means[..count]);
            sieve.pass(0, &mut batch);
            if sieve.pending.len() >= BLOCK || sieve.choice.threshold().is_none() {
                sieve.predict(improvement);
            }
        }
        (1..STAGES).for_each(|stage| sieve.release(stage));
        sieve.predict(improvement);
    }
}

impl Batch {
    fn new(inputs: usize) -> Self {
        Self {
            columns: Columns::new(inputs),
            clusters: Vec::with_capacity(ROWS),
        }
    }
}

impl Sieve<'_, '_> {
    /// Takes a batch through the stages from `first` on while it has many clusters.
    /// The rows of clusters that pass every stage are predicted.
    fn pass(&mut self, first: usize, batch: &mut Batch) {
        let Screen { stages, limits, .. } = self.screen;
        let known = self.table.clusters();
        for (number, stage) in stages.iter().enumerate().skip(first) {
            if batch.clusters.is_empty() {
                return;
            }
            if number > first && batch.clusters.len() < MANY {
                return self.wait(number, batch);
            }
            stage.add(&mut batch.columns);
            let (means, spreads) = limits.of_leaders(&batch.columns);
            batch.clusters.retain(|&(position, cluster)| {
                let radius = known.radius(cluster);
                let (mean, variance) =
                    limits.of_cluster(means[position], spreads[position], radius);
                let passes = self.gate.passes(mean, variance);
                // Rows that do not pass score zero. Where zero is enough to be chosen, they
                // are offered with it.
                if !passes && self.gate.is_at_zero() {
                    for &row in known.members(cluster) {
                        self.choice.offer(row, 0.0);
                    }
                }
                passes
            });
        }
        for &(_, cluster) in &batch.clusters {
            let members = known.members(cluster).iter();
            self.pending
                .extend(members.filter(|&&row| self.choice.allows(row)));
        }
    }

    /// Adds the rest of a batch to the clusters that wait for a stage. They pass it
    /// as soon as they fill a batch.
    fn wait(&mut self, stage: usize, batch: &Batch) {
        for &(position, cluster) in &batch.clusters {
            let waiting = &mut self.waiting[stage];
            let place = waiting.clusters.len();
            waiting.columns.copy(place, &batch.columns, position);
            waiting.clusters.push((place, cluster));
            if place + 1 == ROWS {
                self.release(stage);
            }
        }
    }

    /// Takes what waits for a stage through it. What passes goes on to later ones.
    fn release(&mut self, stage: usize) {
        let mut batch = std::mem::take(&mut self.waiting[stage]);
        self.pass(stage, &mut batch);
        batch.clusters.clear();
        self.waiting[stage] = batch;
    }

    /// Predicts the rows that have passed all stages.
    fn predict(&mut self, improvement: ExpectedImprovement) {
        let surrogate = self.screen.surrogate;
        surrogate.offer(&self.pending, self.table, improvement, self.choice);
        self.pending.clear();
    }
}

impl Network {
    fn of(surrogate: &Surrogate) -> Self {
        let Surrogate {
            network,
            posterior,
            scale,
        } = surrogate;
        let inputs = network.inputs();
        Self {
            scale: scale.factors().collect(),
            hidden: Tiles::of(HIDDEN, inputs, |unit, input| {
                network.hidden_weights()[unit / LANES * inputs + input][unit % LANES]
            }),
            bias: network.hidden_bias().as_flattened().to_vec(),
            weights: posterior.weights().as_flattened().to_vec(),
        }
    }
}

impl Stage {
    /// Adds the terms of its eigenvectors.
    fn add(&self, columns: &mut Columns) {
        pulp::Arch::new().dispatch(Project {
            directions: &self.directions,
            weights: &self.weights,
            columns,
        });
    }
}

impl Limits {
    /// `least` is a lower bound of the eigenvalues.
    fn of(surrogate: &Surrogate, least: f64) -> Option<Self> {
        let network = &surrogate.network;
        let inputs = network.inputs();
        let units: Vec<f64> = (0..HIDDEN * inputs)
            .map(|at| {
                let (unit, input) = (at / inputs, at % inputs);
                let lane = network.hidden_weights()[unit / LANES * inputs + input];
                f64::from(lane[unit % LANES])
            })
            .collect();
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        let frobenius = square(&mut units.iter().copied()).sqrt();
        let mut gram = vec![0.0; inputs * inputs];
        for unit in units.chunks_exact(inputs) {
            for (row, value) in gram.chunks_exact_mut(inputs).zip(unit) {
                row.iter_mut()
                    .zip(unit)
                    .for_each(|(g, other)| *g += value * other);
            }
        }
        let spectral = eigen(&mut gram, inputs)?.values[0].max(0.0).sqrt() * (1.0 + 1e-6);
        let flat = |lanes: &[Lane]| {
            let mut values = lanes.as_flattened().iter().copied().map(f64::from);
            square(&mut values).sqrt()
        };
        // Each of the two bases is rounded: standardised rows, sums of as many terms as
        // there are inputs, and tanh, which the predictions have within 2e-7.
        let rounding = 2.0 * (inputs + 4) as f64 * f64::from(f32::EPSILON) / 2.0;
        let tanh = (TANH_ERROR + 2e-7) * (HIDDEN as f64).sqrt();
        Some(Self {
            noise: surrogate.posterior.noise(),
            rest: (1.0 / least * (1.0 + 1e-6)) as f32,
            root: ((1.0 / least).sqrt() * (1.0 + 1e-6)) as f32,
            weights: (flat(surrogate.posterior.weights()) * (1.0 + 1e-6)) as f32,
            stretch: (spectral / f64::from(surrogate.scale.least()) * (1.0 + 1e-6)) as f32,
            rounding: (frobenius * rounding + spectral * 2.0 * f64::from(f32::EPSILON)) as f32,
            always: (flat(network.hidden_bias()) * rounding + tanh) as f32,
        })
    }

    /// No less than the predicted mean of each leader, and than the root of what its
    /// variance exceeds the noise by.
    fn of_leaders(&self, columns: &Columns) -> (Column, Column) {
        /// What rounding makes of a sum of 128 products, for each unit of the lengths
        /// of its factors: ten times its standard deviation.
        const SUM: f32 = 128.0 * f32::EPSILON / 2.0;
        let (mut means, mut spreads) = ([0.0; ROWS], [0.0; ROWS]);
        for row in 0..ROWS {
            let (bases, basis) = (columns.bases[row], columns.bases[row].sqrt());
            let apart = columns.inputs[row].sqrt() * self.rounding + self.always;
            // Of this sum, and of the one that predicts.
            means[row] = columns.means[row] + self.weights * (apart + 2.0 * SUM * basis);
            let unexplained = (bases - columns.explained[row]).max(0.0) + 2.0 * SUM * bases;
            let spread = (columns.terms[row] + unexplained * self.rest).sqrt();
            // The factor of the variance is rounded entry by entry.
            spreads[row] = spread + (apart + 12.0 * SUM * basis) * self.root;
        }
        (means, spreads)
    }

    /// No less than the predicted mean and variance of any row of a cluster with this
    /// radius, from these bounds of its leader.
    fn of_cluster(&self, mean: f32, spread: f32, radius: f32) -> (f32, f32) {
        let apart = 1.01 * radius * self.stretch;
        let spread = spread + apart * self.root;
        let variance = (self.noise + spread * spread) * (1.0 + 1e-5);
        (mean + self.weights * apart, variance)
    }
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
