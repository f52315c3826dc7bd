//! Adam as PyTorch computes it: bias corrections applied to the step size and to
//! the root of the second moment, `eps` added after the root. Defaults of the
//! published code: betas 0.9 and 0.999, eps 1e-8, no weight decay.

#![expect(
    clippy::inline_always,
    reason = "only inlined code gets the vector width"
)]

use super::kernel::{LANES, Lane};
use super::wide;
use crate::rng::Stream;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f32 = 1e-8;

/// The part of Adam that all parameters share: the learning rate and the powers
/// of the decay rates.
#[derive(Debug, Clone)]
pub struct Adam {
    learning_rate: f64,
    beta1_power: f64,
    beta2_power: f64,
}

/// The factors of one step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    size: f32,
    second_scale: f32,
}

impl Adam {
    /// Before the first step.
    pub fn new(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            beta1_power: 1.0,
            beta2_power: 1.0,
        }
    }

    /// Counts one step and gives its factors.
    pub fn step(&mut self) -> Step {
        self.beta1_power *= BETA1;
        self.beta2_power *= BETA2;
        Step {
            size: (self.learning_rate / (1.0 - self.beta1_power)) as f32,
            second_scale: (1.0 / (1.0 - self.beta2_power).sqrt()) as f32,
        }
    }
}

/// A tensor with its gradient and Adam's two moments.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The values.
    pub value: Vec<Lane>,
    /// The gradient, filled before [`Parameter::update`].
    pub gradient: Vec<Lane>,
    first: Vec<Lane>,
    second: Vec<Lane>,
}

impl Parameter {
    /// Zeros.
    pub fn zeros(lanes: usize) -> Self {
        let zeros = vec![[0.0; LANES]; lanes];
        Self {
            value: zeros.clone(),
            gradient: zeros.clone(),
            first: zeros.clone(),
            second: zeros,
        }
    }

    /// `[panels(outputs), inputs]`, uniform in ±1/√`fan_in`: PyTorch's default for
    /// linear layers and their biases, and for LSTM cells with the hidden size
    /// in place of `fan_in`. Padding is zero.
    pub fn uniform(inputs: usize, outputs: usize, fan_in: usize, rng: &mut Stream) -> Self {
        let bound = 1.0 / (fan_in as f64).sqrt();
        let mut parameter = Self::zeros(outputs.div_ceil(LANES) * inputs);
        for (position, lane) in parameter.value.iter_mut().enumerate() {
            let first = position / inputs * LANES;
            for (_, value) in (first..outputs).zip(lane) {
                *value = ((2.0 * rng.uniform() - 1.0) * bound) as f32;
            }
        }
        parameter
    }

    /// Takes one step along the gradient.
    pub fn update(&mut self, step: Step) {
        pulp::Arch::new().dispatch(Update {
            parameter: self,
            step,
        });
    }

    /// The same in code of the vector width.
    #[inline(always)]
    pub(super) fn update_by<S: pulp::Simd>(&mut self, simd: S, step: Step) {
        let constant = |value: f32| simd.splat_f32s(value);
        let decay = constant((1.0 - BETA1) as f32);
        let (kept, added) = (constant(BETA2 as f32), constant((1.0 - BETA2) as f32));
        let (size, scale) = (constant(step.size), constant(step.second_scale));
        let epsilon = constant(EPSILON);
        let moments = self.first.iter_mut().zip(&mut self.second);
        let tensors = self.value.iter_mut().zip(&self.gradient);
        for ((value, gradient), (first, second)) in tensors.zip(moments) {
            for part in 0..wide::parts::<S>() {
                let slope = wide::load(simd, gradient, part);
                let old = wide::load(simd, first, part);
                let change = simd.mul_f32s(simd.sub_f32s(slope, old), decay);
                let mean = simd.add_f32s(old, change);
                wide::store(simd, first, part, mean);
                let old = simd.mul_f32s(wide::load(simd, second, part), kept);
                let square = simd.mul_f32s(simd.mul_f32s(slope, slope), added);
                let square = simd.add_f32s(old, square);
                wide::store(simd, second, part, square);
                let root = simd.mul_f32s(simd.sqrt_f32s(square), scale);
                let change = simd.div_f32s(mean, simd.add_f32s(root, epsilon));
                let change = simd.mul_f32s(size, change);
                let moved = simd.sub_f32s(wide::load(simd, value, part), change);
                wide::store(simd, value, part, moved);
            }
        }
    }
}

/// A step of one parameter.
struct Update<'a> {
    parameter: &'a mut Parameter,
    step: Step,
}

impl pulp::WithSimd for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        self.parameter.update_by(simd, self.step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked by hand from the definition: with a constant gradient both
    /// corrected moments are exact, so every step moves by the learning rate.
    #[test]
    fn a_constant_gradient_moves_by_the_learning_rate() {
        let mut parameter = Parameter::zeros(1);
        let mut adam = Adam::new(0.01);
        parameter.gradient[0] = [-3.0; LANES];
        for count in 1..=50 {
            parameter.update(adam.step());
            let expected = 0.01 * count as f32;
            assert!((parameter.value[0][7] - expected).abs() < 1e-5);
        }
    }

    /// Values of PyTorch's algorithm in double precision for gradients 1, -2, 0.5
    /// at learning rate 0.1, computed with `numpy` 2.4.6.
    #[test]
    fn changing_gradients_follow_the_definition() {
        let mut parameter = Parameter::zeros(1);
        let mut adam = Adam::new(0.1);
        for (gradient, expected) in [(1.0, ADAM[0]), (-2.0, ADAM[1]), (0.5, ADAM[2])] {
            parameter.gradient[0] = [gradient; LANES];
            parameter.update(adam.step());
            let got = parameter.value[0][0] as f64;
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    const ADAM: [f64; 3] = [-0.099_999_999, -0.063_389_646_5, -0.049_720_580_3];

    #[test]
    fn initial_values_fill_their_range_and_padding_is_zero() {
        let mut rng = Stream::new(b"adam", "test", 0);
        let parameter = Parameter::uniform(400, 20, 16, &mut rng);
        let values: Vec<f32> = parameter.value.iter().flatten().copied().collect();
        let (low, high) = values
            .iter()
            .fold((0.0_f32, 0.0_f32), |(l, h), v| (l.min(*v), h.max(*v)));
        assert!((-0.25..-0.24).contains(&low) && high > 0.24 && high < 0.25);
        assert!(
            parameter.value[400..]
                .iter()
                .all(|lane| lane[4..] == [0.0; 12])
        );
    }
}
