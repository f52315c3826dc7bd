//! The exact best rows of a table without a prediction of every row. A row whose
//! expected improvement cannot reach that of the rows kept so far is left out on the
//! strength of upper bounds, which cost a quarter of a prediction.
//!
//! Expected improvement grows with mean and variance. The mean is cheap. With the
//! eigenvectors q and eigenvalues λ of K, descending, the variance is
//! `noise + Σ (q·φ)²/λ`, and by the first r terms it is at most
//! `noise + Σ_r (q·φ)²/λ + (|φ|² - Σ_r (q·φ)²) / λ_least`. Bases of trained networks
//! lie close to a few eigenvectors, so that 16 to 64 terms of the 128 leave little.
//!
//! One row is bounded for all rows of its cluster. What the rest can differ by
//! follows from how far the network can stretch a distance.
//!
//! Rows that pass are predicted by the same code as without a screen.

#![expect(
    clippy::inline_always,
    reason = "only inlined code gets the vector width"
)]

use super::acquisition::ExpectedImprovement;
use super::choice::Choice;
use super::eigen::{Eigen, eigen};
use super::gate::Gate;
use super::kernel::{self, LANES, Lane};
use super::mlp::{HIDDEN, PANELS};
use super::model::{BLOCK, Surrogate};
use crate::embedding::Embedding;

/// Steps in which the sum is taken further, a lane of eigenvectors each.
const STAGES: usize = 4;

/// Bounds over the predictions of one surrogate.
struct Screen<'a> {
    surrogate: &'a Surrogate,
    stages: Vec<Stage>,
    limits: Limits,
}

/// Sixteen eigenvectors.
struct Stage {
    /// Entries of all sixteen for each function of the basis, `[HIDDEN]`.
    directions: Vec<Lane>,
    /// One over their eigenvalues.
    weights: Lane,
}

/// Numbers that the bounds are made of.
#[derive(Debug, Clone, Copy)]
struct Limits {
    noise: f32,
    /// One over the least eigenvalue.
    rest: f32,
    /// Length of the weights' mean.
    weights: f32,
    /// How far the network can take apart the bases of two rows: for each unit of
    /// their distance, for each unit of the row's length, and in any case. The last
    /// two are roundings.
    stretch: f32,
    rounding: f32,
    always: f32,
}

/// What is known of some leaders.
#[derive(Debug)]
struct Bounds {
    means: [f32; BLOCK],
    /// Squared lengths of the bases, and of the standardised rows.
    bases: [f32; BLOCK],
    inputs: [f32; BLOCK],
    /// Of the terms so far: Σ (q·φ)² and Σ (q·φ)²/λ.
    explained: [f32; BLOCK],
    terms: [f32; BLOCK],
}

impl Surrogate {
    /// Offers the rows of `table` that can be chosen, with their expected
    /// improvement, `likely` ones first: the better these, the fewer others.
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
        let stage = |number: usize| Stage {
            directions: (0..HIDDEN)
                .map(|unit| {
                    let entry = |lane| vectors[(number * LANES + lane) * HIDDEN + unit];
                    std::array::from_fn(|lane| entry(lane) as f32)
                })
                .collect(),
            weights: std::array::from_fn(|lane| (1.0 / values[number * LANES + lane]) as f32),
        };
        Some(Self {
            surrogate,
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
        let mut gate = Gate::open(improvement);
        let (mut x, mut pending) = (Vec::new(), Vec::new());
        let mut basis: Vec<Lane> = vec![[0.0; LANES]; BLOCK * PANELS];
        let mut bounds = Bounds::new();
        let (mut passed, mut left) = (Vec::new(), Vec::new());
        for (block, leaders) in clusters.leaders().chunks(BLOCK).enumerate() {
            let first = block * BLOCK;
            self.surrogate.gather(leaders, table, &mut x);
            let basis = &mut basis[..leaders.len() * PANELS];
            pulp::Arch::new().dispatch(First {
                screen: self,
                x: &x,
                basis,
                bounds: &mut bounds,
            });
            gate.raise(choice.threshold(), &bounds.means[..leaders.len()]);
            passed.clear();
            passed.extend(0..leaders.len());
            for (number, stage) in self.stages.iter().enumerate() {
                if number > 0 {
                    pulp::Arch::new().dispatch(Further {
                        stage,
                        rows: &passed,
                        basis,
                        bounds: &mut bounds,
                    });
                }
                passed.retain(|&position| {
                    let radius = clusters.radius(first + position);
                    let (mean, variance) = self.limits.ceiling(&bounds, position, radius);
                    let passes = gate.passes(mean, variance);
                    if !passes {
                        left.push(first + position);
                    }
                    passes
                });
            }
            // All that was left out scores nothing where nothing is enough.
            if gate.is_at_zero() {
                for cluster in &left {
                    for &row in clusters.members(*cluster) {
                        choice.offer(row, 0.0);
                    }
                }
            }
            left.clear();
            for position in &passed {
                let members = clusters.members(first + position);
                pending.extend(members.iter().filter(|&&row| choice.allows(row)));
            }
            if pending.len() >= BLOCK || choice.threshold().is_none() {
                self.surrogate.offer(&pending, table, improvement, choice);
                pending.clear();
            }
        }
        self.surrogate.offer(&pending, table, improvement, choice);
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
        // Each of the two bases is rounded: sums of as many terms as there are inputs,
        // and tanh within 2e-7.
        let rounding = 2.0 * (inputs + 2) as f64 * f64::from(f32::EPSILON) / 2.0;
        let tanh = 2.0 * 2e-7 * (HIDDEN as f64).sqrt();
        Some(Self {
            noise: surrogate.posterior.noise(),
            rest: (1.0 / least * (1.0 + 1e-6)) as f32,
            weights: (flat(surrogate.posterior.weights()) * (1.0 + 1e-6)) as f32,
            stretch: (spectral / f64::from(surrogate.scale.least()) * (1.0 + 1e-6)) as f32,
            rounding: (frobenius * rounding + spectral * 2.0 * f64::from(f32::EPSILON)) as f32,
            always: (flat(network.hidden_bias()) * rounding + tanh) as f32,
        })
    }

    /// No less than the predicted mean and variance of any row of a cluster with
    /// this radius about the leader at `position`.
    #[inline(always)]
    fn ceiling(&self, bounds: &Bounds, position: usize, radius: f32) -> (f32, f32) {
        /// What rounding makes of a sum of 128 products, for each unit of the lengths
        /// of its factors: ten times its standard deviation.
        const SUM: f32 = 128.0 * f32::EPSILON / 2.0;
        let basis = bounds.bases[position].sqrt();
        let apart = if radius > 0.0 {
            let length = bounds.inputs[position].sqrt();
            1.01 * radius.mul_add(self.stretch, length * self.rounding) + self.always
        } else {
            0.0
        };
        let mean = bounds.means[position] + self.weights * (apart + SUM * basis);
        let unexplained = bounds.bases[position] - bounds.explained[position];
        let unexplained = unexplained.max(0.0) + 2.0 * SUM * bounds.bases[position];
        let spread = (bounds.terms[position] + unexplained * self.rest).sqrt();
        // The factor of the variance is rounded entry by entry.
        let rounded = 12.0 * SUM * basis;
        let spread = spread + (apart + rounded) * self.rest.sqrt();
        (mean, (self.noise + spread * spread) * (1.0 + 1e-5))
    }
}

impl Bounds {
    fn new() -> Self {
        let zeros = [0.0; BLOCK];
        Self {
            means: zeros,
            bases: zeros,
            inputs: zeros,
            explained: zeros,
            terms: zeros,
        }
    }
}

/// Bases, means and the first stage of a block of leaders.
struct First<'a> {
    screen: &'a Screen<'a>,
    x: &'a [f32],
    basis: &'a mut [Lane],
    bounds: &'a mut Bounds,
}

impl pulp::WithSimd for First<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self {
            screen,
            x,
            basis,
            bounds,
        } = self;
        let Surrogate {
            network, posterior, ..
        } = screen.surrogate;
        network.basis(x, basis);
        let rows = basis
            .chunks_exact(PANELS)
            .zip(x.chunks_exact(network.inputs()));
        for (position, (basis, x)) in rows.enumerate() {
            bounds.means[position] = kernel::dot(basis, posterior.weights());
            bounds.bases[position] = kernel::dot(basis, basis);
            bounds.inputs[position] = x.iter().map(|x| x * x).sum();
        }
        bounds.explained = [0.0; BLOCK];
        bounds.terms = [0.0; BLOCK];
        let stage = &screen.stages[0];
        let rows: [usize; BLOCK] = std::array::from_fn(|row| row);
        stage.add(&rows[..basis.len() / PANELS], basis, bounds);
    }
}

/// A further stage of the rows that have passed so far.
struct Further<'a> {
    stage: &'a Stage,
    rows: &'a [usize],
    basis: &'a [Lane],
    bounds: &'a mut Bounds,
}

impl pulp::WithSimd for Further<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        self.stage.add(self.rows, self.basis, self.bounds);
    }
}

impl Stage {
    /// Adds the terms of this stage's eigenvectors.
    #[inline(always)]
    fn add(&self, rows: &[usize], basis: &[Lane], bounds: &mut Bounds) {
        let (tiles, rest) = rows.as_chunks::<4>();
        for tile in tiles {
            self.add_tile(*tile, basis, bounds);
        }
        for row in rest {
            self.add_tile([*row], basis, bounds);
        }
    }

    #[inline(always)]
    fn add_tile<const R: usize>(&self, rows: [usize; R], basis: &[Lane], bounds: &mut Bounds) {
        let bases = rows.map(|row| basis[row * PANELS..(row + 1) * PANELS].as_flattened());
        let mut sums = [[0.0; LANES]; R];
        kernel::accumulate(bases, &self.directions, &mut sums);
        for (row, mut sums) in rows.into_iter().zip(sums) {
            for sum in &mut sums {
                *sum *= *sum;
            }
            bounds.explained[row] += kernel::sum(&sums);
            sums.iter_mut()
                .zip(&self.weights)
                .for_each(|(sum, weight)| *sum *= weight);
            bounds.terms[row] += kernel::sum(&sums);
        }
    }
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
