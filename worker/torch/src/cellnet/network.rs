//! The macro network: stem, two stages of one cell with a residual reduction
//! between them, pooling, classifier (NAS-Bench-201's skeleton at a small size).
//!
//! All parameters lie in one flat tensor, so that a step of the optimiser is a
//! few operations however many layers there are.

use reprise_search::rng::Stream;
use tch::{Device, Kind, Tensor};

use super::op::{self, CellOp, EDGES, NODES, live};

/// Channels of the first stage; the second has twice as many.
pub(super) const CHANNELS: i64 = 8;

/// Side of an image and of the first stage's activations.
const SIDE: i64 = 8;

/// Classes of the digits.
const CLASSES: i64 = 10;

/// Share of a batch's statistics in the running ones.
const NORM_MOMENTUM: f64 = 0.2;

const NORM_EPSILON: f64 = 1e-5;

#[derive(Debug, Clone, Copy)]
struct Norm {
    scale: usize,
    shift: usize,
    statistics: usize,
}

#[derive(Debug, Clone, Copy)]
struct Conv {
    weight: usize,
    stride: i64,
    padding: i64,
}

#[derive(Debug, Clone, Copy)]
struct ConvNorm {
    conv: Conv,
    norm: Norm,
}

/// A cell's operations, with the layers of those that have weights.
type Cell = [(CellOp, Option<ConvNorm>); 6];

#[derive(Debug)]
struct Reduction {
    first: ConvNorm,
    second: ConvNorm,
    shortcut: Conv,
}

/// A network for one cell.
#[derive(Debug)]
pub(super) struct Network {
    stem: ConvNorm,
    cells: [Cell; 2],
    reduction: Reduction,
    last: Norm,
    weight: usize,
    bias: usize,
    flat: Tensor,
    velocity: Tensor,
    shapes: Vec<Vec<i64>>,
    sizes: Vec<i64>,
    statistics: Vec<(Tensor, Tensor)>,
    pools: [Tensor; 2],
}

impl Network {
    /// A network with PyTorch's default initial values, drawn from streams of
    /// `key` that are named by layer: a layer's values do not depend on which
    /// other layers the cell has.
    pub(super) fn new(cell: [CellOp; 6], key: &[u8]) -> Self {
        let ops = live(cell);
        let mut builder = Builder {
            key,
            values: Vec::new(),
            shapes: Vec::new(),
            statistics: Vec::new(),
        };
        let (narrow, wide) = (CHANNELS, 2 * CHANNELS);
        let stem = builder.conv_norm("stem", 1, narrow, 3, 1);
        let first = builder.cell("first", ops, narrow);
        let reduction = Reduction {
            first: builder.conv_norm("reduction 1", narrow, wide, 3, 2),
            second: builder.conv_norm("reduction 2", wide, wide, 3, 1),
            shortcut: builder.conv("shortcut", narrow, wide, 1, 1),
        };
        let second = builder.cell("second", ops, wide);
        let last = builder.norm(wide);
        let weight = builder.uniform("classifier", &[CLASSES, wide], wide);
        let bias = builder.uniform("classifier bias", &[CLASSES], wide);
        Self {
            stem,
            cells: [first, second],
            reduction,
            last,
            weight,
            bias,
            velocity: Tensor::zeros([builder.values.len() as i64], (Kind::Float, Device::Cpu)),
            flat: Tensor::from_slice(&builder.values).set_requires_grad(true),
            sizes: builder
                .shapes
                .iter()
                .map(|shape| shape.iter().product())
                .collect(),
            shapes: builder.shapes,
            statistics: builder.statistics,
            pools: [SIDE, SIDE / 2].map(pool_matrix),
        }
    }

    /// Trainable parameters.
    pub(super) fn parameters(&self) -> u64 {
        self.sizes.iter().sum::<i64>() as u64
    }

    /// Logits `[images, 10]` of `x`, `[images, 1, 8, 8]`.
    pub(super) fn forward(&self, x: &Tensor, training: bool) -> Tensor {
        let weights = self.weights();
        let pass = Pass {
            network: self,
            weights: &weights,
            training,
        };
        let x = pass.conv_norm(self.stem, x);
        let x = pass.cell(&self.cells[0], x, &self.pools[0]);
        let shortcut = x.avg_pool2d(2, 2, 0, false, true, None::<i64>);
        let y = pass.conv_norm(self.reduction.first, &x.relu());
        let y = pass.conv_norm(self.reduction.second, &y.relu());
        let x = y + pass.conv(self.reduction.shortcut, &shortcut);
        let x = pass.cell(&self.cells[1], x, &self.pools[1]);
        let x = pass
            .norm(self.last, &x)
            .relu()
            .mean_dim([2_i64, 3].as_slice(), false, Kind::Float);
        x.linear(&weights[self.weight], Some(&weights[self.bias]))
    }

    /// One step of SGD with Nesterov momentum; clears the gradient.
    pub(super) fn step(&mut self, rate: f64, momentum: f64, decay: f64) {
        tch::no_grad(|| {
            let gradient = self.flat.grad() + decay * &self.flat;
            let _ = self.velocity.g_mul_scalar_(momentum);
            let _ = self.velocity.g_add_(&gradient);
            let _ = self
                .flat
                .g_sub_(&((gradient + momentum * &self.velocity) * rate));
            self.flat.zero_grad();
        });
    }

    /// Views of the flat tensor; filters in the channels-last order that the
    /// processor's convolutions are fastest in.
    fn weights(&self) -> Vec<Tensor> {
        let parts = self.flat.split_with_sizes(self.sizes.as_slice(), 0);
        let view = |(part, shape): (Tensor, &Vec<i64>)| match shape.as_slice() {
            [out, input, height, width] => part
                .view([*out, *height, *width, *input])
                .permute([0, 3, 1, 2]),
            shape => part.view(shape),
        };
        parts.into_iter().zip(&self.shapes).map(view).collect()
    }
}

/// One forward pass.
struct Pass<'a> {
    network: &'a Network,
    weights: &'a [Tensor],
    training: bool,
}

impl Pass<'_> {
    fn conv(&self, conv: Conv, x: &Tensor) -> Tensor {
        x.conv2d(
            &self.weights[conv.weight],
            None::<&Tensor>,
            conv.stride,
            conv.padding,
            1,
            1,
        )
    }

    fn norm(&self, norm: Norm, x: &Tensor) -> Tensor {
        let (mean, variance) = &self.network.statistics[norm.statistics];
        let (scale, shift) = (&self.weights[norm.scale], &self.weights[norm.shift]);
        let (mean, variance) = (Some(mean), Some(variance));
        x.batch_norm(
            Some(scale),
            Some(shift),
            mean,
            variance,
            self.training,
            NORM_MOMENTUM,
            NORM_EPSILON,
            false,
        )
    }

    fn conv_norm(&self, layer: ConvNorm, x: &Tensor) -> Tensor {
        self.norm(layer.norm, &self.conv(layer.conv, x))
    }

    /// The cell's output; zeros where no path leads to it. `pool` averages the
    /// cell's images.
    fn cell(&self, cell: &Cell, x: Tensor, pool: &Tensor) -> Tensor {
        let zeros = x.zeros_like();
        let mut nodes: [Option<Tensor>; NODES] = [Some(x), None, None, None];
        // All operations that read a node share its rectified values.
        let mut rectified: [Option<Tensor>; NODES] = [const { None }; NODES];
        for ((op, layer), (source, target)) in cell.iter().zip(EDGES) {
            let Some(input) = &nodes[source] else {
                continue;
            };
            let y = match (op, layer) {
                (_, Some(layer)) => {
                    let input = rectified[source].get_or_insert_with(|| input.relu());
                    self.conv_norm(*layer, input)
                }
                (CellOp::SkipConnect, None) => input.shallow_clone(),
                (CellOp::AvgPool3x3, None) => average(input, pool),
                (_, None) => continue,
            };
            nodes[target] = Some(match nodes[target].take() {
                None => y,
                Some(sum) => sum + y,
            });
        }
        let [.., output] = nodes;
        output.unwrap_or(zeros)
    }
}

/// Pools `x`, `[images, channels, side, side]`, by the matrix of its side: several
/// times faster than the pooling kernels on images this small.
fn average(x: &Tensor, pool: &Tensor) -> Tensor {
    let (images, channels, side, _) = x.size4().expect("activations have four dimensions");
    // Activations lie channels last in memory, so no values move in the views.
    let pixels = x
        .permute([0, 2, 3, 1])
        .reshape([images, side * side, channels]);
    pool.matmul(&pixels)
        .view([images, side, side, channels])
        .permute([0, 3, 1, 2])
}

/// The matrix `[pixels, pixels]` of a 3x3 average pooling with stride 1 that does
/// not count the padding, on images of `side * side` pixels.
fn pool_matrix(side: i64) -> Tensor {
    let near =
        |a: i64, b: i64| (a / side - b / side).abs() <= 1 && (a % side - b % side).abs() <= 1;
    let pixels = side * side;
    let mut matrix = Vec::new();
    for target in 0..pixels {
        let count = (0..pixels).filter(|&source| near(target, source)).count();
        let weight = 1.0 / count as f32;
        matrix.extend((0..pixels).map(|source| if near(target, source) { weight } else { 0.0 }));
    }
    Tensor::from_slice(&matrix).view([pixels, pixels])
}

/// Collects parameters while the layers are laid out.
struct Builder<'a> {
    key: &'a [u8],
    values: Vec<f32>,
    shapes: Vec<Vec<i64>>,
    statistics: Vec<(Tensor, Tensor)>,
}

impl Builder<'_> {
    fn push(&mut self, shape: &[i64], mut draw: impl FnMut() -> f32) -> usize {
        let count: i64 = shape.iter().product();
        self.values.extend((0..count).map(|_| draw()));
        self.shapes.push(shape.to_vec());
        self.shapes.len() - 1
    }

    /// PyTorch's default of both layers: uniform within one over the root of the
    /// number of inputs.
    fn uniform(&mut self, name: &str, shape: &[i64], inputs: i64) -> usize {
        let mut stream = Stream::new(self.key, name, 0);
        let bound = 1.0 / (inputs as f64).sqrt();
        self.push(shape, || ((2.0 * stream.uniform() - 1.0) * bound) as f32)
    }

    fn conv(&mut self, name: &str, inputs: i64, outputs: i64, kernel: i64, stride: i64) -> Conv {
        let weight = self.uniform(
            name,
            &[outputs, inputs, kernel, kernel],
            inputs * kernel * kernel,
        );
        Conv {
            weight,
            stride,
            padding: kernel / 2,
        }
    }

    fn norm(&mut self, channels: i64) -> Norm {
        let scale = self.push(&[channels], || 1.0);
        let shift = self.push(&[channels], || 0.0);
        let options = (Kind::Float, Device::Cpu);
        self.statistics.push((
            Tensor::zeros([channels], options),
            Tensor::ones([channels], options),
        ));
        Norm {
            scale,
            shift,
            statistics: self.statistics.len() - 1,
        }
    }

    fn conv_norm(
        &mut self,
        name: &str,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        stride: i64,
    ) -> ConvNorm {
        ConvNorm {
            conv: self.conv(name, inputs, outputs, kernel, stride),
            norm: self.norm(outputs),
        }
    }

    fn cell(&mut self, name: &str, ops: [CellOp; 6], channels: i64) -> Cell {
        let mut edge = 0;
        ops.map(|op| {
            edge += 1;
            let layer = op::kernel(op).map(|kernel| {
                self.conv_norm(
                    &format!("{name} cell edge {edge}"),
                    channels,
                    channels,
                    kernel,
                    1,
                )
            });
            (op, layer)
        })
    }
}
