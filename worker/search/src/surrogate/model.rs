//! One round's surrogate: a new network trained on everything bought so far, its
//! basis regressed on, and a prediction for any architecture of the table.
//!
//! Not here: which architectures need no prediction, which is `screen`.

#![expect(
    clippy::inline_always,
    reason = "only inlined code gets the vector width"
)]

use reprise_domain::ArchIndex;

use super::acquisition::ExpectedImprovement;
use super::choice::Choice;
use super::evidence::{Evidence, LOG_NOISE_MEAN, Likelihood, LogHyper};
use super::kernel::{LANES, Lane};
use super::linalg::NotPositiveDefinite;
use super::mlp::{Mlp, PANELS};
use super::posterior::{Posterior, Prediction};
use crate::embedding::Embedding;
use crate::rng::Stream;

/// Rows predicted at a time: their basis, 16 KiB, stays in the first cache.
pub(super) const BLOCK: usize = 32;

/// A trained surrogate.
#[derive(Debug)]
pub struct Surrogate {
    pub(super) network: Mlp,
    pub(super) posterior: Posterior,
    pub(super) scale: Scale,
}

/// Mean and deviation of each input over the training data.
#[derive(Debug)]
pub(super) struct Scale {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

/// The prediction of one block of standardised rows.
struct Block<'a> {
    surrogate: &'a Surrogate,
    x: &'a [f32],
    basis: &'a mut [Lane],
    out: &'a mut [Prediction],
}

impl pulp::WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        self.surrogate.network.basis(simd, self.x, self.basis);
        self.surrogate.posterior.predict(simd, self.basis, self.out);
    }
}

/// The basis of standardised rows.
struct Activations<'a> {
    network: &'a Mlp,
    x: &'a [f32],
    basis: &'a mut [Lane],
}

impl pulp::WithSimd for Activations<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        self.network.basis(simd, self.x, self.basis);
    }
}

impl Surrogate {
    /// Trains on `rows`, `[targets, inputs]`, against `targets`, accuracies as
    /// fractions. `shuffles` also draws where the hyper-parameters start.
    pub fn train(
        rows: &[f32],
        targets: &[f32],
        epochs: u32,
        likelihood: Likelihood,
        initial: &mut Stream,
        shuffles: &mut Stream,
    ) -> Result<Self, NotPositiveDefinite> {
        let inputs = rows.len() / targets.len().max(1);
        let scale = Scale::of(rows, inputs);
        let mut x = rows.to_vec();
        scale.apply(&mut x);
        let mut network = Mlp::new(inputs, initial);
        network.train(&x, targets, epochs, shuffles);
        let mut basis = vec![[0.0; LANES]; targets.len() * PANELS];
        pulp::Arch::new().dispatch(Activations {
            network: &network,
            x: &x,
            basis: &mut basis,
        });
        // The released library draws the start after the shuffles, from the same
        // generator. Even a generator that is seeded again in every round gives other
        // starts as the data grow.
        let start: LogHyper = [shuffles.normal(), LOG_NOISE_MEAN + shuffles.normal()];
        let hyper = Evidence::new(&basis, targets, likelihood).maximise(start);
        let posterior = Posterior::new(&basis, targets, hyper)?;
        Ok(Self {
            network,
            posterior,
            scale,
        })
    }

    /// Offers every row of `table` with its expected improvement.
    /// [`Self::choose`] gives the same result faster.
    pub fn choose_from_all(
        &self,
        table: &Embedding,
        improvement: ExpectedImprovement,
        choice: &mut Choice<'_>,
    ) {
        let rows: Vec<u32> = (0..table.len() as u32).collect();
        self.offer(&rows, table, improvement, choice);
    }

    /// Predicts rows of `table` and offers each with its expected improvement.
    pub(super) fn offer(
        &self,
        rows: &[u32],
        table: &Embedding,
        improvement: ExpectedImprovement,
        choice: &mut Choice<'_>,
    ) {
        for rows in rows.chunks(BLOCK) {
            for (&row, prediction) in rows.iter().zip(self.predict(rows, table)) {
                choice.offer(row, improvement.value(prediction));
            }
        }
    }

    /// Predicts some rows of `table`.
    pub fn predict(&self, rows: &[u32], table: &Embedding) -> Vec<Prediction> {
        let mut x = Vec::new();
        self.gather(rows, table, &mut x);
        let mut basis: Vec<Lane> = vec![[0.0; LANES]; rows.len() * PANELS];
        let mut out = vec![Prediction::default(); rows.len()];
        pulp::Arch::new().dispatch(Block {
            surrogate: self,
            x: &x,
            basis: &mut basis,
            out: &mut out,
        });
        out
    }

    /// Replaces the contents of `x` by rows of `table`, standardised.
    pub(super) fn gather(&self, rows: &[u32], table: &Embedding, x: &mut Vec<f32>) {
        x.clear();
        for &row in rows {
            x.extend_from_slice(table.row(ArchIndex(row)));
        }
        self.scale.apply(x);
    }
}

impl Scale {
    /// The smallest deviation.
    pub(super) fn least(&self) -> f32 {
        self.deviation.iter().copied().fold(f32::INFINITY, f32::min)
    }

    /// The mean of each input and one over its deviation.
    pub(super) fn factors(&self) -> impl Iterator<Item = (f32, f32)> + '_ {
        let inputs = self.mean.iter().zip(&self.deviation);
        inputs.map(|(mean, deviation)| (*mean, 1.0 / deviation))
    }

    fn of(rows: &[f32], inputs: usize) -> Self {
        let count = (rows.len() / inputs.max(1)) as f32;
        let mut mean = vec![0.0; inputs];
        let mut deviation = vec![0.0; inputs];
        for row in rows.chunks_exact(inputs.max(1)) {
            mean.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += value);
        }
        for sum in &mut mean {
            *sum /= count;
        }
        for row in rows.chunks_exact(inputs.max(1)) {
            for ((sum, value), mean) in deviation.iter_mut().zip(row).zip(&mean) {
                *sum += (value - mean) * (value - mean);
            }
        }
        for sum in &mut deviation {
            *sum = (*sum / count).sqrt();
            // A constant input carries nothing; dividing by zero would carry it
            // everywhere.
            if *sum == 0.0 {
                *sum = 1.0;
            }
        }
        Self { mean, deviation }
    }

    fn apply(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.mean.len().max(1)) {
            for ((value, mean), deviation) in row.iter_mut().zip(&self.mean).zip(&self.deviation) {
                *value = (*value - mean) / deviation;
            }
        }
    }
}
