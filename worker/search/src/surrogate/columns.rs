//! Bases, means and projections of many rows, from which bounds are computed. Each
//! lane holds a row, so that no sum runs across lanes.
//!
//! The results differ from those of [`super::model`] in their last bits: products
//! are fused into sums where the processor can do so, and the hyperbolic tangent is a
//! quotient of short polynomials. The difference is bounded ([`TANH_ERROR`] and the
//! rounding of the sums), and the bounds allow for it.

#![expect(
    clippy::inline_always,
    reason = "only inlined code gets the vector width"
)]

use super::kernel::{LANES, Lane};
use super::mlp::HIDDEN;

/// Rows taken together: two registers of the widest vectors.
pub(super) const ROWS: usize = 32;

/// A value of each row.
pub(super) type Column = [f32; ROWS];

/// Outputs computed together: with two registers of rows, eight sums at once.
const TILE: usize = 4;

/// Largest error of the hyperbolic tangent here.
pub(super) const TANH_ERROR: f64 = 2e-6;

/// Matrix of `[outputs, inputs]` by tiles: `[outputs / TILE, inputs]`.
#[derive(Debug)]
pub(super) struct Tiles {
    inputs: usize,
    entries: Vec<[f32; TILE]>,
}

/// The network and the mean of the posterior's weights.
#[derive(Debug)]
pub(super) struct Network {
    /// Mean of each input, and one over its deviation.
    pub(super) scale: Vec<(f32, f32)>,
    pub(super) hidden: Tiles,
    pub(super) bias: Vec<f32>,
    pub(super) weights: Vec<f32>,
}

/// Some rows with what is known about them.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// Standardised features, `[inputs]`.
    x: Vec<Column>,
    /// The basis, `[HIDDEN]`.
    pub(super) basis: Vec<Column>,
    pub(super) means: Column,
    /// Squared lengths of the bases, and of the standardised rows.
    pub(super) bases: Column,
    pub(super) inputs: Column,
    /// Of the projections so far: the sum of squares, and the weighted one.
    pub(super) explained: Column,
    pub(super) terms: Column,
}

impl Tiles {
    /// Of as many outputs as whole tiles have.
    pub(super) fn of(outputs: usize, inputs: usize, entry: impl Fn(usize, usize) -> f32) -> Self {
        let entries = (0..outputs / TILE * inputs).map(|at| {
            let (tile, input) = (at / inputs, at % inputs);
            std::array::from_fn(|output| entry(tile * TILE + output, input))
        });
        Self {
            inputs,
            entries: entries.collect(),
        }
    }

    /// The entries of each tile, `[inputs]`.
    #[inline(always)]
    fn iter(&self) -> std::slice::ChunksExact<'_, [f32; TILE]> {
        self.entries.chunks_exact(self.inputs)
    }
}

/// The products of a tile with `left`, `[inputs]`: for each of its outputs two
/// registers of rows.
#[inline(always)]
fn multiply<S: pulp::Simd>(
    simd: S,
    tile: &[[f32; TILE]],
    left: &[Column],
    first: usize,
) -> [[S::f32s; 2]; TILE] {
    let mut sums = [[simd.splat_f32s(0.0); 2]; TILE];
    for (values, entries) in left.iter().zip(tile) {
        let [a, b] = pair(simd, values, first);
        for output in 0..TILE {
            let entry = simd.splat_f32s(entries[output]);
            sums[output][0] = simd.mul_add_e_f32s(entry, a, sums[output][0]);
            sums[output][1] = simd.mul_add_e_f32s(entry, b, sums[output][1]);
        }
    }
    sums
}

impl Columns {
    /// Nothing yet about rows of so many inputs.
    pub(super) fn new(inputs: usize) -> Self {
        let zeros = [0.0; ROWS];
        Self {
            x: vec![zeros; inputs],
            basis: vec![zeros; HIDDEN],
            means: zeros,
            bases: zeros,
            inputs: zeros,
            explained: zeros,
            terms: zeros,
        }
    }

    /// Copies what is known of a row of `other`.
    pub(super) fn copy(&mut self, to: usize, other: &Self, from: usize) {
        for (column, other) in self.basis.iter_mut().zip(&other.basis) {
            column[to] = other[from];
        }
        self.means[to] = other.means[from];
        self.bases[to] = other.bases[from];
        self.inputs[to] = other.inputs[from];
        self.explained[to] = other.explained[from];
        self.terms[to] = other.terms[from];
    }
}

/// Bases and means of rows.
pub(super) struct First<'a> {
    pub(super) network: &'a Network,
    /// Features of the rows, `[rows / LANES, inputs]`; rows that are missing are
    /// computed as zeros.
    pub(super) lanes: &'a [Lane],
    pub(super) columns: &'a mut Columns,
}

impl pulp::WithSimd for First<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        let Self {
            network,
            lanes,
            columns,
        } = self;
        columns.x.fill([0.0; ROWS]);
        let inputs = columns.x.len();
        for (part, lanes) in lanes.chunks_exact(inputs).enumerate() {
            for (column, lane) in columns.x.iter_mut().zip(lanes) {
                column[part * LANES..(part + 1) * LANES].copy_from_slice(lane);
            }
        }
        columns.explained = [0.0; ROWS];
        columns.terms = [0.0; ROWS];
        for first in (0..ROWS / S::F32_LANES).step_by(2) {
            network.add(simd, first, columns);
        }
    }
}

impl Network {
    #[inline(always)]
    fn add<S: pulp::Simd>(&self, simd: S, first: usize, columns: &mut Columns) {
        let mut lengths = [simd.splat_f32s(0.0); 2];
        for (column, &(mean, factor)) in columns.x.iter_mut().zip(&self.scale) {
            let (mean, factor) = (simd.splat_f32s(mean), simd.splat_f32s(factor));
            let mut x = pair(simd, column, first);
            for register in 0..2 {
                x[register] = simd.mul_f32s(simd.sub_f32s(x[register], mean), factor);
                lengths[register] =
                    simd.mul_add_e_f32s(x[register], x[register], lengths[register]);
            }
            store(simd, column, first, x);
        }
        store(simd, &mut columns.inputs, first, lengths);
        let Columns { x, basis, .. } = columns;
        let mut means = [simd.splat_f32s(0.0); 2];
        let mut bases = means;
        let units = self
            .bias
            .as_chunks::<TILE>()
            .0
            .iter()
            .zip(self.weights.as_chunks::<TILE>().0);
        let basis = basis.as_chunks_mut::<TILE>().0.iter_mut();
        for ((tile, (bias, weights)), basis) in self.hidden.iter().zip(units).zip(basis) {
            let mut sums = multiply(simd, tile, x, first);
            for unit in 0..TILE {
                let bias = simd.splat_f32s(bias[unit]);
                let weight = simd.splat_f32s(weights[unit]);
                for register in 0..2 {
                    let value = tanh(simd, simd.add_f32s(sums[unit][register], bias));
                    means[register] = simd.mul_add_e_f32s(weight, value, means[register]);
                    bases[register] = simd.mul_add_e_f32s(value, value, bases[register]);
                    sums[unit][register] = value;
                }
                store(simd, &mut basis[unit], first, sums[unit]);
            }
        }
        store(simd, &mut columns.means, first, means);
        store(simd, &mut columns.bases, first, bases);
    }
}

/// Projections of rows.
pub(super) struct Project<'a> {
    pub(super) directions: &'a Tiles,
    /// The weight of the square of each.
    pub(super) weights: &'a [f32],
    pub(super) columns: &'a mut Columns,
}

impl pulp::WithSimd for Project<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        let Self {
            directions,
            weights,
            columns,
        } = self;
        for first in (0..ROWS / S::F32_LANES).step_by(2) {
            let mut explained = pair(simd, &columns.explained, first);
            let mut terms = pair(simd, &columns.terms, first);
            let weights = weights.as_chunks::<TILE>().0;
            for (tile, weights) in directions.iter().zip(weights) {
                let sums = multiply(simd, tile, &columns.basis, first);
                for direction in 0..TILE {
                    let weight = simd.splat_f32s(weights[direction]);
                    for register in 0..2 {
                        let sum = sums[direction][register];
                        let square = simd.mul_f32s(sum, sum);
                        explained[register] = simd.add_f32s(explained[register], square);
                        terms[register] = simd.mul_add_e_f32s(weight, square, terms[register]);
                    }
                }
            }
            store(simd, &mut columns.explained, first, explained);
            store(simd, &mut columns.terms, first, terms);
        }
    }
}

/// Two registers of rows, from the `first` on.
#[inline(always)]
fn pair<S: pulp::Simd>(_: S, column: &Column, first: usize) -> [S::f32s; 2] {
    let (registers, _) = S::as_simd_f32s(column);
    [registers[first], registers[first + 1]]
}

#[inline(always)]
fn store<S: pulp::Simd>(_: S, column: &mut Column, first: usize, values: [S::f32s; 2]) {
    let (registers, _) = S::as_mut_simd_f32s(column);
    registers[first..first + 2].copy_from_slice(&values);
}

/// Hyperbolic tangent within [`TANH_ERROR`]: `x P(x²) / Q(x²)`, a minimax fit up to
/// where the function is almost 1.
#[inline(always)]
fn tanh<S: pulp::Simd>(simd: S, x: S::f32s) -> S::f32s {
    const END: f32 = 7.0;
    const UPPER: [f32; 4] = [3.930_048e-6, 2.276_997_7e-3, 0.123_021_94, 0.999_995_7];
    const LOWER: [f32; 4] = [1.423_517_3e-4, 2.107_222_4e-2, 0.456_340_43, 1.0];
    let x = simd.min_f32s(x, simd.splat_f32s(END));
    let x = simd.max_f32s(x, simd.splat_f32s(-END));
    let square = simd.mul_f32s(x, x);
    let (mut upper, mut lower) = (simd.splat_f32s(UPPER[0]), simd.splat_f32s(LOWER[0]));
    for power in 1..UPPER.len() {
        upper = simd.mul_add_e_f32s(upper, square, simd.splat_f32s(UPPER[power]));
        lower = simd.mul_add_e_f32s(lower, square, simd.splat_f32s(LOWER[power]));
    }
    simd.div_f32s(simd.mul_f32s(x, upper), lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_is_as_close_as_bounds_assume() {
        let simd = pulp::Scalar::new();
        let mut worst = 0.0_f64;
        for step in -200_000..=200_000 {
            let x = step as f32 * 6e-5;
            let error = f64::from(tanh(simd, x)) - f64::from(x).tanh();
            worst = worst.max(error.abs());
        }
        assert!(worst < 0.8 * TANH_ERROR, "{worst}");
        for x in [40.0, f32::MAX, f32::INFINITY] {
            let ends = [tanh(simd, x), -tanh(simd, -x)];
            assert!(
                ends.iter()
                    .all(|end| (f64::from(*end) - 1.0).abs() < TANH_ERROR)
            );
        }
    }
}
