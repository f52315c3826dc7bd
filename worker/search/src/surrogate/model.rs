//! One round's surrogate: a new network trained on everything bought so far, its
//! basis regressed on, and a prediction for every architecture of the table.

#![expect(
    clippy::inline_always,
    reason = "only inlined code gets the vector width"
)]

use super::evidence::{Evidence, LOG_NOISE_MEAN, Likelihood, LogHyper};
use super::kernel::{LANES, Lane};
use super::linalg::NotPositiveDefinite;
use super::mlp::{Mlp, PANELS};
use super::posterior::{Posterior, Prediction};
use crate::embedding::Embedding;
use crate::rng::Stream;

/// Rows predicted at a time: their basis, 16 KiB, stays in the first cache.
const BLOCK: usize = 32;

/// A trained surrogate.
#[derive(Debug)]
pub struct Surrogate {
    network: Mlp,
    posterior: Posterior,
    scale: Scale,
}

/// Mean and deviation of each input over the training data.
#[derive(Debug)]
struct Scale {
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
    fn with_simd<S: pulp::Simd>(self, _: S) {
        self.surrogate.network.basis(self.x, self.basis);
        self.surrogate.posterior.predict(self.basis, self.out);
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
        network.basis(&x, &mut basis);
        // The released library draws the start after the shuffles, from the same
        // generator: even one that is seeded anew every round gives other starts
        // as the data grow.
        let start: LogHyper = [shuffles.normal(), LOG_NOISE_MEAN + shuffles.normal()];
        let hyper = Evidence::new(&basis, targets, likelihood).maximise(start);
        let posterior = Posterior::new(&basis, targets, hyper)?;
        Ok(Self {
            network,
            posterior,
            scale,
        })
    }

    /// Predicts every row of `table` into `out`, in the table's order.
    pub fn predict(&self, table: &Embedding, out: &mut Vec<Prediction>) {
        out.clear();
        out.resize(table.len(), Prediction::default());
        let mut x = Vec::with_capacity(BLOCK * table.dims());
        let mut basis: Vec<Lane> = vec![[0.0; LANES]; BLOCK * PANELS];
        for (rows, out) in table
            .rows()
            .chunks(BLOCK * table.dims())
            .zip(out.chunks_mut(BLOCK))
        {
            x.clear();
            x.extend_from_slice(rows);
            self.scale.apply(&mut x);
            let basis = &mut basis[..out.len() * PANELS];
            pulp::Arch::new().dispatch(Block {
                surrogate: self,
                x: &x,
                basis,
                out,
            });
        }
    }
}

impl Scale {
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
