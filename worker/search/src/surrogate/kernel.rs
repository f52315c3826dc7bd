//! Single-precision kernels over panels of [`LANES`] outputs.
//!
//! A matrix `[inputs, outputs]` is stored as `[panels, inputs]` of [`Lane`]: the
//! weights of sixteen outputs for one input lie together, so that every inner
//! loop runs over a fixed-size array and becomes vector code. Outputs that do not
//! fill the last panel are padded with zeros, which stay zero in training.
//!
//! No loop reassociates a sum or fuses a product into one: results are the same
//! whatever the vector width. Callers that implement `pulp::WithSimd` get these
//! loops compiled for the width that the processor has, by inlining.

#![expect(
    clippy::inline_always,
    reason = "only inlined code gets the vector width"
)]

use std::f32::consts::{LN_2, LOG2_E};

/// Outputs computed together.
pub const LANES: usize = 16;

/// Sixteen neighbouring values.
pub type Lane = [f32; LANES];

/// Panels that hold `outputs` values.
pub const fn panels(outputs: usize) -> usize {
    outputs.div_ceil(LANES)
}

/// Runs loops over lanes that are compiled for vectors of half a lane, where the
/// processor has them. For wider vectors the compiler generates code for these loops
/// that is slower than scalar code.
pub fn dispatch<W: pulp::WithSimd>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return pulp::Simd::vectorize(simd, work);
    }
    pulp::Arch::new().dispatch(work)
}

/// Adds `x · panel` to the accumulators of `R` rows. Each row of `x` is as long
/// as `panel` has entries.
#[inline(always)]
pub fn accumulate<const R: usize>(x: [&[f32]; R], panel: &[Lane], sums: &mut [Lane; R]) {
    let x = x.map(|row| &row[..panel.len()]);
    for (input, weights) in panel.iter().enumerate() {
        for (row, sum) in x.iter().zip(sums.iter_mut()) {
            let value = row[input];
            for (sum, weight) in sum.iter_mut().zip(weights) {
                *sum += value * weight;
            }
        }
    }
}

/// `out[row, panel] = bias[panel] + x[row, :] · weights[panel]` for rows of
/// `inputs` values; `out` is `[rows, panels]`.
#[inline(always)]
pub fn affine(x: &[f32], inputs: usize, weights: &[Lane], bias: &[Lane], out: &mut [Lane]) {
    // Four rows at once keep the adders busy; what is left goes two by two.
    let (x, out) = affine_tiles::<4>(x, inputs, weights, bias, out);
    let (x, out) = affine_tiles::<2>(x, inputs, weights, bias, out);
    affine_tiles::<1>(x, inputs, weights, bias, out);
}

/// [`affine`] on as many whole tiles of `R` rows as there are; gives the rest.
#[inline(always)]
fn affine_tiles<'a, const R: usize>(
    x: &'a [f32],
    inputs: usize,
    weights: &[Lane],
    bias: &[Lane],
    out: &'a mut [Lane],
) -> (&'a [f32], &'a mut [Lane]) {
    let width = bias.len();
    let tiles = x.len() / (R * inputs);
    let (x, x_rest) = x.split_at(tiles * R * inputs);
    let (out, out_rest) = out.split_at_mut(tiles * R * width);
    for (panel, (weights, bias)) in weights.chunks_exact(inputs).zip(bias).enumerate() {
        let tiles = x
            .chunks_exact(R * inputs)
            .zip(out.chunks_exact_mut(R * width));
        for (rows, out) in tiles {
            let rows = std::array::from_fn(|row| &rows[row * inputs..(row + 1) * inputs]);
            let mut sums = [*bias; R];
            accumulate(rows, weights, &mut sums);
            for (row, sum) in sums.iter().enumerate() {
                out[row * width + panel] = *sum;
            }
        }
    }
    (x_rest, out_rest)
}

/// Gradient of [`affine`] in its weights and bias: `weights[panel, input] = Σ_row
/// x[row, input] · out[row, panel]`, `bias[panel] = Σ_row out[row, panel]`, where
/// `out` is the gradient of the outputs, `[rows, panels]`.
#[inline(always)]
pub fn affine_gradient(
    x: &[f32],
    inputs: usize,
    out: &[Lane],
    weights: &mut [Lane],
    bias: &mut [Lane],
) {
    let width = bias.len();
    for (panel, (weights, bias)) in weights.chunks_exact_mut(inputs).zip(bias).enumerate() {
        let mut total = [0.0; LANES];
        for row in out.chunks_exact(width) {
            for (total, value) in total.iter_mut().zip(&row[panel]) {
                *total += value;
            }
        }
        *bias = total;
        // Several inputs at once keep the adders busy.
        let (tiles, rest) = weights.as_chunks_mut::<4>();
        let rest_from = 4 * tiles.len();
        for (tile, gradient) in tiles.iter_mut().enumerate() {
            *gradient = products(x, inputs, 4 * tile, out, width, panel);
        }
        for (input, gradient) in rest.iter_mut().enumerate() {
            [*gradient] = products(x, inputs, rest_from + input, out, width, panel);
        }
    }
}

/// `Σ_row x[row, input] · out[row, panel]` for `N` inputs from `first` on.
#[inline(always)]
fn products<const N: usize>(
    x: &[f32],
    inputs: usize,
    first: usize,
    out: &[Lane],
    width: usize,
    panel: usize,
) -> [Lane; N] {
    let mut totals = [[0.0; LANES]; N];
    for (row, out) in x.chunks_exact(inputs).zip(out.chunks_exact(width)) {
        let values = &row[first..first + N];
        for (total, value) in totals.iter_mut().zip(values) {
            for (total, out) in total.iter_mut().zip(&out[panel]) {
                *total += value * out;
            }
        }
    }
    totals
}

/// Gradient of [`affine`] in one row of its inputs: `x[input] = Σ_panel
/// weights[panel, input] · out[panel]`. Inputs beyond the length of `x` are left
/// out.
#[inline(always)]
pub fn input_gradient(weights: &[Lane], inputs: usize, out: &[Lane], x: &mut [f32]) {
    for (input, gradient) in x.iter_mut().enumerate() {
        let mut total = [0.0; LANES];
        for (panel, out) in weights.chunks_exact(inputs).zip(out) {
            for (total, (weight, out)) in total.iter_mut().zip(panel[input].iter().zip(out)) {
                *total += weight * out;
            }
        }
        *gradient = sum(&total);
    }
}

/// Sum of sixteen values, as a tree of fixed shape.
#[inline(always)]
pub fn sum(lane: &Lane) -> f32 {
    let mut lane = *lane;
    let mut width = LANES / 2;
    while width > 0 {
        for position in 0..width {
            lane[position] += lane[position + width];
        }
        width /= 2;
    }
    lane[0]
}

// Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
pub(super) const ROUND: f32 = 12_582_912.0;
// ln 2 in two parts, the first exact in few bits, so that `k ln 2` is exact.
pub(super) const LN_2_HIGH: f32 = 0.693_359_4;
pub(super) const LN_2_LOW: f32 = (std::f64::consts::LN_2 - LN_2_HIGH as f64) as f32;
const _: () = assert!(LN_2 - LN_2_HIGH < 0.0);
// Beyond this the nearest single-precision value of a hyperbolic tangent is 1.
pub(super) const SATURATED: f32 = 9.1;
/// The exponential's series without its first term, over x; the highest power first.
pub(super) const TAYLOR: [f32; 7] = [
    1.0 / 5040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
];

/// Hyperbolic tangent of sixteen values, within 2e-7 of the exact one.
///
/// `tanh |x| = -e / (2 + e)` with `e = exp(-2|x|) - 1`, and the exponential from
/// a power of two times a Taylor polynomial on ±ln 2 / 2; written without
/// branches or conversions that would keep it from vectorising.
#[inline(always)]
pub fn tanh(values: &mut Lane) {
    for value in values {
        let magnitude = value.abs();
        let magnitude = if magnitude < SATURATED {
            magnitude
        } else {
            SATURATED
        };
        let x = -2.0 * magnitude;
        let shifted = x * LOG2_E + ROUND;
        let power = shifted - ROUND;
        let rest = (x - power * LN_2_HIGH) - power * LN_2_LOW;
        let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
        let mut taylor = TAYLOR[0];
        for coefficient in &TAYLOR[1..] {
            taylor = taylor * rest + coefficient;
        }
        let less_one = scale * (taylor * rest) + (scale - 1.0);
        *value = (-less_one / (2.0 + less_one)).copysign(*value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn tanh_is_close_everywhere() {
        let mut worst = 0.0_f64;
        for step in -200_000..=200_000 {
            let x = step as f32 * 6e-5;
            let mut lane = [x; LANES];
            tanh(&mut lane);
            worst = worst.max((lane[5] as f64 - (x as f64).tanh()).abs());
        }
        assert!(worst < 2e-7, "{worst}");
        let mut lane = [0.0; LANES];
        (lane[0], lane[1], lane[2], lane[3]) = (40.0, -1e30, 1e-20, -0.0);
        tanh(&mut lane);
        assert_eq!(lane[..2], [1.0, -1.0]);
        assert!((lane[2] - 1e-20).abs() < 1e-26 && lane[3].is_sign_negative());
    }

    /// Rows, inputs and outputs that do and do not fill panels.
    #[test]
    fn products_equal_the_plain_loops() {
        for (rows, inputs, outputs) in [(1, 1, 1), (2, 16, 128), (5, 3, 17), (10, 7, 32)] {
            let mut rng = Stream::new(b"kernel", "test", rows as u64);
            let width = panels(outputs);
            let mut lanes = |count: usize| -> Vec<Lane> {
                (0..count)
                    .map(|_| std::array::from_fn(|_| rng.normal() as f32))
                    .collect()
            };
            let (weights, bias, gradient) =
                (lanes(width * inputs), lanes(width), lanes(rows * width));
            let x: Vec<f32> = lanes(rows * inputs).iter().map(|lane| lane[0]).collect();
            let weight = |input: usize, output: usize| {
                weights[output / LANES * inputs + input][output % LANES]
            };

            let mut out = vec![[0.0; LANES]; rows * width];
            affine(&x, inputs, &weights, &bias, &mut out);
            let mut weight_gradient = vec![[0.0; LANES]; width * inputs];
            let mut bias_gradient = vec![[0.0; LANES]; width];
            affine_gradient(
                &x,
                inputs,
                &gradient,
                &mut weight_gradient,
                &mut bias_gradient,
            );
            for output in 0..outputs {
                for row in 0..rows {
                    let expected: f32 = (0..inputs)
                        .map(|input| x[row * inputs + input] * weight(input, output))
                        .sum::<f32>()
                        + bias[output / LANES][output % LANES];
                    let got = out[row * width + output / LANES][output % LANES];
                    assert!((got - expected).abs() < 1e-5, "{got} {expected}");
                }
                let back = |row: usize| gradient[row * width + output / LANES][output % LANES];
                for input in 0..inputs {
                    let expected: f32 = (0..rows).map(|r| x[r * inputs + input] * back(r)).sum();
                    let got = weight_gradient[output / LANES * inputs + input][output % LANES];
                    assert!((got - expected).abs() < 1e-5, "{got} {expected}");
                }
                let expected: f32 = (0..rows).map(back).sum();
                let got = bias_gradient[output / LANES][output % LANES];
                assert!((got - expected).abs() < 1e-5, "{got} {expected}");
            }
            let mut back = vec![0.0; inputs];
            input_gradient(&weights, inputs, &gradient[..width], &mut back);
            for (input, got) in back.iter().enumerate() {
                let expected: f32 = (0..width * LANES)
                    .map(|o| weight(input, o) * gradient[o / LANES][o % LANES])
                    .sum();
                assert!((got - expected).abs() < 1e-4, "{got} {expected}");
            }
        }
    }
}
