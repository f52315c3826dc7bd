//! `BatchNorm`: batch statistics forward and backward, and frozen statistics as
//! the affine map that they are.

use super::vector::vectorised;
use crate::engine::{NORM_EPSILON, NORM_MOMENTUM};

vectorised! {
    /// Mean and biased variance of each column of `rows`, in two passes.
    fn column_moments<'a>(rows: &'a [f32], mean: &'a mut [f32], variance: &'a mut [f32]) {
        let width = mean.len();
        let scale = 1.0 / (rows.len() / width) as f32;
        mean.fill(0.0);
        for row in rows.chunks_exact(width) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += value;
            }
        }
        for sum in mean.iter_mut() {
            *sum *= scale;
        }
        variance.fill(0.0);
        for row in rows.chunks_exact(width) {
            for ((sum, value), mean) in variance.iter_mut().zip(row).zip(&*mean) {
                let centred = value - mean;
                *sum = centred.mul_add(centred, *sum);
            }
        }
        for sum in variance.iter_mut() {
            *sum *= scale;
        }
    }
}

/// Normalisation of one batch, kept for its backward pass.
#[derive(Debug, Default)]
pub(super) struct BatchNorm {
    mean: Vec<f32>,
    variance: Vec<f32>,
    inverse_std: Vec<f32>,
}

impl BatchNorm {
    /// Normalises `rows` in place, writes the scaled, shifted and rectified rows to
    /// `out`, and moves the running statistics.
    pub(super) fn forward(
        &mut self,
        rows: &mut [f32],
        (scale, shift): (&[f32], &[f32]),
        (running_mean, running_variance): (&mut [f32], &mut [f32]),
        out: &mut [f32],
    ) {
        let width = scale.len();
        self.mean.resize(width, 0.0);
        self.variance.resize(width, 0.0);
        column_moments(rows, &mut self.mean, &mut self.variance);
        inverse_roots(&self.variance, &mut self.inverse_std);
        let count = (rows.len() / width) as f32;
        let unbiased = count / (count - 1.0);
        let momentum = NORM_MOMENTUM as f32;
        for (running, new) in running_mean.iter_mut().zip(&self.mean) {
            *running += momentum * (new - *running);
        }
        for (running, new) in running_variance.iter_mut().zip(&self.variance) {
            *running += momentum * (new * unbiased - *running);
        }
        normalise(rows, &self.mean, &self.inverse_std, scale, shift, out);
    }

    /// Turns the gradient of the rectified output, already zero where that is not
    /// positive, into the gradient of the input, in place. `normalised` is what
    /// [`Self::forward`] left of its input.
    pub(super) fn backward(
        &self,
        gradient: &mut [f32],
        normalised: &[f32],
        scale: &[f32],
        (scale_gradient, shift_gradient): (&mut [f32], &mut [f32]),
    ) {
        column_sums_with(gradient, normalised, shift_gradient, scale_gradient);
        let factor = self.inverse_std.iter().zip(scale).map(|(i, s)| i * s);
        let factor: Vec<f32> = factor.collect();
        let share = scale.len() as f32 / gradient.len() as f32;
        centre(
            gradient,
            normalised,
            &factor,
            share,
            shift_gradient,
            scale_gradient,
        );
    }
}

/// `1 / sqrt(variance + epsilon)`.
fn inverse_roots(variance: &[f32], out: &mut Vec<f32>) {
    out.clear();
    out.extend(
        variance
            .iter()
            .map(|variance| 1.0 / (variance + NORM_EPSILON as f32).sqrt()),
    );
}

vectorised! {
    fn normalise<'a>(
        rows: &'a mut [f32],
        mean: &'a [f32],
        inverse_std: &'a [f32],
        scale: &'a [f32],
        shift: &'a [f32],
        out: &'a mut [f32],
    ) {
        let width = mean.len();
        let (inverse_std, scale, shift) = (&inverse_std[..width], &scale[..width], &shift[..width]);
        for (row, out) in rows.chunks_exact_mut(width).zip(out.chunks_exact_mut(width)) {
            for j in 0..width {
                row[j] = (row[j] - mean[j]) * inverse_std[j];
                out[j] = row[j].mul_add(scale[j], shift[j]).max(0.0);
            }
        }
    }
}

vectorised! {
    /// Column sums of `rows`, and of `rows` times `others` entry by entry.
    fn column_sums_with<'a>(
        rows: &'a [f32],
        others: &'a [f32],
        sums: &'a mut [f32],
        products: &'a mut [f32],
    ) {
        let width = sums.len();
        let products = &mut products[..width];
        sums.fill(0.0);
        products.fill(0.0);
        for (row, other) in rows.chunks_exact(width).zip(others.chunks_exact(width)) {
            for j in 0..width {
                sums[j] += row[j];
                products[j] = row[j].mul_add(other[j], products[j]);
            }
        }
    }
}

vectorised! {
    /// Column sums of `rows`.
    pub(super) fn column_sums<'a>(rows: &'a [f32], sums: &'a mut [f32]) {
        sums.fill(0.0);
        for row in rows.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

vectorised! {
    fn centre<'a>(
        gradient: &'a mut [f32],
        normalised: &'a [f32],
        factor: &'a [f32],
        share: f32,
        sums: &'a [f32],
        products: &'a [f32],
    ) {
        let width = factor.len();
        let (sums, products) = (&sums[..width], &products[..width]);
        for (row, normalised) in gradient.chunks_exact_mut(width).zip(normalised.chunks_exact(width)) {
            for j in 0..width {
                let centred = normalised[j].mul_add(-share * products[j], row[j] - share * sums[j]);
                row[j] = centred * factor[j];
            }
        }
    }
}

/// A linear map's bias and a normalisation with frozen statistics as one affine map
/// of the bare product: `product * scale + shift`.
#[derive(Debug, Default)]
pub(super) struct Frozen {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    inverse_std: Vec<f32>,
}

impl Frozen {
    pub(super) fn fold(
        &mut self,
        bias: &[f32],
        (scale, shift): (&[f32], &[f32]),
        (mean, variance): (&[f32], &[f32]),
    ) {
        inverse_roots(variance, &mut self.inverse_std);
        self.scale.clear();
        self.shift.clear();
        for j in 0..bias.len() {
            let factor = self.inverse_std[j] * scale[j];
            self.scale.push(factor);
            self.shift
                .push((bias[j] - mean[j]).mul_add(factor, shift[j]));
        }
    }

    /// Gradient of one unit's scale, given the sum over the batch of the output's
    /// gradient times the input less its running mean.
    pub(super) fn scale_gradient(&self, unit: usize, centred_products: f32) -> f32 {
        centred_products * self.inverse_std[unit]
    }
}
