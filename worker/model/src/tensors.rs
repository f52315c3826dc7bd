//! Reading and writing safetensors: little-endian conversion, checks of names,
//! types and shapes. Files may come from anywhere; every mismatch is an error.
//!
//! A file carries at most one metadata entry, since several are written in no
//! fixed order and equal content must give equal bytes.

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::TensorFileError;

/// The one metadata entry.
const KEY: &str = "reprise";

/// Collects tensors and writes them.
#[derive(Debug, Default)]
pub(crate) struct TensorWriter {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl TensorWriter {
    pub(crate) fn f32s(&mut self, name: impl Into<String>, dims: &[usize], values: &[f32]) {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensors
            .push((name.into(), Dtype::F32, dims.to_vec(), bytes));
    }

    pub(crate) fn f64s(&mut self, name: impl Into<String>, values: &[f64]) {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensors
            .push((name.into(), Dtype::F64, vec![values.len()], bytes));
    }

    /// A counter, as the published checkpoints hold them.
    pub(crate) fn counter(&mut self, name: impl Into<String>, value: u64) {
        let bytes = (value as i64).to_le_bytes().to_vec();
        self.tensors
            .push((name.into(), Dtype::I64, Vec::new(), bytes));
    }

    /// The file; equal content gives equal bytes.
    pub(crate) fn finish<M: Serialize>(self, metadata: Option<&M>) -> Vec<u8> {
        let metadata = metadata.map(|metadata| {
            let json = serde_json::to_string(metadata)
                .expect("metadata has string keys and finite numbers");
            HashMap::from([(KEY.to_owned(), json)])
        });
        let views = self.tensors.iter().map(|(name, dtype, dims, bytes)| {
            let view = TensorView::new(*dtype, dims.clone(), bytes)
                .expect("every tensor was added with the dimensions of its values");
            (name.as_str(), view)
        });
        safetensors::serialize(views, metadata).expect("views of checked tensors serialise")
    }
}

/// A parsed file.
#[derive(Debug)]
pub(crate) struct TensorFile<'a> {
    tensors: SafeTensors<'a>,
    metadata: HashMap<String, String>,
}

impl<'a> TensorFile<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, TensorFileError> {
        let tensors = SafeTensors::deserialize(bytes)?;
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self { tensors, metadata })
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tensors.names();
        names.sort_unstable();
        names
    }

    fn view(&self, name: &str, dtype: Dtype) -> Result<TensorView<'a>, TensorFileError> {
        let view = self
            .tensors
            .tensor(name)
            .map_err(|_| TensorFileError::Missing {
                name: name.to_owned(),
            })?;
        if view.dtype() == dtype {
            return Ok(view);
        }
        Err(TensorFileError::Type {
            name: name.to_owned(),
            found: format!("{:?}", view.dtype()),
            expected: match dtype {
                Dtype::F32 => "F32",
                Dtype::F64 => "F64",
                _ => "I64",
            },
        })
    }

    /// Shape and values of a single-precision tensor.
    pub(crate) fn f32s(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), TensorFileError> {
        let view = self.view(name, Dtype::F32)?;
        let (values, _) = view.data().as_chunks::<4>();
        let values = values.iter().map(|&v| f32::from_le_bytes(v)).collect();
        Ok((view.shape().to_vec(), values))
    }

    /// The same for a tensor that must have this shape.
    pub(crate) fn f32s_of(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, TensorFileError> {
        let (found, values) = self.f32s(name)?;
        if found == dims {
            return Ok(values);
        }
        Err(TensorFileError::Shape {
            name: name.to_owned(),
            found,
            expected: format!("{dims:?}"),
        })
    }

    /// A vector of doubles of this length.
    pub(crate) fn f64s_of(&self, name: &str, len: usize) -> Result<Vec<f64>, TensorFileError> {
        let view = self.view(name, Dtype::F64)?;
        if view.shape() != [len] {
            return Err(TensorFileError::Shape {
                name: name.to_owned(),
                found: view.shape().to_vec(),
                expected: format!("[{len}]"),
            });
        }
        let (values, _) = view.data().as_chunks::<8>();
        Ok(values.iter().map(|&v| f64::from_le_bytes(v)).collect())
    }

    /// A counter, or `None` if the file does not have it.
    pub(crate) fn counter(&self, name: &str) -> Option<u64> {
        let view = self.view(name, Dtype::I64).ok()?;
        let bytes = view.data().first_chunk::<8>()?;
        u64::try_from(i64::from_le_bytes(*bytes)).ok()
    }

    /// A metadata entry as it stands.
    pub(crate) fn entry(&self, key: &'static str) -> Result<&str, TensorFileError> {
        self.metadata
            .get(key)
            .map(String::as_str)
            .ok_or(TensorFileError::NoMetadata { key })
    }

    /// A metadata entry that holds JSON.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<T, TensorFileError> {
        serde_json::from_str(self.entry(key)?).map_err(|error| TensorFileError::Metadata {
            key,
            expected,
            reason: error.to_string(),
        })
    }

    /// The entry that [`TensorWriter::finish`] wrote.
    pub(crate) fn own_metadata<T: DeserializeOwned>(
        &self,
        expected: &'static str,
    ) -> Result<T, TensorFileError> {
        self.json(KEY, expected)
    }
}
