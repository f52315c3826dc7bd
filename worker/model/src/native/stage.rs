//! One linear map, its normalisation and its `ReLU`, forward and backward.
//!
//! Frozen statistics make the normalisation an affine map, which is folded into
//! the matrix products on either side of it.

use super::gemm::{Finish, Packed, multiply, multiply_transposed};
use super::norm::{BatchNorm, Frozen, column_sums};
use super::vector::dot;
use crate::shape::Stage;

/// Where normalisations take their statistics from.
#[derive(Debug)]
pub(super) enum Statistics<'a> {
    /// From the batch; the running ones are moved towards it.
    Batch(&'a mut [f32]),
    /// From the running ones, which stay.
    Frozen(&'a [f32]),
}

/// Activations of one stage, kept for its backward pass.
#[derive(Debug, Default)]
pub(super) struct StageBuffers {
    /// The normalised products, batch statistics only.
    normalised: Vec<f32>,
    /// After the `ReLU`, `[rows, outputs]`.
    pub(super) output: Vec<f32>,
    norm: BatchNorm,
    frozen: Frozen,
}

impl StageBuffers {
    /// Computes the output of `input`, `[rows, inputs]`.
    pub(super) fn forward(
        &mut self,
        stage: &Stage,
        input: &[f32],
        parameters: &[f32],
        statistics: &mut Statistics<'_>,
        packed: &mut Packed,
    ) {
        let Stage { linear, norm } = stage;
        let rows = input.len() / linear.inputs;
        let weight = &parameters[linear.weight.clone()];
        let bias = &parameters[linear.bias.clone()];
        let scale = &parameters[norm.scale.clone()];
        let shift = &parameters[norm.shift.clone()];
        packed.pack_transposed(weight, linear.inputs, linear.outputs);
        self.output.resize(rows * linear.outputs, 0.0);
        match statistics {
            Statistics::Batch(running) => {
                self.normalised.resize(rows * linear.outputs, 0.0);
                multiply(input, packed, Finish::Bias(bias), &mut self.normalised);
                // The two lie next to each other.
                let both = &mut running[norm.mean.start..norm.variance.end];
                let (mean, variance) = both.split_at_mut(norm.mean.len());
                self.norm.forward(
                    &mut self.normalised,
                    (scale, shift),
                    (mean, variance),
                    &mut self.output,
                );
            }
            Statistics::Frozen(running) => {
                let moments = (&running[norm.mean.clone()], &running[norm.variance.clone()]);
                self.frozen.fold(bias, (scale, shift), moments);
                let Frozen { scale, shift, .. } = &self.frozen;
                let finish = Finish::AffineRelu { scale, shift };
                multiply(input, packed, finish, &mut self.output);
            }
        }
    }

    /// Turns `outgoing`, the gradient of the output, already zero where that is not
    /// positive, into the gradients of the stage's parameters, and leaves in
    /// `packed` what it must be multiplied by to give the input's gradient.
    ///
    /// `statistics` are the running ones where [`Self::forward`] used them.
    pub(super) fn backward(
        &self,
        stage: &Stage,
        input: &[f32],
        parameters: &[f32],
        statistics: Option<&[f32]>,
        (outgoing, gradient): (&mut [f32], &mut [f32]),
        packed: &mut Packed,
    ) {
        let Stage { linear, norm } = stage;
        let rows = input.len() / linear.inputs;
        let weight = &parameters[linear.weight.clone()];
        let slots = StageGradient::of(stage, gradient);
        if let Some(running) = statistics {
            column_sums(outgoing, slots.shift);
            packed.pack(input, rows, linear.inputs);
            multiply_transposed(outgoing, packed, slots.weight);
            let factors = &self.frozen.scale;
            let bias = &parameters[linear.bias.clone()];
            let mean = &running[norm.mean.clone()];
            let rows = slots.weight.chunks_exact_mut(linear.inputs);
            for (unit, (gradient, weight)) in
                rows.zip(weight.chunks_exact(linear.inputs)).enumerate()
            {
                // So far the gradient is that of the bare product's sum, by which
                // the normalised input is known without being kept.
                let product = dot(gradient, weight);
                slots.scale[unit] = self.frozen.scale_gradient(
                    unit,
                    (bias[unit] - mean[unit]).mul_add(slots.shift[unit], product),
                );
                slots.bias[unit] = factors[unit] * slots.shift[unit];
                for value in gradient {
                    *value *= factors[unit];
                }
            }
            packed.pack_scaled(weight, factors, linear.inputs);
        } else {
            let scale = &parameters[norm.scale.clone()];
            self.norm.backward(
                outgoing,
                &self.normalised,
                scale,
                (slots.scale, slots.shift),
            );
            packed.pack(input, rows, linear.inputs);
            multiply_transposed(outgoing, packed, slots.weight);
            // The batch mean takes a bias away again: its gradient is exactly zero.
            slots.bias.fill(0.0);
            packed.pack(weight, linear.outputs, linear.inputs);
        }
    }
}

/// The gradient slots of a stage, whose parameters lie next to each other.
struct StageGradient<'a> {
    weight: &'a mut [f32],
    bias: &'a mut [f32],
    scale: &'a mut [f32],
    shift: &'a mut [f32],
}

impl<'a> StageGradient<'a> {
    fn of(stage: &Stage, gradient: &'a mut [f32]) -> Self {
        let Stage { linear, norm } = stage;
        let rest = &mut gradient[linear.weight.start..norm.shift.end];
        let (weight, rest) = rest.split_at_mut(linear.weight.len());
        let (bias, rest) = rest.split_at_mut(linear.bias.len());
        let (scale, shift) = rest.split_at_mut(norm.scale.len());
        Self {
            weight,
            bias,
            scale,
            shift,
        }
    }
}
