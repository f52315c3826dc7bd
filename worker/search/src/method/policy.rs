//! The policy of REINFORCE: an LSTM cell and a linear head that give the mean of
//! a Gaussian over the embedding (protocol notes, section 5b), with the backward
//! pass through an episode written out.

use crate::rng::Stream;
use crate::surrogate::adam::{Adam, Parameter};
use crate::surrogate::kernel::{self, LANES, Lane, panels};

/// Units of the cell.
const HIDDEN: usize = 128;

/// Panels of the cell's state.
const PANELS: usize = HIDDEN / LANES;

/// Gates of a cell in PyTorch's order: input, forget, candidate, output.
const GATES: usize = 4;

/// Network, optimiser, and the memory of the episode under way.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    dims: usize,
    cell: Parameter,
    input_bias: Parameter,
    hidden_bias: Parameter,
    head: Parameter,
    head_bias: Parameter,
    adam: Adam,
    episode: Episode,
}

/// What the backward pass needs of each step, row by row.
#[derive(Debug, Clone, Default)]
struct Episode {
    /// Features and previous hidden state, `[steps, dims + HIDDEN]`.
    inputs: Vec<f32>,
    /// Gates after their activation, `[steps, GATES * PANELS]`.
    gates: Vec<Lane>,
    /// Cell states, `[steps, PANELS]`, and their tanh.
    cells: Vec<Lane>,
    squashed: Vec<Lane>,
    /// Hidden states, `[steps, PANELS]`.
    hidden: Vec<Lane>,
}

impl Policy {
    /// A policy with PyTorch's default initial values.
    pub(super) fn new(dims: usize, learning_rate: f64, rng: &mut Stream) -> Self {
        let gates = GATES * HIDDEN;
        Self {
            dims,
            cell: Parameter::uniform(dims + HIDDEN, gates, HIDDEN, rng),
            input_bias: Parameter::uniform(1, gates, HIDDEN, rng),
            hidden_bias: Parameter::uniform(1, gates, HIDDEN, rng),
            head: Parameter::uniform(HIDDEN, dims, HIDDEN, rng),
            head_bias: Parameter::uniform(1, dims, HIDDEN, rng),
            adam: Adam::new(learning_rate),
            episode: Episode::default(),
        }
    }

    /// Takes one step of the episode from `features`, `[dims]`, and returns the
    /// mean of the next action, `[dims]`.
    pub(super) fn step(&mut self, features: &[f32]) -> Vec<f32> {
        let Episode {
            inputs,
            gates,
            cells,
            squashed,
            hidden,
        } = &mut self.episode;
        let input_start = inputs.len();
        inputs.extend_from_slice(features);
        let previous = if let Some(last) = hidden.len().checked_sub(PANELS) {
            inputs.extend_from_slice(hidden[last..].as_flattened());
            cells[last..].to_vec()
        } else {
            inputs.extend_from_slice(&[0.0; HIDDEN]);
            vec![[0.0; LANES]; PANELS]
        };
        let mut bias = self.input_bias.value.clone();
        for (bias, other) in bias.iter_mut().zip(&self.hidden_bias.value) {
            bias.iter_mut()
                .zip(other)
                .for_each(|(bias, other)| *bias += other);
        }
        let gate_start = gates.len();
        gates.resize(gate_start + GATES * PANELS, [0.0; LANES]);
        let gates = &mut gates[gate_start..];
        let width = self.dims + HIDDEN;
        kernel::affine(
            &inputs[input_start..],
            width,
            &self.cell.value,
            &bias,
            gates,
        );
        for (position, gate) in gates.iter_mut().enumerate() {
            if position / PANELS == 2 {
                kernel::tanh(gate);
            } else {
                sigmoid(gate);
            }
        }
        for panel in 0..PANELS {
            let [input, forget, candidate, output] =
                std::array::from_fn(|gate| &gates[gate * PANELS + panel]);
            let cell: Lane = std::array::from_fn(|lane| {
                forget[lane] * previous[panel][lane] + input[lane] * candidate[lane]
            });
            let mut squashed_cell = cell;
            kernel::tanh(&mut squashed_cell);
            hidden.push(std::array::from_fn(|lane| {
                output[lane] * squashed_cell[lane]
            }));
            cells.push(cell);
            squashed.push(squashed_cell);
        }
        let mut mean = vec![[0.0; LANES]; panels(self.dims)];
        let last = hidden[hidden.len() - PANELS..].as_flattened();
        kernel::affine(
            last,
            HIDDEN,
            &self.head.value,
            &self.head_bias.value,
            &mut mean,
        );
        mean.as_flattened()[..self.dims].to_vec()
    }

    /// Ends the episode with one step of Adam along the gradient of a loss whose
    /// derivative in the means is `mean_gradients`, `[steps, dims]`.
    pub(super) fn update(&mut self, mean_gradients: &[f32]) {
        self.gradient(mean_gradients);
        self.episode = Episode::default();
        let step = self.adam.step();
        for parameter in [
            &mut self.cell,
            &mut self.input_bias,
            &mut self.hidden_bias,
            &mut self.head,
            &mut self.head_bias,
        ] {
            parameter.update(step);
        }
    }

    /// Backward pass through the whole episode.
    fn gradient(&mut self, mean_gradients: &[f32]) {
        let Episode {
            inputs,
            gates,
            cells,
            squashed,
            hidden,
        } = &self.episode;
        let (steps, width) = (hidden.len() / PANELS, self.dims + HIDDEN);
        let head_panels = panels(self.dims);
        let mut means = vec![[0.0; LANES]; steps * head_panels];
        for (row, lanes) in mean_gradients
            .chunks_exact(self.dims)
            .zip(means.chunks_exact_mut(head_panels))
        {
            lanes.as_flattened_mut()[..self.dims].copy_from_slice(row);
        }
        let mut raw = vec![[0.0; LANES]; gates.len()];
        let mut input_slope = vec![0.0; width];
        let mut cell_slope = vec![[0.0; LANES]; PANELS];
        for step in (0..steps).rev() {
            // The next step's gradient reaches this hidden state through its
            // input, which is still in `input_slope`.
            let mut hidden_slope = [0.0; HIDDEN];
            let mean = &means[step * head_panels..][..head_panels];
            kernel::input_gradient(&self.head.value, HIDDEN, mean, &mut hidden_slope);
            for (slope, next) in hidden_slope.iter_mut().zip(&input_slope[self.dims..]) {
                *slope += next;
            }
            let raw = &mut raw[step * GATES * PANELS..][..GATES * PANELS];
            for panel in 0..PANELS {
                let at = step * PANELS + panel;
                for lane in 0..LANES {
                    let [input, forget, candidate, output] = std::array::from_fn(|gate| {
                        gates[(step * GATES + gate) * PANELS + panel][lane]
                    });
                    let slope = hidden_slope[panel * LANES + lane];
                    let squashed = squashed[at][lane];
                    let cell =
                        cell_slope[panel][lane] + slope * output * (1.0 - squashed * squashed);
                    let before = if step > 0 {
                        cells[at - PANELS][lane]
                    } else {
                        0.0
                    };
                    raw[panel][lane] = cell * candidate * input * (1.0 - input);
                    raw[PANELS + panel][lane] = cell * before * forget * (1.0 - forget);
                    raw[2 * PANELS + panel][lane] = cell * input * (1.0 - candidate * candidate);
                    raw[3 * PANELS + panel][lane] = slope * squashed * output * (1.0 - output);
                    cell_slope[panel][lane] = cell * forget;
                }
            }
            kernel::input_gradient(&self.cell.value, width, raw, &mut input_slope);
        }
        kernel::affine_gradient(
            inputs,
            width,
            &raw,
            &mut self.cell.gradient,
            &mut self.input_bias.gradient,
        );
        self.hidden_bias
            .gradient
            .clone_from(&self.input_bias.gradient);
        kernel::affine_gradient(
            hidden.as_flattened(),
            HIDDEN,
            &means,
            &mut self.head.gradient,
            &mut self.head_bias.gradient,
        );
    }
}

/// The logistic function by way of the hyperbolic tangent.
fn sigmoid(values: &mut Lane) {
    for value in &mut *values {
        *value *= 0.5;
    }
    kernel::tanh(values);
    for value in values {
        *value = 0.5 + 0.5 * *value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: usize = 3;
    const STEPS: usize = 4;

    /// Which parameter is checked.
    type Pick = fn(&mut Policy) -> &mut Parameter;

    /// `Σ w · mean` over an episode, in double precision from the definition.
    fn objective(policy: &Policy, features: &[f32], weights: &[f32]) -> f64 {
        let width = DIMS + HIDDEN;
        let at = |parameter: &Parameter, inputs: usize, input: usize, output: usize| {
            parameter.value[output / LANES * inputs + input][output % LANES] as f64
        };
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let (mut h, mut c) = (vec![0.0; HIDDEN], vec![0.0; HIDDEN]);
        let mut total = 0.0;
        for (x, w) in features.chunks_exact(DIMS).zip(weights.chunks_exact(DIMS)) {
            let input: Vec<f64> = x
                .iter()
                .map(|&x| x as f64)
                .chain(h.iter().copied())
                .collect();
            let raw: Vec<f64> = (0..GATES * HIDDEN)
                .map(|o| {
                    let bias = at(&policy.input_bias, 1, 0, o) + at(&policy.hidden_bias, 1, 0, o);
                    bias + (0..width)
                        .map(|i| input[i] * at(&policy.cell, width, i, o))
                        .sum::<f64>()
                })
                .collect();
            for unit in 0..HIDDEN {
                let gate = |gate: usize| raw[gate * HIDDEN + unit];
                c[unit] = logistic(gate(1)) * c[unit] + logistic(gate(0)) * gate(2).tanh();
                h[unit] = logistic(gate(3)) * c[unit].tanh();
            }
            for (o, &w) in w.iter().enumerate() {
                let sum: f64 = (0..HIDDEN)
                    .map(|i| h[i] * at(&policy.head, HIDDEN, i, o))
                    .sum();
                total += w as f64 * (sum + at(&policy.head_bias, 1, 0, o));
            }
        }
        total
    }

    fn episode() -> (Policy, Vec<f32>, Vec<f32>) {
        let mut rng = Stream::new(b"policy", "test", 0);
        let mut values =
            || -> Vec<f32> { (0..STEPS * DIMS).map(|_| rng.normal() as f32).collect() };
        let (features, weights) = (values(), values());
        let policy = Policy::new(DIMS, 0.01, &mut Stream::new(b"policy", "init", 0));
        (policy, features, weights)
    }

    #[test]
    fn the_means_agree_with_the_definition() {
        let (mut policy, features, weights) = episode();
        let mut total = 0.0;
        for (x, w) in features.chunks_exact(DIMS).zip(weights.chunks_exact(DIMS)) {
            total += policy
                .step(x)
                .iter()
                .zip(w)
                .map(|(m, w)| (m * w) as f64)
                .sum::<f64>();
        }
        assert!((total - objective(&policy, &features, &weights)).abs() < 1e-5);
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let (mut policy, features, weights) = episode();
        features
            .chunks_exact(DIMS)
            .for_each(|x| drop(policy.step(x)));
        policy.gradient(&weights);
        let picks: [(Pick, usize); 5] = [
            (|p| &mut p.cell, LANES),
            (|p| &mut p.input_bias, LANES),
            (|p| &mut p.hidden_bias, LANES),
            (|p| &mut p.head, DIMS),
            (|p| &mut p.head_bias, DIMS),
        ];
        for (pick, lanes) in picks {
            // A prime stride visits all gates, inputs and lanes.
            for position in (0..pick(&mut policy).value.len()).step_by(37) {
                let lane = position % lanes;
                let expected = pick(&mut policy).gradient[position][lane] as f64;
                let mut at = |offset: f32| {
                    pick(&mut policy).value[position][lane] += offset;
                    let value = objective(&policy, &features, &weights);
                    pick(&mut policy).value[position][lane] -= offset;
                    value
                };
                let step = 1.0 / 256.0;
                let slope = (at(step) - at(-step)) / (2.0 * step as f64);
                assert!(
                    (slope - expected).abs() < 2e-5,
                    "{position}: {slope} {expected}"
                );
            }
        }
    }

    #[test]
    fn an_update_forgets_the_episode_and_lowers_the_loss() {
        let (mut policy, features, weights) = episode();
        let before = objective(&policy, &features, &weights);
        let first = policy.step(&features[..DIMS]);
        features[DIMS..]
            .chunks_exact(DIMS)
            .for_each(|x| drop(policy.step(x)));
        policy.update(&weights);
        assert!(objective(&policy, &features, &weights) < before);
        let again = policy.step(&features[..DIMS]);
        let moved = first
            .iter()
            .zip(&again)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(moved > 0.0 && moved < 1.0, "{moved}");
    }
}
