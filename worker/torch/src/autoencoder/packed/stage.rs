//! A linear map with the normalisation and `ReLU` that follow it, forward and back.

use reprise_model::engine::{NORM_EPSILON, NORM_MOMENTUM};
use reprise_model::shape::{Norm, Stage};
use tch::{Kind, Tensor};

use super::linear;
use super::parameters::Parameters;

/// The values of a forward pass that the gradient needs.
#[derive(Debug)]
pub(super) struct Passed {
    /// `[members, inputs, rows]`.
    input: Tensor,
    /// The map's output before the normalisation, `[members, outputs, rows]`.
    mapped: Tensor,
    /// The mean that was subtracted, `[members, outputs, 1]`.
    mean: Tensor,
    /// The factor that followed, of the same shape.
    inverse_deviation: Tensor,
    /// `[members, outputs, rows]`.
    pub(super) output: Tensor,
}

impl Passed {
    /// Runs the stage; in training mode by the statistics of the batch, which move the
    /// running ones.
    pub(super) fn through(
        parameters: &Parameters,
        stage: &Stage,
        input: Tensor,
        training: bool,
    ) -> Self {
        let Stage { linear, norm } = stage;
        let mapped = linear::apply(parameters, linear, &input);
        let channels = mapped.view([1, -1, mapped.size()[2]]);
        let scale = parameters.values(&norm.scale).view([-1]);
        let shift = parameters.values(&norm.shift).view([-1]);
        let mean = parameters.statistic(&norm.mean);
        let variance = parameters.statistic(&norm.variance);
        let (mut output, mean, inverse_deviation) = if training {
            channels.native_batch_norm(
                Some(&scale),
                Some(&shift),
                Some(&mean),
                Some(&variance),
                true,
                NORM_MOMENTUM,
                NORM_EPSILON,
            )
        } else {
            let output = channels.batch_norm(
                Some(&scale),
                Some(&shift),
                Some(&mean),
                Some(&variance),
                false,
                NORM_MOMENTUM,
                NORM_EPSILON,
                false,
            );
            (output, mean, (variance + NORM_EPSILON).rsqrt())
        };
        let _ = output.relu_();
        let members = mapped.size()[0];
        let column = |values: &Tensor| values.view([members, -1, 1]);
        Self {
            mean: column(&mean),
            inverse_deviation: column(&inverse_deviation),
            output: output.view_as(&mapped),
            mapped,
            input,
        }
    }

    /// Writes the gradients of the stage's parameters, given that of the output, and
    /// returns that of the map's output for [`linear::back_to_input`].
    pub(super) fn back(
        &self,
        parameters: &Parameters,
        stage: &Stage,
        gradient: &Tensor,
        training: bool,
    ) -> Tensor {
        let gradient = self.output.threshold_backward(gradient, 0.0);
        let mapped = self.norm_back(parameters, &stage.norm, &gradient, training);
        linear::back(parameters, &stage.linear, &self.input, &mapped);
        mapped
    }

    /// The normalisation's part. In training mode every row also changes the batch's
    /// mean and deviation, so its gradient has a share of the gradients' mean and of
    /// their mean product with the normalised values.
    fn norm_back(
        &self,
        parameters: &Parameters,
        norm: &Norm,
        gradient: &Tensor,
        training: bool,
    ) -> Tensor {
        let column = |range| parameters.gradient(range).unsqueeze(2);
        let shift_gradient =
            gradient.sum_intlist_out(&column(&norm.shift), 2_i64, true, Kind::Float);
        let products = (gradient * &self.mapped).sum_dim_intlist(2_i64, true, Kind::Float);
        let centred = products - &self.mean * &shift_gradient;
        let scale_gradient = centred.mul_out(&column(&norm.scale), &self.inverse_deviation);

        let slope = parameters.values(&norm.scale).unsqueeze(2) * &self.inverse_deviation;
        if !training {
            return gradient * slope;
        }
        let share = -1.0 / gradient.size()[2] as f64;
        let by_value = &slope * &self.inverse_deviation * scale_gradient * share;
        let constant = &slope * shift_gradient * share - &by_value * &self.mean;
        let mut mapped = constant.addcmul(&self.mapped, &by_value);
        mapped.addcmul_(gradient, &slope)
    }
}
