//! The posterior of Bayesian linear regression at given (α, β), arranged so that
//! means and variances of many rows are blocked single-precision products.
//!
//! With `K = β ΦᵀΦ + α I = L Lᵀ`, the variance `1/β + φᵀ K⁻¹ φ` is computed as
//! `1/β + |L⁻¹ φ|²`: a sum of squares that cannot cancel, over a triangle, which
//! is half the work of the full form.

#![expect(
    clippy::inline_always,
    reason = "only inlined code gets the vector width"
)]

use super::evidence::{LogHyper, basis_times, gram_of_basis};
use super::kernel::{self, LANES, Lane};
use super::linalg::{self, NotPositiveDefinite};
use super::mlp::{HIDDEN, PANELS};
use super::wide;

/// A predicted value with its variance.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Prediction {
    /// Expected accuracy.
    pub mean: f32,
    /// Variance of a new observation, noise included.
    pub variance: f32,
}

/// The posterior over the weights of the basis.
#[derive(Debug, Clone)]
pub struct Posterior {
    weights: [Lane; PANELS],
    /// L⁻¹ panel by panel; panel `p` has the `LANES * (p + 1)` inputs that its
    /// outputs depend on.
    factor: Vec<Lane>,
    noise: f32,
    /// K, `[HIDDEN, HIDDEN]`.
    precision: Vec<f64>,
}

impl Posterior {
    /// The posterior after observing `targets`, `[rows]`, at `basis`,
    /// `[rows, PANELS]`.
    pub fn new(
        basis: &[Lane],
        targets: &[f32],
        [log_alpha, log_noise]: LogHyper,
    ) -> Result<Self, NotPositiveDefinite> {
        let (alpha, beta) = (libm::exp(log_alpha), libm::exp(-log_noise));
        let phi: Vec<f64> = basis.as_flattened().iter().map(|&v| v as f64).collect();
        let y: Vec<f64> = targets.iter().map(|&target| target as f64).collect();
        let mut k = gram_of_basis(&phi);
        for entry in &mut k {
            *entry *= beta;
        }
        (0..HIDDEN).for_each(|i| k[i * HIDDEN + i] += alpha);
        let precision = k.clone();
        linalg::cholesky(&mut k, HIDDEN)?;
        let mut mean = basis_times(&phi, &y);
        linalg::solve_lower(&k, HIDDEN, &mut mean);
        linalg::solve_lower_transposed(&k, HIDDEN, &mut mean);
        let weight = |unit: usize| (beta * mean[unit]) as f32;
        let inverse = lower_inverse(&k);
        let mut factor = Vec::with_capacity(LANES * PANELS * (PANELS + 1) / 2);
        for panel in 0..PANELS {
            for input in 0..LANES * (panel + 1) {
                factor.push(std::array::from_fn(|lane| {
                    inverse[(panel * LANES + lane) * HIDDEN + input] as f32
                }));
            }
        }
        Ok(Self {
            weights: std::array::from_fn(|panel| {
                std::array::from_fn(|lane| weight(panel * LANES + lane))
            }),
            factor,
            noise: libm::exp(log_noise) as f32,
            precision,
        })
    }

    /// The mean of the weights, one a function of the basis.
    pub fn weights(&self) -> &[Lane; PANELS] {
        &self.weights
    }

    /// Variance that no observation takes away.
    pub fn noise(&self) -> f32 {
        self.noise
    }

    /// The matrix K, whose inverse is the covariance of the weights,
    /// `[HIDDEN, HIDDEN]`.
    pub fn precision(&self) -> &[f64] {
        &self.precision
    }

    /// Predicts the rows of `basis`, `[rows, PANELS]`, into `out`, `[rows]`.
    #[inline(always)]
    pub(super) fn predict<S: pulp::Simd>(&self, simd: S, basis: &[Lane], out: &mut [Prediction]) {
        const TILE: usize = 4;
        let (tiles, rest) = basis.as_chunks::<PANELS>().0.as_chunks::<TILE>();
        let (out, out_rest) = out.as_chunks_mut::<TILE>();
        for (rows, out) in tiles.iter().zip(out) {
            *out = self.predict_rows(simd, rows);
        }
        for (row, out) in rest.iter().zip(out_rest) {
            [*out] = self.predict_rows(simd, std::array::from_ref(row));
        }
    }

    #[inline(always)]
    fn predict_rows<S: pulp::Simd, const R: usize>(
        &self,
        simd: S,
        rows: &[[Lane; PANELS]; R],
    ) -> [Prediction; R] {
        let mut squares = [[0.0; LANES]; R];
        for part in 0..wide::parts::<S>() {
            let mut totals = [simd.splat_f32s(0.0); R];
            let mut factor = self.factor.as_slice();
            for panel in 0..PANELS {
                let inputs = LANES * (panel + 1);
                let (current, rest) = factor.split_at(inputs);
                factor = rest;
                let mut sums = [simd.splat_f32s(0.0); R];
                for (input, lane) in current.iter().enumerate() {
                    let entry = wide::load(simd, lane, part);
                    for row in 0..R {
                        let value = simd.splat_f32s(rows[row].as_flattened()[input]);
                        sums[row] = simd.add_f32s(sums[row], simd.mul_f32s(value, entry));
                    }
                }
                for row in 0..R {
                    let square = simd.mul_f32s(sums[row], sums[row]);
                    totals[row] = simd.add_f32s(totals[row], square);
                }
            }
            for row in 0..R {
                wide::store(simd, &mut squares[row], part, totals[row]);
            }
        }
        let mut out = [Prediction::default(); R];
        for row in 0..R {
            out[row] = Prediction {
                mean: wide::dot(simd, &rows[row], &self.weights),
                variance: self.noise + kernel::sum(&squares[row]),
            };
        }
        out
    }
}

/// The inverse of the lower triangle of `l`, `[HIDDEN, HIDDEN]`; zero above.
fn lower_inverse(l: &[f64]) -> Vec<f64> {
    let mut inverse = vec![0.0; HIDDEN * HIDDEN];
    for row in 0..HIDDEN {
        let (above, current) = inverse.split_at_mut(row * HIDDEN);
        let current = &mut current[..=row];
        for (column, &entry) in l[row * HIDDEN..row * HIDDEN + row].iter().enumerate() {
            let other = &above[column * HIDDEN..=column * HIDDEN + column];
            current
                .iter_mut()
                .zip(other)
                .for_each(|(c, o)| *c -= entry * o);
        }
        let pivot = l[row * HIDDEN + row];
        current[row] = 1.0;
        for entry in current {
            *entry /= pivot;
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surrogate::evidence::tests::data;

    /// Means and variances from an explicit inverse in `numpy` 2.4.6, at three
    /// further rows of the same formula.
    #[test]
    fn predictions_agree_with_an_explicit_inverse() {
        let (all, _) = data(23);
        let (basis, targets) = data(20);
        let posterior = Posterior::new(&basis, &targets, [0.4, -2.5]).unwrap();
        let mut out = [Prediction::default(); 3];
        posterior.predict(pulp::Scalar::new(), &all[20 * PANELS..], &mut out);
        for (got, (mean, variance)) in out.iter().zip([
            (0.171_201_028_8, 9.077_151_883_4),
            (-0.020_123_122_8, 9.366_724_026_1),
            (0.052_797_856_0, 10.077_714_756_8),
        ]) {
            assert!((got.mean as f64 - mean).abs() < 2e-6, "{got:?}");
            assert!((got.variance as f64 - variance).abs() < 2e-5, "{got:?}");
        }
    }

    /// One basis function that alone is active makes everything scalar: with
    /// `n` observations `y` at `φ = 1`, the mean is `n β y / (α + n β)` and the
    /// variance `1/β + 1 / (α + n β)`.
    #[test]
    fn a_single_active_function_is_scalar_regression() {
        let (alpha, beta, n) = (2.0_f64, 5.0_f64, 7);
        let mut basis = vec![[0.0; LANES]; n * PANELS];
        basis
            .iter_mut()
            .step_by(PANELS)
            .for_each(|lane| lane[3] = 1.0);
        let hyper = [alpha.ln(), -beta.ln()];
        let posterior = Posterior::new(&basis, &vec![0.8; n], hyper).unwrap();
        let mut out = [Prediction::default(); 7];
        posterior.predict(pulp::Scalar::new(), &basis, &mut out);
        let precision = alpha + n as f64 * beta;
        for got in out {
            assert!((got.mean as f64 - n as f64 * beta * 0.8 / precision).abs() < 1e-6);
            assert!((got.variance as f64 - 1.0 / beta - 1.0 / precision).abs() < 1e-6);
        }
    }
}
