//! From the heads to each member's loss (protocol notes, section 2), and the gradient
//! back to the heads.

use reprise_model::objective::{Kl, Objective, OperationLoss};
use tch::{Kind, Reduction, Tensor};

use super::data::{Batch, Draws};
use super::entropy::binary_cross_entropy;
use super::parameters::Parameters;
use super::{linear, of_members};

/// The losses of a step.
#[derive(Debug)]
pub(super) struct Loss {
    /// `[members]`.
    pub(super) losses: Tensor,
    /// The codes' means, `[members, latent, rows]`.
    pub(super) means: Tensor,
    /// Of the shape of the heads.
    pub(super) heads_gradient: Tensor,
}

impl Loss {
    /// Writes the decoder's gradients as well.
    pub(super) fn of(
        parameters: &Parameters,
        objective: Objective,
        batch: &Batch,
        heads: &Tensor,
        draws: Option<&Draws>,
    ) -> Self {
        let latent = parameters.latent();
        let mean = heads.narrow(1, 0, latent).contiguous();
        let log_std = heads.narrow(1, latent, latent);
        let deviation = log_std.exp();
        let codes = match draws {
            Some(Draws { noise, dropout }) => mean.addcmul(&deviation, noise) * dropout,
            None => mean.shallow_clone(),
        };

        let decoder = &parameters.layout().decoder;
        let scores = linear::apply(parameters, decoder, &codes);
        let (mut losses, scores_gradient) = match objective.operations {
            OperationLoss::Sigmoid => by_sigmoid(&scores, &batch.operations),
            OperationLoss::Softmax => by_softmax(&scores, &batch.operations),
        };
        linear::back(parameters, decoder, &codes, &scores_gradient);
        let (edge_losses, edges_gradient) = batch.edge_losses(&codes);
        losses += edge_losses;
        let mut codes_gradient =
            linear::back_to_input(parameters, decoder, &scores_gradient) + edges_gradient;

        let mut log_std_gradient = match draws {
            Some(Draws { noise, dropout }) => {
                codes_gradient *= dropout;
                &codes_gradient * noise * &deviation
            }
            None => log_std.zeros_like(),
        };
        if objective.kl != Kl::Absent {
            let weight = objective.kl_weight((batch.graphs * batch.nodes) as usize);
            let variance = deviation.square();
            let terms: Tensor = mean.square() + &variance - &log_std * 2.0 - 1.0;
            losses += of_members(&terms, Reduction::Sum) * (0.5 * weight);
            codes_gradient += &mean * weight;
            log_std_gradient += (variance - 1.0) * weight;
        }
        Self {
            losses,
            means: mean,
            heads_gradient: Tensor::cat(&[codes_gradient, log_std_gradient], 1),
        }
    }
}

/// Sigmoid and binary cross entropy, the mean over everything.
fn by_sigmoid(scores: &Tensor, targets: &Tensor) -> (Tensor, Tensor) {
    let (values, slopes) = binary_cross_entropy(scores, targets);
    let share = 1.0 / (scores.size()[1] * scores.size()[2]) as f64;
    (of_members(&values, Reduction::Mean), slopes * share)
}

/// Softmax and cross entropy, the mean over nodes that have an operation.
fn by_softmax(scores: &Tensor, targets: &Tensor) -> (Tensor, Tensor) {
    let logarithms = scores.log_softmax(1, Kind::Float);
    let real = of_members(targets, Reduction::Sum).clamp_min(1.0);
    let losses = -of_members(&(&logarithms * targets), Reduction::Sum) / &real;
    let has_operation = targets.sum_dim_intlist(1_i64, true, Kind::Float);
    let slopes = (logarithms.exp() * has_operation - targets) / real.view([-1, 1, 1]);
    (losses, slopes)
}
