//! Binary cross entropy with `PyTorch`'s values and gradients, for any scores: it
//! leaves out the check of `PyTorch`'s kernel that probabilities lie in [0, 1]. On a
//! graphics card that check ends the whole process, and in a pack the scores of one
//! member may be NaN while those of the others are sound.

use tch::{Reduction, Tensor};

/// Smallest logarithm of a likelihood that is taken (`PyTorch`'s bound).
const SMALLEST_LOG: f64 = -100.0;

/// The binary cross entropy of each score's logistic function with a target of 0 or 1,
/// and its derivative by the score. As in `PyTorch`, a score whose probability has
/// rounded to 0 or 1 has no gradient.
pub(super) fn binary_cross_entropy(scores: &Tensor, targets: &Tensor) -> (Tensor, Tensor) {
    let probabilities = scores.sigmoid();
    let likelihoods = (targets - 1.0 + &probabilities).abs();
    let values = -likelihoods.log().clamp_min(SMALLEST_LOG);
    let by_probability = probabilities.binary_cross_entropy_backward::<Tensor>(
        &probabilities.ones_like(),
        targets,
        None,
        Reduction::None,
    );
    let slopes = Tensor::sigmoid_backward(&by_probability, &probabilities);
    (values, slopes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoencoder::packed::data::to_host;

    #[test]
    fn values_and_gradients_are_those_of_pytorch_wherever_it_has_any() {
        // 18 rounds to a probability of 1; -30 has one below the smallest slope.
        let scores = [
            -120.0_f32, -30.0, -3.0, -0.1, 0.0, 0.7, 5.0, 16.0, 18.0, 90.0,
        ];
        let theirs = Tensor::from_slice(&[scores, scores].concat()).set_requires_grad(true);
        let targets = Tensor::from_slice(&[[0.0_f32; 10], [1.0; 10]].concat());
        let (values, slopes) = binary_cross_entropy(&theirs.detach(), &targets);
        let expected =
            theirs
                .sigmoid()
                .binary_cross_entropy::<Tensor>(&targets, None, Reduction::None);
        expected.sum(tch::Kind::Float).backward();
        for (found, expected) in [(values, expected), (slopes, theirs.grad())] {
            for (a, b) in to_host(&found).into_iter().zip(to_host(&expected)) {
                assert!((a - b).abs() <= 1e-6 * (1.0 + b.abs()), "{a} {b}");
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none_and_alone() {
        let scores = Tensor::from_slice(&[f32::NAN, 1.0]);
        let (found, _) = binary_cross_entropy(&scores, &Tensor::from_slice(&[0.0_f32, 0.0]));
        let found = to_host(&found);
        assert!(
            found[0].is_nan() && (found[1] - 1.313_261_7).abs() < 1e-6,
            "{found:?}"
        );
    }
}
