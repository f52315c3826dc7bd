//! The marginal likelihood of Bayesian linear regression on the network's basis,
//! by which the prior precision α and the noise 1/β are chosen, as the library
//! `pybnn` that the published code uses computes it, or correctly.
//!
//! With Φ the basis of the data, `[rows, HIDDEN]`, and `K = β Φᵀ Φ + α I`, every
//! term depends on (α, β) only through shifted and scaled copies of one fixed
//! symmetric matrix: `ΦΦᵀ` where there are fewer rows than basis functions, else
//! `ΦᵀΦ`. It is brought to tridiagonal form once; each (α, β) then costs a few
//! hundred operations instead of a 128×128 inversion.
//!
//! Not here: the posterior at the chosen (α, β), which is `posterior`.

use std::f64::consts::PI;

use super::kernel::{self, Lane};
use super::linalg::{Tridiagonal, inner, tridiagonalise};
use super::mlp::{HIDDEN, PANELS};
use super::nelder_mead;

/// Which marginal likelihood is maximised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likelihood {
    /// The correct one times the prior that the start is drawn from.
    Exact,
    /// With the defects of protocol notes, Q9: the residual's norm is not
    /// squared, the determinant is computed as such, so that it overflows or
    /// saturates at 1e-10, and the prior is left out.
    Defective(Precision),
}

/// Where the determinant of the defective likelihood overflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// `NumPy` 1 keeps the Gram matrix in single precision (protocol notes,
    /// section 11): a determinant beyond 3.4e38 is infinite, which 128 basis
    /// functions exceed easily, and the likelihood minus infinity. The last
    /// subtractions round to single precision too. The rounding of the
    /// Gram matrix and its inverse is not imitated.
    Single,
    /// `NumPy` 2 promotes to double precision: the limit is 1.8e308.
    Double,
}

/// Prior precision and noise variance on a logarithmic scale: (ln α, ln 1/β).
pub type LogHyper = [f64; 2];

/// Mean of the prior of ln 1/β; that of ln α is zero, both have unit variance.
pub const LOG_NOISE_MEAN: f64 = -3.0;

/// Bound of both logarithms: outside, the likelihood is zero.
const BOUND: f64 = 10.0;

/// Likelihood of the data as a function of (ln α, ln 1/β).
#[derive(Debug)]
pub struct Evidence {
    likelihood: Likelihood,
    rows: usize,
    form: Form,
    tridiagonal: Tridiagonal,
    /// The rotated right-hand side: targets, or basis times targets.
    right: Vec<f64>,
    target_square: f64,
    solution: Vec<f64>,
    pivots: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `ΦΦᵀ`, `[rows, rows]`.
    Rows,
    /// `ΦᵀΦ`, `[HIDDEN, HIDDEN]`.
    Basis,
}

/// The parts of the likelihood that depend on the data.
struct Terms {
    log_determinant: f64,
    residual_square: f64,
    weight_square: f64,
}

impl Evidence {
    /// Prepares the likelihood of `targets`, `[rows]`, under `basis`,
    /// `[rows, PANELS]`.
    pub fn new(basis: &[Lane], targets: &[f32], likelihood: Likelihood) -> Self {
        let rows = targets.len();
        let phi: Vec<f64> = basis.as_flattened().iter().map(|&v| v as f64).collect();
        debug_assert_eq!(basis.len(), rows * PANELS);
        let y: Vec<f64> = targets.iter().map(|&target| target as f64).collect();
        let form = if rows < HIDDEN {
            Form::Rows
        } else {
            Form::Basis
        };
        let (mut gram, mut right) = match form {
            Form::Rows => (gram_of_rows(&phi), y.clone()),
            Form::Basis => (gram_of_basis(&phi), basis_times(&phi, &y)),
        };
        let tridiagonal = tridiagonalise(&mut gram, &mut right);
        let size = right.len();
        Self {
            likelihood,
            rows,
            form,
            tridiagonal,
            right,
            target_square: inner(&y, &y),
            solution: vec![0.0; size],
            pivots: vec![0.0; size],
        }
    }

    /// The hyper-parameters that a simplex search from `start` ends at.
    pub fn maximise(&mut self, start: LogHyper) -> LogHyper {
        nelder_mead::minimise(|hyper| -self.log_likelihood(hyper), start).point
    }

    /// The logarithm of the likelihood; minus infinity outside the bounds.
    pub fn log_likelihood(&mut self, hyper: LogHyper) -> f64 {
        if hyper.iter().any(|value| value.abs() > BOUND) {
            return f64::NEG_INFINITY;
        }
        let [log_alpha, log_noise] = hyper;
        let (alpha, beta) = (libm::exp(log_alpha), libm::exp(-log_noise));
        let terms = self.terms(log_alpha, alpha, beta);
        let (functions, rows) = (HIDDEN as f64, self.rows as f64);
        let front =
            functions / 2.0 * log_alpha - rows / 2.0 * log_noise - rows / 2.0 * libm::log(2.0 * PI);
        let weights = alpha / 2.0 * terms.weight_square;
        match self.likelihood {
            Likelihood::Exact => {
                let prior = log_normal(log_alpha) + log_normal(log_noise - LOG_NOISE_MEAN);
                let residual = beta / 2.0 * terms.residual_square;
                front - residual - weights - 0.5 * terms.log_determinant + prior
            }
            Likelihood::Defective(precision) => {
                let residual = beta / 2.0 * terms.residual_square.sqrt();
                let fit = front - residual;
                let complexity = 0.5 * saturating(terms.log_determinant, precision);
                match precision {
                    Precision::Double => fit - weights - complexity,
                    Precision::Single => {
                        let fit = fit as f32 - weights as f32;
                        (fit - complexity as f32) as f64
                    }
                }
            }
        }
    }

    fn terms(&mut self, log_alpha: f64, alpha: f64, beta: f64) -> Terms {
        let z = &mut self.solution;
        let log_determinant = self
            .tridiagonal
            .solve(beta, alpha, &self.right, z, &mut self.pivots);
        match self.form {
            // The weights are β Φᵀ z and the residual is α z.
            Form::Rows => Terms {
                log_determinant: log_determinant + (HIDDEN - self.rows) as f64 * log_alpha,
                residual_square: alpha * alpha * inner(z, z),
                weight_square: beta * beta * self.tridiagonal.quadratic(z),
            },
            // The weights are β z.
            Form::Basis => {
                let explained = 2.0 * beta * inner(z, &self.right);
                let fitted = beta * beta * self.tridiagonal.quadratic(z);
                Terms {
                    log_determinant,
                    residual_square: (self.target_square - explained + fitted).max(0.0),
                    weight_square: beta * beta * inner(z, z),
                }
            }
        }
    }
}

/// `ln(det + 1e-10)` where the determinant itself overflows or underflows.
fn saturating(log_determinant: f64, precision: Precision) -> f64 {
    let limit = match precision {
        Precision::Single => f32::MAX as f64,
        Precision::Double => f64::MAX,
    };
    if log_determinant > libm::log(limit) {
        f64::INFINITY
    } else {
        libm::log(libm::exp(log_determinant) + 1e-10)
    }
}

fn log_normal(x: f64) -> f64 {
    -0.5 * (x * x + libm::log(2.0 * PI))
}

/// `ΦΦᵀ`.
fn gram_of_rows(phi: &[f64]) -> Vec<f64> {
    let rows = phi.len() / HIDDEN;
    let mut gram = vec![0.0; rows * rows];
    for (i, row) in phi.chunks_exact(HIDDEN).enumerate() {
        for (j, other) in phi.chunks_exact(HIDDEN).take(i + 1).enumerate() {
            let product = inner(row, other);
            gram[i * rows + j] = product;
            gram[j * rows + i] = product;
        }
    }
    gram
}

/// `ΦᵀΦ`.
pub(super) fn gram_of_basis(phi: &[f64]) -> Vec<f64> {
    let mut gram = vec![0.0; HIDDEN * HIDDEN];
    kernel::dispatch(Gram {
        phi,
        gram: &mut gram,
    });
    gram
}

/// The product by tiles that stay in registers; every entry is summed in the order
/// of the rows.
struct Gram<'a> {
    phi: &'a [f64],
    gram: &'a mut [f64],
}

impl pulp::WithSimd for Gram<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        const ROWS: usize = 4;
        const COLUMNS: usize = 8;
        for top in (0..HIDDEN).step_by(ROWS) {
            // The rest is the mirror image.
            for left in (0..top + ROWS).step_by(COLUMNS) {
                let mut sums = [[0.0; COLUMNS]; ROWS];
                for row in self.phi.chunks_exact(HIDDEN) {
                    let values = &row[top..top + ROWS];
                    let others = &row[left..left + COLUMNS];
                    for i in 0..ROWS {
                        for j in 0..COLUMNS {
                            sums[i][j] += values[i] * others[j];
                        }
                    }
                }
                for (row, sums) in (top..).zip(sums) {
                    for (column, sum) in (left..).zip(sums) {
                        self.gram[row * HIDDEN + column] = sum;
                        self.gram[column * HIDDEN + row] = sum;
                    }
                }
            }
        }
    }
}

/// `Φᵀy`.
pub(super) fn basis_times(phi: &[f64], y: &[f64]) -> Vec<f64> {
    let mut product = vec![0.0; HIDDEN];
    for (row, y) in phi.chunks_exact(HIDDEN).zip(y) {
        product
            .iter_mut()
            .zip(row)
            .for_each(|(p, value)| *p += y * value);
    }
    product
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::surrogate::kernel::LANES;

    /// Deterministic data that the oracle script builds by the same formula.
    pub(crate) fn data(rows: usize) -> (Vec<Lane>, Vec<f32>) {
        let basis = |at: usize, lane: usize| {
            let (i, j) = ((at / PANELS) as f64, (at % PANELS * LANES + lane) as f64);
            (1.5 * (0.37 * (i + 1.0) * (j + 1.0) + 0.011 * j * j).sin()).tanh() as f32
        };
        let phi = (0..rows * PANELS)
            .map(|at| std::array::from_fn(|lane| basis(at, lane)))
            .collect();
        let targets = (0..rows)
            .map(|i| (0.9 + 0.05 * (i as f64).sin()) as f32)
            .collect();
        (phi, targets)
    }

    /// (ln α, ln 1/β), then the likelihood of `pybnn`'s formula under `NumPy`
    /// 1.26.4 and 2.4.6, then the correct one from
    /// `scipy.stats.multivariate_normal` (1.17.1) plus the prior's logarithm.
    type Row = (LogHyper, f64, f64, f64);

    const NEVER: f64 = f64::NEG_INFINITY;

    const ROWS_20: [Row; 6] = [
        ([0.0, -3.0], NEVER, -57.805_387_108_6, -59.580_086_342_183),
        (
            [-1.2, -2.0],
            -69.611_816_4,
            -69.611_976_743_2,
            -72.650_913_399_666,
        ),
        ([-0.6, -4.5], NEVER, -63.666_960_783_3, -66.775_914_717_217),
        ([2.0, -6.0], NEVER, -39.539_339_838_7, -47.406_860_801_578),
        (
            [-3.0, 1.0],
            -208.879_318_2,
            -208.879_319_394_4,
            -101.910_652_942_951,
        ),
        ([4.0, -5.0], NEVER, -32.166_838_248_7, -40.754_876_303_7),
    ];

    const ROWS_140: [Row; 6] = [
        ([0.0, -3.0], NEVER, -307.882_600_959_4, -546.636_248_708_8),
        ([-1.2, -2.0], NEVER, -321.743_754_836_4, -410.627_320_412_5),
        ([-0.6, -4.5], NEVER, NEVER, -1_465.203_960_125),
        ([2.0, -6.0], NEVER, NEVER, -6_125.337_001_079),
        ([-3.0, 1.0], NEVER, -439.638_539_359_6, -458.868_805_923_9),
        ([4.0, -5.0], NEVER, NEVER, -3_585.935_644_369),
    ];

    fn check(got: f64, expected: f64, tolerance: f64) {
        let close = (got - expected).abs() <= tolerance * expected.abs().max(1.0);
        assert!(
            close || (got == NEVER && expected == NEVER),
            "{got} {expected}"
        );
    }

    #[test]
    fn likelihoods_agree_with_numpy_and_scipy() {
        for (rows, table) in [(20, ROWS_20), (140, ROWS_140)] {
            let (phi, y) = data(rows);
            let single = Likelihood::Defective(Precision::Single);
            let double = Likelihood::Defective(Precision::Double);
            for (hyper, numpy1, numpy2, exact) in table {
                let at = |kind| Evidence::new(&phi, &y, kind).log_likelihood(hyper);
                check(at(single), numpy1, 1e-5);
                // NumPy forms the Gram matrix in single precision before it promotes.
                check(at(double), numpy2, 5e-5);
                check(at(Likelihood::Exact), exact, 1e-9);
            }
        }
    }

    /// Where `fmin` ends on the same data under both versions of `NumPy`.
    #[test]
    fn searches_end_where_numpy_and_scipy_end() {
        let single = Likelihood::Defective(Precision::Single);
        let double = Likelihood::Defective(Precision::Double);
        let cases: [(usize, Likelihood, LogHyper, LogHyper); 5] = [
            // Infinite on the first simplex: the start is the result.
            (20, single, [0.5, -3.0], [0.5, -3.0]),
            (140, single, [-2.0, -3.2], [-2.0, -3.2]),
            (20, single, [-2.0, -3.2], [0.335_968, 1.457_840]),
            (20, double, [0.5, -3.0], [5.480_505_5, -0.690_417]),
            (140, double, [0.5, -3.0], [4.628_808, -1.673_399]),
        ];
        for (rows, kind, start, expected) in cases {
            let (phi, y) = data(rows);
            let got = Evidence::new(&phi, &y, kind).maximise(start);
            // Rounding leaves a plateau about the optimum.
            let tolerance = 0.02;
            for axis in 0..2 {
                let distance = (got[axis] - expected[axis]).abs();
                assert!(distance < tolerance, "{rows} {start:?}: {got:?}");
            }
        }
    }

    #[test]
    fn the_gram_matrix_is_the_sum_of_outer_products_to_the_bit() {
        let (phi, _) = data(37);
        let phi: Vec<f64> = phi.as_flattened().iter().map(|&v| f64::from(v)).collect();
        let mut expected = vec![0.0; HIDDEN * HIDDEN];
        for row in phi.chunks_exact(HIDDEN) {
            for (value, into) in row.iter().zip(expected.chunks_exact_mut(HIDDEN)) {
                for (g, other) in into.iter_mut().zip(row) {
                    *g += value * other;
                }
            }
        }
        assert_eq!(gram_of_basis(&phi), expected);
    }

    #[test]
    fn the_bounds_have_no_likelihood_beyond_them() {
        let (phi, y) = data(5);
        let mut evidence = Evidence::new(&phi, &y, Likelihood::Exact);
        assert!(evidence.log_likelihood([10.0, -10.0]).is_finite());
        check(evidence.log_likelihood([10.1, 0.0]), NEVER, 0.0);
        check(evidence.log_likelihood([0.0, -10.1]), NEVER, 0.0);
    }
}
