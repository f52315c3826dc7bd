//! Sizes of the autoencoder and where each of its tensors lies: all trainable
//! parameters are one flat buffer, all `BatchNorm` statistics another, so that an
//! optimiser step is one loop. Tensors keep their published names.
//!
//! Not here: the values ([`crate::params`]).

use std::ops::Range;

use reprise_domain::bounds::pretrain as bounds;

use crate::error::ParamsError;

/// Sizes that decide the shape of every parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// One-hot operations of a node.
    pub operations: usize,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Latent dimensions of a node.
    pub latent: usize,
    /// Graph isomorphism layers.
    pub layers: usize,
}

impl Shape {
    /// Far above every published model, far below what would exhaust memory: the
    /// bounds of a study, which binds the sizes together more closely, and for the
    /// operations of a space.
    const LIMIT: Self = Self {
        operations: 64,
        hidden: bounds::HIDDEN.most as usize,
        latent: bounds::LATENT.most as usize,
        layers: bounds::LAYERS.most as usize,
    };

    /// The shape, if no size is zero or absurd.
    pub fn checked(self) -> Result<Self, ParamsError> {
        let limit = Self::LIMIT;
        for (what, size, largest) in [
            ("operations", self.operations, limit.operations),
            ("hidden units", self.hidden, limit.hidden),
            ("latent dimensions", self.latent, limit.latent),
            ("layers", self.layers, limit.layers),
        ] {
            if !(1..=largest).contains(&size) {
                return Err(ParamsError::Size {
                    what,
                    size,
                    largest,
                });
            }
        }
        Ok(self)
    }
}

/// A linear map's place: weight `[outputs, inputs]` row-major, bias `[outputs]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// Of the weight.
    pub weight: Range<usize>,
    /// Of the bias.
    pub bias: Range<usize>,
    /// Width of its input.
    pub inputs: usize,
    /// Width of its output.
    pub outputs: usize,
}

/// A `BatchNorm`'s place: scale and shift among the parameters, mean and variance
/// among the statistics, all `[hidden]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Norm {
    /// Of the factors.
    pub scale: Range<usize>,
    /// Of the summands.
    pub shift: Range<usize>,
    /// Of the running means.
    pub mean: Range<usize>,
    /// Of the running variances.
    pub variance: Range<usize>,
}

/// One linear map with the normalisation and `ReLU` that follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The linear map.
    pub linear: Linear,
    /// What normalises its output.
    pub norm: Norm,
}

/// One graph isomorphism layer: aggregate, then two stages.
pub type Block = [Stage; 2];

/// Which flat buffer a tensor lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The trainable parameters.
    Parameters,
    /// The running statistics.
    Statistics,
}

/// A tensor under its published name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its published name.
    pub name: String,
    /// Its shape.
    pub dims: Vec<usize>,
    /// The buffer that it lies in.
    pub store: Store,
    /// Where it lies in the buffer.
    pub range: Range<usize>,
    /// What it is for.
    pub role: Role,
}

/// What a tensor is for; decides how it is initialised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Weight or bias of a linear map with so many inputs.
    Linear {
        /// Width of the map's input.
        inputs: usize,
    },
    /// Starts at one.
    Ones,
    /// Starts at zero.
    Zeros,
}

/// The place of every tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The sizes.
    pub shape: Shape,
    /// The layers of the encoder, first to last.
    pub blocks: Vec<Block>,
    /// Both heads as one linear map: the mean's rows, then the log standard
    /// deviation's.
    pub heads: Linear,
    /// The decoder of operations.
    pub decoder: Linear,
    /// The learnable self-loop weights, `[layers]`.
    pub epsilon: Range<usize>,
    /// Length of the parameter buffer.
    pub parameters: usize,
    /// Length of the statistics buffer.
    pub statistics: usize,
    /// Every tensor, in the order of the buffers.
    pub tensors: Vec<Named>,
}

impl Layout {
    /// The layout of a model of these sizes.
    pub fn new(shape: Shape) -> Self {
        let Shape {
            operations,
            hidden,
            latent,
            layers,
        } = shape;
        let mut build = Builder::default();
        let blocks = (0..layers)
            .map(|layer| {
                let inputs = if layer == 0 { operations } else { hidden };
                let inner = format!("mlps.{layer}.linears.0");
                let inner_norm = format!("mlps.{layer}.batch_norms.0");
                let outer = format!("mlps.{layer}.linears.1");
                let outer_norm = format!("batch_norms.{layer}");
                [
                    Stage {
                        linear: build.linear(&inner, inputs, hidden),
                        norm: build.norm(&inner_norm, hidden),
                    },
                    Stage {
                        linear: build.linear(&outer, hidden, hidden),
                        norm: build.norm(&outer_norm, hidden),
                    },
                ]
            })
            .collect();
        let head = Role::Linear { inputs: hidden };
        let mean = build.parameter("fc1.weight", &[latent, hidden], head);
        let log_std = build.parameter("fc2.weight", &[latent, hidden], head);
        let mean_bias = build.parameter("fc1.bias", &[latent], head);
        let log_std_bias = build.parameter("fc2.bias", &[latent], head);
        let heads = Linear {
            weight: mean.start..log_std.end,
            bias: mean_bias.start..log_std_bias.end,
            inputs: hidden,
            outputs: 2 * latent,
        };
        let decoder = build.linear("decoder.weight", latent, operations);
        let epsilon = build.parameter("eps", &[layers], Role::Zeros);
        Self {
            shape,
            blocks,
            heads,
            decoder,
            epsilon,
            parameters: build.parameters,
            statistics: build.statistics,
            tensors: build.tensors,
        }
    }

    /// The names of the counters that a published checkpoint holds beside every
    /// `BatchNorm`'s statistics.
    pub(crate) fn counters(&self) -> impl Iterator<Item = String> {
        (0..self.shape.layers).flat_map(|layer| {
            [
                format!("mlps.{layer}.batch_norms.0.num_batches_tracked"),
                format!("batch_norms.{layer}.num_batches_tracked"),
            ]
        })
    }
}

#[derive(Debug, Default)]
struct Builder {
    tensors: Vec<Named>,
    parameters: usize,
    statistics: usize,
}

impl Builder {
    fn place(&mut self, name: &str, dims: &[usize], role: Role, store: Store) -> Range<usize> {
        let end = match store {
            Store::Parameters => &mut self.parameters,
            Store::Statistics => &mut self.statistics,
        };
        let range = *end..*end + dims.iter().product::<usize>();
        *end = range.end;
        self.tensors.push(Named {
            name: name.to_owned(),
            dims: dims.to_vec(),
            store,
            range: range.clone(),
            role,
        });
        range
    }

    fn parameter(&mut self, name: &str, dims: &[usize], role: Role) -> Range<usize> {
        self.place(name, dims, role, Store::Parameters)
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Linear {
        let role = Role::Linear { inputs };
        Linear {
            weight: self.parameter(&format!("{name}.weight"), &[outputs, inputs], role),
            bias: self.parameter(&format!("{name}.bias"), &[outputs], role),
            inputs,
            outputs,
        }
    }

    fn norm(&mut self, name: &str, width: usize) -> Norm {
        let mut place =
            |part: &str, role, store| self.place(&format!("{name}.{part}"), &[width], role, store);
        Norm {
            scale: place("weight", Role::Ones, Store::Parameters),
            shift: place("bias", Role::Zeros, Store::Parameters),
            mean: place("running_mean", Role::Zeros, Store::Statistics),
            variance: place("running_var", Role::Ones, Store::Statistics),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sizes_give_the_published_number_of_parameters() {
        // Counted from the published state dict of the NAS-Bench-101 model:
        // 7 maps of 128x128 and one of 128x5 with biases, 8 norms, two heads,
        // the decoder and four epsilons.
        let layout = Layout::new(Shape {
            operations: 5,
            hidden: 128,
            latent: 16,
            layers: 4,
        });
        let expected =
            7 * (128 * 128 + 128) + (128 * 5 + 128) + 8 * 256 + 2 * (16 * 129) + (5 * 17) + 4;
        assert_eq!(layout.parameters, expected);
        assert_eq!(layout.statistics, 8 * 256);
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let good = Shape {
            operations: 5,
            hidden: 8,
            latent: 4,
            layers: 2,
        };
        assert!(good.checked().is_ok());
        for wrong in [
            Shape { hidden: 0, ..good },
            Shape {
                hidden: 1 << 40,
                ..good
            },
            Shape { layers: 33, ..good },
        ] {
            assert!(wrong.checked().is_err(), "{wrong:?}");
        }
    }
}
