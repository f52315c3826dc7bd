//! A linear map of every member, forward and back.

use reprise_model::shape::Linear;
use tch::{Kind, Tensor};

use super::parameters::Parameters;

/// `[members, inputs, rows]` to `[members, outputs, rows]`.
pub(super) fn apply(parameters: &Parameters, linear: &Linear, input: &Tensor) -> Tensor {
    let bias = parameters.values(&linear.bias).unsqueeze(2);
    bias.baddbmm(parameters.values(&linear.weight), input, 1, 1)
}

/// Writes the gradients of weight and bias, given the input and the gradient of the
/// output.
pub(super) fn back(parameters: &Parameters, linear: &Linear, input: &Tensor, gradient: &Tensor) {
    let weight = parameters.gradient(&linear.weight);
    let bias = parameters.gradient(&linear.bias);
    let _ = gradient.bmm_out(weight, &input.transpose(1, 2));
    let _ = gradient.sum_intlist_out(bias, 2_i64, false, Kind::Float);
}

/// The gradient of the input, given that of the output.
pub(super) fn back_to_input(parameters: &Parameters, linear: &Linear, gradient: &Tensor) -> Tensor {
    let weight = parameters.values(&linear.weight);
    weight.transpose(1, 2).bmm(gradient)
}
