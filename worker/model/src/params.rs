//! The parameters of a model as plain values: initialisation, import under the
//! published names, export as safetensors.
//!
//! Not here: the restricted reader of published `.pt` files (`reprise-data`),
//! which hands its arrays to [`Params::from_named`].

use std::collections::BTreeMap;

use reprise_search::rng::Stream;

use crate::error::ParamsError;
use crate::shape::{Layout, Named, Role, Shape, Store};
use crate::tensors::{TensorFile, TensorWriter};

/// Suffix of the names of counters that the model does not need.
const COUNTER: &str = "num_batches_tracked";

/// A single-precision array of the given shape, row-major.
pub type NamedArray = (Vec<usize>, Vec<f32>);

/// All parameters and running statistics of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Where each tensor lies.
    pub layout: Layout,
    /// Trainable values, placed by the layout.
    pub values: Vec<f32>,
    /// Running means and variances, placed by the layout.
    pub statistics: Vec<f32>,
    /// Training-mode batches that moved the statistics.
    pub batches: u64,
}

impl Params {
    /// Fresh parameters with `PyTorch`'s defaults: every weight and bias of a
    /// linear map uniform within `1/sqrt(inputs)` (which is what its Kaiming
    /// initialisation with `a = sqrt(5)` amounts to), scales one, the rest zero.
    /// `key` names the random streams.
    pub fn init(shape: Shape, key: &[u8]) -> Result<Self, ParamsError> {
        let layout = Layout::new(shape.checked()?);
        let mut params = Self {
            values: vec![0.0; layout.parameters],
            statistics: vec![0.0; layout.statistics],
            batches: 0,
            layout,
        };
        let Self {
            layout,
            values,
            statistics,
            ..
        } = &mut params;
        for (position, tensor) in layout.tensors.iter().enumerate() {
            let slot = match tensor.store {
                Store::Parameters => &mut values[tensor.range.clone()],
                Store::Statistics => &mut statistics[tensor.range.clone()],
            };
            match tensor.role {
                Role::Linear { inputs } => {
                    let bound = 1.0 / (inputs as f64).sqrt();
                    let mut stream = Stream::new(key, "initial parameters", position as u64);
                    for value in slot {
                        *value = (bound * (2.0 * stream.uniform() - 1.0)) as f32;
                    }
                }
                Role::Ones => slot.fill(1.0),
                Role::Zeros => slot.fill(0.0),
            }
        }
        Ok(params)
    }

    /// Takes over arrays under their published names. The sizes are inferred from
    /// the arrays. Every array of the model must be there with the shape that
    /// follows from them, and no other array may be there (counters of seen batches
    /// are ignored).
    pub fn from_named(mut arrays: BTreeMap<String, NamedArray>) -> Result<Self, ParamsError> {
        let layout = Layout::new(infer_shape(&arrays)?);
        let mut params = Self {
            values: vec![0.0; layout.parameters],
            statistics: vec![0.0; layout.statistics],
            batches: 0,
            layout,
        };
        for tensor in &params.layout.tensors {
            let (dims, values) =
                arrays
                    .remove(&tensor.name)
                    .ok_or_else(|| ParamsError::Missing {
                        name: tensor.name.clone(),
                    })?;
            if dims != tensor.dims || values.len() != tensor.range.len() {
                return Err(ParamsError::Shape {
                    name: tensor.name.clone(),
                    found: dims,
                    expected: tensor.dims.clone(),
                });
            }
            if let Some(position) = values.iter().position(|value| !value.is_finite()) {
                return Err(ParamsError::NotFinite {
                    name: tensor.name.clone(),
                    position,
                    value: values[position],
                });
            }
            let store = match tensor.store {
                Store::Parameters => &mut params.values,
                Store::Statistics => &mut params.statistics,
            };
            store[tensor.range.clone()].copy_from_slice(&values);
        }
        match arrays.into_keys().find(|name| !name.ends_with(COUNTER)) {
            Some(name) => Err(ParamsError::Unknown {
                name,
                layers: params.layout.shape.layers,
            }),
            None => Ok(params),
        }
    }

    /// Reads a checkpoint of parameters under their published names.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, ParamsError> {
        Self::from_file(&TensorFile::parse(bytes)?, "")
    }

    /// The same from the tensors of a file whose names start with `prefix`.
    pub(crate) fn from_file(file: &TensorFile<'_>, prefix: &str) -> Result<Self, ParamsError> {
        let mut arrays = BTreeMap::new();
        for name in file.names() {
            if let Some(published) = name.strip_prefix(prefix)
                && !published.ends_with(COUNTER)
            {
                arrays.insert(published.to_owned(), file.f32s(name)?);
            }
        }
        let mut params = Self::from_named(arrays)?;
        let counter = params.layout.counters().next();
        params.batches = counter
            .and_then(|name| file.counter(&format!("{prefix}{name}")))
            .unwrap_or(0);
        Ok(params)
    }

    /// A checkpoint under the published names, loadable into the published model.
    pub fn to_safetensors(&self) -> Vec<u8> {
        let mut writer = TensorWriter::default();
        self.write(&mut writer, "");
        writer.finish::<()>(None)
    }

    pub(crate) fn write(&self, writer: &mut TensorWriter, prefix: &str) {
        for tensor in &self.layout.tensors {
            let name = format!("{prefix}{}", tensor.name);
            writer.f32s(name, &tensor.dims, self.tensor(tensor));
        }
        for name in self.layout.counters() {
            writer.counter(format!("{prefix}{name}"), self.batches);
        }
    }

    /// The sizes of the model.
    pub fn shape(&self) -> Shape {
        self.layout.shape
    }

    /// Number of trainable parameters.
    pub fn trainable(&self) -> usize {
        self.values.len()
    }

    fn tensor(&self, tensor: &Named) -> &[f32] {
        let store = match tensor.store {
            Store::Parameters => &self.values,
            Store::Statistics => &self.statistics,
        };
        &store[tensor.range.clone()]
    }
}

fn infer_shape(arrays: &BTreeMap<String, NamedArray>) -> Result<Shape, ParamsError> {
    let dims = |name: &str, rank: usize| {
        let (dims, _) = arrays.get(name).ok_or_else(|| ParamsError::Missing {
            name: name.to_owned(),
        })?;
        if dims.len() == rank {
            Ok(dims)
        } else {
            Err(ParamsError::Rank {
                name: name.to_owned(),
                found: dims.clone(),
                dims: rank,
            })
        }
    };
    let heads = dims("fc1.weight", 2)?;
    Shape {
        operations: dims("mlps.0.linears.0.weight", 2)?[1],
        hidden: heads[1],
        latent: heads[0],
        layers: dims("eps", 1)?[0],
    }
    .checked()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        operations: 3,
        hidden: 8,
        latent: 4,
        layers: 2,
    };

    fn named(params: &Params) -> BTreeMap<String, NamedArray> {
        let tensors = params.layout.tensors.iter();
        tensors
            .map(|tensor| {
                let values = params.tensor(tensor).to_vec();
                (tensor.name.clone(), (tensor.dims.clone(), values))
            })
            .collect()
    }

    #[test]
    fn a_checkpoint_reads_back_as_it_was() {
        let mut params = Params::init(SHAPE, b"key").unwrap();
        params.batches = 7;
        let bytes = params.to_safetensors();
        assert_eq!(Params::from_safetensors(&bytes).unwrap(), params);
        assert_eq!(params.to_safetensors(), bytes);
    }

    #[test]
    fn initial_values_lie_within_their_bound_and_fill_it() {
        let params = Params::init(SHAPE, b"key").unwrap();
        let stage = &params.layout.blocks[1][0];
        let weight = &params.values[stage.linear.weight.clone()];
        let bound = 1.0 / 8.0_f32.sqrt();
        let largest = weight.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
        assert!(largest <= bound && largest > 0.9 * bound, "{largest}");
        let mean = weight.iter().sum::<f32>() / weight.len() as f32;
        assert!(mean.abs() < 0.15, "{mean}");
        assert!(params.values[stage.norm.scale.clone()] == [1.0; 8]);
        assert_ne!(params, Params::init(SHAPE, b"another").unwrap());
    }

    #[test]
    fn wrong_arrays_are_named() {
        let good = named(&Params::init(SHAPE, b"key").unwrap());
        assert!(Params::from_named(good.clone()).is_ok());

        let check = |change: fn(&mut BTreeMap<String, NamedArray>), expected: &str| {
            let mut arrays = good.clone();
            change(&mut arrays);
            let error = Params::from_named(arrays).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(
            |a| drop(a.remove("fc2.bias")),
            "tensor `fc2.bias` is missing",
        );
        check(|a| drop(a.remove("eps")), "tensor `eps` is missing");
        check(
            |a| a.get_mut("fc1.bias").unwrap().0 = vec![5],
            "`fc1.bias` has shape [5], expected [4]",
        );
        check(
            |a| a.get_mut("eps").unwrap().0 = vec![1, 2],
            "expected 1 dimensions",
        );
        check(
            |a| a.get_mut("eps").unwrap().0 = vec![1 << 30],
            "1073741824 layers",
        );
        check(
            |a| a.get_mut("eps").unwrap().1[1] = f32::NAN,
            "`eps` holds `NaN` at position 1",
        );
        check(
            |a| drop(a.insert("gcs.0.weight".to_owned(), (vec![1], vec![0.0]))),
            "`gcs.0.weight` is not part",
        );
        check(
            |a| a.get_mut("decoder.weight.bias").unwrap().1.clear(),
            "`decoder.weight.bias` has shape",
        );
    }
}
