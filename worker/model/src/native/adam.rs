//! Clipping and Adam as one pass over the flat buffers.

use super::vector::{dot, vectorised};
use crate::objective::Optimiser;

vectorised! {
    /// One step of `PyTorch`'s Adam on all parameters; `gradient` is multiplied by
    /// `clip` first.
    fn update<'a>(
        parameters: &'a mut [f32],
        gradient: &'a [f32],
        first: &'a mut [f32],
        second: &'a mut [f32],
        clip: f32,
        size: f32,
        root: f32,
    ) {
        const KEEP1: f32 = (1.0 - Optimiser::BETA1) as f32;
        const BETA2: f32 = Optimiser::BETA2 as f32;
        const KEEP2: f32 = (1.0 - Optimiser::BETA2) as f32;
        const EPSILON: f32 = Optimiser::EPSILON as f32;
        let len = parameters.len();
        let (gradient, first, second) =
            (&gradient[..len], &mut first[..len], &mut second[..len]);
        for i in 0..len {
            let g = gradient[i] * clip;
            first[i] = (g - first[i]).mul_add(KEEP1, first[i]);
            second[i] = (g * g).mul_add(KEEP2, second[i] * BETA2);
            let denominator = second[i].sqrt().mul_add(root, EPSILON);
            parameters[i] -= size * first[i] / denominator;
        }
    }
}

/// Clips the gradient and makes step number `step`, from 1.
pub(super) fn step(
    optimiser: &Optimiser,
    parameters: &mut [f32],
    gradient: &[f32],
    (first, second): (&mut [f32], &mut [f32]),
    step: u64,
) {
    let norm = f64::from(dot(gradient, gradient)).sqrt();
    let (size, root) = optimiser.bias_corrections(step);
    let clip = optimiser.clip_factor(norm);
    update(
        parameters,
        gradient,
        first,
        second,
        clip as f32,
        size as f32,
        root as f32,
    );
}
