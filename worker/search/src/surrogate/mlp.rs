//! The network of the surrogate: inputs, 128 tanh units, one linear output
//! (protocol notes, section 5a), trained by Adam on the squared error.

#![expect(
    clippy::inline_always,
    reason = "only inlined code gets the vector width"
)]

use super::adam::{Adam, Parameter, Step};
use super::kernel::{LANES, Lane};
use super::wide;
use crate::rng::Stream;

/// Hidden units: the dimension of the basis.
pub const HIDDEN: usize = 128;

/// Panels of the hidden layer.
pub const PANELS: usize = HIDDEN / LANES;

/// Rows of a training batch.
pub const BATCH: usize = 10;

/// Adam's learning rate.
const LEARNING_RATE: f64 = 0.01;

/// The network and its optimiser.
#[derive(Debug, Clone)]
pub struct Mlp {
    inputs: usize,
    hidden_weights: Parameter,
    hidden_bias: Parameter,
    out_weights: Parameter,
    out_bias: Parameter,
    adam: Adam,
}

/// Buffers of one training step, reused over steps.
#[derive(Debug)]
struct Workspace {
    x: Vec<f32>,
    y: Vec<f32>,
    hidden: Vec<Lane>,
}

/// One pass over the data in a given order.
struct Epoch<'a> {
    network: &'a mut Mlp,
    workspace: &'a mut Workspace,
    order: &'a [u32],
    x: &'a [f32],
    y: &'a [f32],
}

impl pulp::WithSimd for Epoch<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        for batch in self.order.chunks_exact(self.workspace.y.len().max(1)) {
            self.workspace.gather(self.x, self.y, batch);
            let step = self.network.adam.step();
            self.network.step(simd, self.workspace, step);
        }
    }
}

impl Workspace {
    /// Copies the rows of a batch together.
    #[inline(always)]
    fn gather(&mut self, x: &[f32], y: &[f32], batch: &[u32]) {
        let inputs = x.len() / y.len();
        let into = self.x.chunks_exact_mut(inputs);
        for ((&row, x_row), y_row) in batch.iter().zip(into).zip(&mut self.y) {
            let row = row as usize;
            x_row.copy_from_slice(&x[row * inputs..(row + 1) * inputs]);
            *y_row = y[row];
        }
    }
}

impl Mlp {
    /// A network with PyTorch's default initial values.
    pub fn new(inputs: usize, rng: &mut Stream) -> Self {
        let mut out_bias = Parameter::zeros(1);
        // Only the first value of this lane is a parameter.
        out_bias.value[0][0] = Parameter::uniform(1, 1, HIDDEN, rng).value[0][0];
        Self {
            inputs,
            hidden_weights: Parameter::uniform(inputs, HIDDEN, inputs, rng),
            hidden_bias: Parameter::uniform(1, HIDDEN, inputs, rng),
            out_weights: Parameter::uniform(1, HIDDEN, HIDDEN, rng),
            out_bias,
            adam: Adam::new(LEARNING_RATE),
        }
    }

    /// Trains on `x`, `[rows, inputs]`, against `y`, `[rows]`, for so many passes
    /// in batches of [`BATCH`]. Each pass shuffles again and drops the last
    /// incomplete batch; no more than [`BATCH`] rows are one batch.
    pub fn train(&mut self, x: &[f32], y: &[f32], epochs: u32, rng: &mut Stream) {
        let rows = y.len().min(BATCH);
        let mut workspace = Workspace {
            x: vec![0.0; rows * self.inputs],
            y: vec![0.0; rows],
            hidden: vec![[0.0; LANES]; rows * PANELS],
        };
        let mut order: Vec<u32> = Vec::with_capacity(y.len());
        for _ in 0..epochs {
            order.clear();
            order.extend(0..y.len() as u32);
            rng.shuffle(&mut order);
            pulp::Arch::new().dispatch(Epoch {
                network: self,
                workspace: &mut workspace,
                order: &order,
                x,
                y,
            });
        }
    }

    /// The basis: hidden activations of `x`, `[rows, inputs]`, into `out`,
    /// `[rows, PANELS]`.
    #[inline(always)]
    pub(super) fn basis<S: pulp::Simd>(&self, simd: S, x: &[f32], out: &mut [Lane]) {
        let (weights, bias) = (&self.hidden_weights.value, &self.hidden_bias.value);
        wide::layer(simd, x, self.inputs, weights, bias, out);
    }

    /// Weights of the hidden layer, `[PANELS, inputs]`.
    pub fn hidden_weights(&self) -> &[Lane] {
        &self.hidden_weights.value
    }

    /// Biases of the hidden layer, `[PANELS]`.
    pub fn hidden_bias(&self) -> &[Lane] {
        &self.hidden_bias.value
    }

    /// Length of an input row.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    #[inline(always)]
    fn step<S: pulp::Simd>(&mut self, simd: S, workspace: &mut Workspace, step: Step) {
        self.gradient(simd, workspace);
        self.hidden_weights.update_by(simd, step);
        self.hidden_bias.update_by(simd, step);
        self.out_weights.update_by(simd, step);
        self.out_bias.update_by(simd, step);
    }

    /// Forward and backward pass of one batch. Leaves the gradient of the hidden
    /// layer's inputs in the workspace.
    #[inline(always)]
    fn gradient<S: pulp::Simd>(&mut self, simd: S, workspace: &mut Workspace) {
        let Workspace { x, y, hidden } = workspace;
        self.basis(simd, x, hidden);
        let out_gradient = &mut self.out_weights.gradient;
        out_gradient.fill([0.0; LANES]);
        self.out_bias.gradient[0][0] = 0.0;
        let scale = 2.0 / y.len() as f32;
        let one = simd.splat_f32s(1.0);
        for (activations, &target) in hidden.chunks_exact_mut(PANELS).zip(y.iter()) {
            let output =
                wide::dot(simd, activations, &self.out_weights.value) + self.out_bias.value[0][0];
            let slope = scale * (output - target);
            self.out_bias.gradient[0][0] += slope;
            let slope = simd.splat_f32s(slope);
            let weights = self.out_weights.value.iter().zip(out_gradient.iter_mut());
            for (active, (weights, gradient)) in activations.iter_mut().zip(weights) {
                for part in 0..wide::parts::<S>() {
                    let value = wide::load(simd, active, part);
                    let total = wide::load(simd, gradient, part);
                    let total = simd.add_f32s(total, simd.mul_f32s(slope, value));
                    wide::store(simd, gradient, part, total);
                    let bend = simd.sub_f32s(one, simd.mul_f32s(value, value));
                    let weight = wide::load(simd, weights, part);
                    let back = simd.mul_f32s(simd.mul_f32s(slope, weight), bend);
                    wide::store(simd, active, part, back);
                }
            }
        }
        wide::affine_gradient(
            simd,
            x,
            self.inputs,
            hidden,
            &mut self.hidden_weights.gradient,
            &mut self.hidden_bias.gradient,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which parameter is checked.
    type Pick = fn(&mut Mlp) -> &mut Parameter;

    fn batch(inputs: usize, rows: usize) -> Workspace {
        let mut rng = Stream::new(b"mlp", "batch", 0);
        Workspace {
            x: (0..rows * inputs).map(|_| rng.normal() as f32).collect(),
            y: (0..rows).map(|_| rng.normal() as f32).collect(),
            hidden: vec![[0.0; LANES]; rows * PANELS],
        }
    }

    /// Mean squared error in double precision, straight from the definition.
    fn loss(net: &Mlp, batch: &Workspace) -> f64 {
        let mut total = 0.0;
        for (row, &target) in batch.x.chunks_exact(net.inputs).zip(&batch.y) {
            let mut output = net.out_bias.value[0][0] as f64;
            for unit in 0..HIDDEN {
                let (panel, lane) = (unit / LANES, unit % LANES);
                let weights = &net.hidden_weights.value[panel * net.inputs..];
                let mut sum = net.hidden_bias.value[panel][lane] as f64;
                for (x, weight) in row.iter().zip(weights) {
                    sum += *x as f64 * weight[lane] as f64;
                }
                output += sum.tanh() * net.out_weights.value[panel][lane] as f64;
            }
            total += (output - target as f64).powi(2);
        }
        total / batch.y.len() as f64
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let mut net = Mlp::new(5, &mut Stream::new(b"mlp", "init", 0));
        let mut work = batch(5, 7);
        net.gradient(pulp::Scalar::new(), &mut work);
        let picks: [(Pick, usize); 4] = [
            (|net| &mut net.hidden_weights, LANES),
            (|net| &mut net.hidden_bias, LANES),
            (|net| &mut net.out_weights, LANES),
            (|net| &mut net.out_bias, 1),
        ];
        for (pick, lanes) in picks {
            for position in 0..pick(&mut net).value.len() {
                let lane = position % lanes;
                let expected = pick(&mut net).gradient[position][lane] as f64;
                let mut at = |offset: f32| {
                    pick(&mut net).value[position][lane] += offset;
                    let result = loss(&net, &work);
                    pick(&mut net).value[position][lane] -= offset;
                    result
                };
                let step = 1.0 / 1024.0;
                let slope = (at(step) - at(-step)) / (2.0 * step as f64);
                assert!((slope - expected).abs() < 2e-5, "{slope} {expected}");
            }
        }
    }

    #[test]
    fn training_fits_a_smooth_function() {
        let mut work = batch(3, 60);
        for (row, y) in work.x.chunks_exact(3).zip(&mut work.y) {
            *y = 0.9 + 0.5 * (row[0] - row[1]).sin();
        }
        let mut net = Mlp::new(3, &mut Stream::new(b"mlp", "init", 1));
        let before = loss(&net, &work);
        net.train(&work.x, &work.y, 300, &mut Stream::new(b"mlp", "order", 0));
        let after = loss(&net, &work);
        assert!(before > 0.1 && after < 0.01, "{before} {after}");
    }

    /// Eleven rows are one batch of ten a pass; ten rows and fewer are all used.
    #[test]
    fn incomplete_batches_are_dropped() {
        for (rows, dropped) in [(9, false), (10, false), (11, true)] {
            let work = batch(2, rows);
            let train = |work: &Workspace| {
                let mut net = Mlp::new(2, &mut Stream::new(b"mlp", "init", 2));
                net.train(&work.x, &work.y, 1, &mut Stream::new(b"mlp", "order", 1));
                net.out_weights.value
            };
            let trained = train(&work);
            let unused = (0..rows).filter(|&row| {
                let mut other = batch(2, rows);
                other.y[row] += 1.0;
                train(&other) == trained
            });
            assert_eq!(unused.count(), usize::from(dropped));
        }
    }
}
