//! The kernels of training in explicit vectors, for every width the same operations
//! in the same order on each value as the loops of [`kernel`], hence the same bits.
//! The compiler does not turn those loops into code for the widest vectors.

#![expect(
    clippy::inline_always,
    reason = "only inlined code gets the vector width"
)]

use std::f32::consts::LOG2_E;

use super::kernel::{self, LANES, Lane};

/// Registers that a lane takes.
#[inline(always)]
pub(super) const fn parts<S: pulp::Simd>() -> usize {
    LANES / S::F32_LANES
}

/// One register of a lane.
#[inline(always)]
pub(super) fn load<S: pulp::Simd>(_: S, lane: &Lane, part: usize) -> S::f32s {
    let (registers, _) = S::as_simd_f32s(lane);
    registers[part]
}

#[inline(always)]
pub(super) fn store<S: pulp::Simd>(_: S, lane: &mut Lane, part: usize, value: S::f32s) {
    let (registers, _) = S::as_mut_simd_f32s(lane);
    registers[part] = value;
}

/// [`kernel::affine`] followed by [`kernel::tanh`].
#[inline(always)]
pub(super) fn layer<S: pulp::Simd>(
    simd: S,
    x: &[f32],
    inputs: usize,
    weights: &[Lane],
    bias: &[Lane],
    out: &mut [Lane],
) {
    // Five rows at once keep the adders busy, and two times five are a batch.
    const TILE: usize = 5;
    let width = bias.len();
    let rows = out.len() / width;
    let whole = rows - rows % TILE;
    for first in (0..whole).step_by(TILE) {
        let (x, out) = (&x[first * inputs..], &mut out[first * width..]);
        layer_of::<S, TILE>(simd, x, inputs, weights, bias, out);
    }
    for row in whole..rows {
        let (x, out) = (&x[row * inputs..], &mut out[row * width..]);
        layer_of::<S, 1>(simd, x, inputs, weights, bias, out);
    }
}

/// The same of the first `R` rows.
#[inline(always)]
fn layer_of<S: pulp::Simd, const R: usize>(
    simd: S,
    x: &[f32],
    inputs: usize,
    weights: &[Lane],
    bias: &[Lane],
    out: &mut [Lane],
) {
    let width = bias.len();
    let mut rows = [x; R];
    for row in 0..R {
        rows[row] = &x[row * inputs..(row + 1) * inputs];
    }
    for (panel, (weights, bias)) in weights.chunks_exact(inputs).zip(bias).enumerate() {
        for part in 0..parts::<S>() {
            let mut sums = [load(simd, bias, part); R];
            for input in 0..inputs {
                let weight = load(simd, &weights[input], part);
                for row in 0..R {
                    let value = simd.splat_f32s(rows[row][input]);
                    sums[row] = simd.add_f32s(sums[row], simd.mul_f32s(value, weight));
                }
            }
            for row in 0..R {
                let value = tanh(simd, sums[row]);
                store(simd, &mut out[row * width + panel], part, value);
            }
        }
    }
}

/// [`kernel::affine_gradient`].
#[inline(always)]
pub(super) fn affine_gradient<S: pulp::Simd>(
    simd: S,
    x: &[f32],
    inputs: usize,
    out: &[Lane],
    weights: &mut [Lane],
    bias: &mut [Lane],
) {
    let width = bias.len();
    for (panel, (weights, bias)) in weights.chunks_exact_mut(inputs).zip(bias).enumerate() {
        for part in 0..parts::<S>() {
            let mut total = simd.splat_f32s(0.0);
            for row in out.chunks_exact(width) {
                total = simd.add_f32s(total, load(simd, &row[panel], part));
            }
            store(simd, bias, part, total);
            let whole = inputs - inputs % 8;
            for first in (0..whole).step_by(8) {
                products::<S, 8>(simd, x, inputs, first, out, width, panel, part, weights);
            }
            for first in whole..inputs {
                products::<S, 1>(simd, x, inputs, first, out, width, panel, part, weights);
            }
        }
    }
}

/// `Σ_row x[row, input] · out[row, panel]` for `N` inputs from `first` on.
#[expect(clippy::too_many_arguments, reason = "an inlined inner loop")]
#[inline(always)]
fn products<S: pulp::Simd, const N: usize>(
    simd: S,
    x: &[f32],
    inputs: usize,
    first: usize,
    out: &[Lane],
    width: usize,
    panel: usize,
    part: usize,
    weights: &mut [Lane],
) {
    let mut totals = [simd.splat_f32s(0.0); N];
    for (row, out) in x.chunks_exact(inputs).zip(out.chunks_exact(width)) {
        let out = load(simd, &out[panel], part);
        let values = &row[first..first + N];
        for input in 0..N {
            let value = simd.splat_f32s(values[input]);
            totals[input] = simd.add_f32s(totals[input], simd.mul_f32s(value, out));
        }
    }
    for input in 0..N {
        store(simd, &mut weights[first + input], part, totals[input]);
    }
}

/// Inner product of two rows of panels.
#[inline(always)]
pub(super) fn dot<S: pulp::Simd>(simd: S, a: &[Lane], b: &[Lane]) -> f32 {
    let mut lane = [0.0; LANES];
    for part in 0..parts::<S>() {
        let mut total = simd.splat_f32s(0.0);
        for (a, b) in a.iter().zip(b) {
            let product = simd.mul_f32s(load(simd, a, part), load(simd, b, part));
            total = simd.add_f32s(total, product);
        }
        store(simd, &mut lane, part, total);
    }
    kernel::sum(&lane)
}

/// [`kernel::tanh`], where the constants are explained.
#[inline(always)]
fn tanh<S: pulp::Simd>(simd: S, value: S::f32s) -> S::f32s {
    let constant = |value: f32| simd.splat_f32s(value);
    let magnitude = simd.min_f32s(simd.abs_f32s(value), constant(kernel::SATURATED));
    let x = simd.mul_f32s(constant(-2.0), magnitude);
    let round = constant(kernel::ROUND);
    let shifted = simd.add_f32s(simd.mul_f32s(x, constant(LOG2_E)), round);
    let power = simd.sub_f32s(shifted, round);
    let rest = simd.sub_f32s(x, simd.mul_f32s(power, constant(kernel::LN_2_HIGH)));
    let rest = simd.sub_f32s(rest, simd.mul_f32s(power, constant(kernel::LN_2_LOW)));
    let one = simd.splat_u32s(1.0_f32.to_bits());
    let bits = simd.transmute_u32s_f32s(shifted);
    let bits = simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23));
    let scale = simd.transmute_f32s_u32s(simd.add_u32s(bits, one));
    let mut taylor = constant(kernel::TAYLOR[0]);
    for power in 1..kernel::TAYLOR.len() {
        let more = constant(kernel::TAYLOR[power]);
        taylor = simd.add_f32s(simd.mul_f32s(taylor, rest), more);
    }
    let fraction = simd.mul_f32s(scale, simd.mul_f32s(taylor, rest));
    let less_one = simd.add_f32s(fraction, simd.sub_f32s(scale, constant(1.0)));
    let result = simd.div_f32s(less_one, simd.add_f32s(constant(2.0), less_one));
    let sign = simd.and_u32s(
        simd.transmute_u32s_f32s(value),
        simd.splat_u32s((-0.0_f32).to_bits()),
    );
    let result = simd.transmute_u32s_f32s(simd.abs_f32s(result));
    simd.transmute_f32s_u32s(simd.or_u32s(result, sign))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// What is compared, once a width.
    struct Compare {
        rows: usize,
        inputs: usize,
    }

    impl pulp::WithSimd for Compare {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, simd: S) {
            const WIDTH: usize = 3;
            let Self { rows, inputs } = self;
            let mut rng = Stream::new(b"wide", "test", (rows * 100 + inputs) as u64);
            let mut lanes = |count: usize| -> Vec<Lane> {
                let lane = |_| std::array::from_fn(|_| 2.0 * rng.normal() as f32);
                (0..count).map(lane).collect()
            };
            let (weights, bias, slope) = (lanes(WIDTH * inputs), lanes(WIDTH), lanes(rows * WIDTH));
            let mut x: Vec<f32> = lanes(rows * inputs).iter().map(|lane| lane[0]).collect();
            // The end of the range, and negative zero.
            x[0] = 1e30;
            x[rows * inputs - 1] = -0.0;

            let mut expected = vec![[0.0; LANES]; rows * WIDTH];
            kernel::affine(&x, inputs, &weights, &bias, &mut expected);
            expected.iter_mut().for_each(kernel::tanh);
            let mut found = vec![[0.0; LANES]; rows * WIDTH];
            layer(simd, &x, inputs, &weights, &bias, &mut found);
            assert_eq!(bits(&found), bits(&expected));

            let gradient = || {
                (
                    vec![[0.0; LANES]; WIDTH * inputs],
                    vec![[0.0; LANES]; WIDTH],
                )
            };
            let (mut expected, mut found) = (gradient(), gradient());
            kernel::affine_gradient(&x, inputs, &slope, &mut expected.0, &mut expected.1);
            affine_gradient(simd, &x, inputs, &slope, &mut found.0, &mut found.1);
            assert_eq!(bits(&found.0), bits(&expected.0));
            assert_eq!(bits(&found.1), bits(&expected.1));

            let mut total = [0.0; LANES];
            for lane in &slope {
                for (total, value) in total.iter_mut().zip(lane) {
                    *total += value * value;
                }
            }
            let expected = kernel::sum(&total);
            assert_eq!(dot(simd, &slope, &slope).to_bits(), expected.to_bits());
        }
    }

    fn bits(lanes: &[Lane]) -> Vec<u32> {
        lanes.as_flattened().iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn every_width_gives_the_bits_of_the_loops() {
        for (rows, inputs) in [(1, 1), (4, 3), (10, 16), (13, 9), (7, 24)] {
            pulp::Arch::new().dispatch(Compare { rows, inputs });
            kernel::dispatch(Compare { rows, inputs });
            pulp::WithSimd::with_simd(Compare { rows, inputs }, pulp::Scalar::new());
        }
    }
}
