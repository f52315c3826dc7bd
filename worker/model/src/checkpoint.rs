//! The file that a pretraining is resumed from: everything that decides what
//! comes next. Random streams are keyed by position, so the position is enough.

use reprise_domain::{EpochMeasures, PretrainSpec};
use serde::{Deserialize, Serialize};

use crate::engine::State;
use crate::error::{PretrainError, TensorFileError};
use crate::params::Params;
use crate::prior::CodeSums;
use crate::tensors::{TensorFile, TensorWriter};

/// Raise it when the meaning of anything in the file changes.
const FORMAT: &str = "reprise pretraining checkpoint 1";

/// What the metadata holds.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    spec: PretrainSpec,
    graphs: usize,
    epoch: u32,
    step: u64,
    epochs: Vec<EpochMeasures>,
}

/// Only the format, which is checked before the rest is read.
#[derive(Debug, Deserialize)]
struct Format {
    format: String,
}

/// A pretraining between two steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// What is pretrained.
    pub spec: PretrainSpec,
    /// Graphs of the space.
    pub graphs: usize,
    /// Epoch in progress, from 0.
    pub epoch: u32,
    /// Steps of it that are done.
    pub step: u64,
    /// Measures of the epochs before.
    pub epochs: Vec<EpochMeasures>,
    /// Sum of the epoch's batch losses so far.
    pub loss_sum: f64,
    /// Sums over the epoch's codes so far.
    pub codes: CodeSums,
    /// Parameters and optimiser.
    pub state: State,
}

impl Checkpoint {
    /// The file; equal content gives equal bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut writer = TensorWriter::default();
        self.state.params.write(&mut writer, "model.");
        let moments = [self.state.first.len()];
        writer.f32s("adam.first", &moments, &self.state.first);
        writer.f32s("adam.second", &moments, &self.state.second);
        writer.counter("adam.steps", self.state.steps);
        writer.f64s("epoch.loss", &[self.loss_sum]);
        writer.f64s("epoch.sums", &self.codes.sums);
        writer.f64s("epoch.squares", &self.codes.squares);
        writer.counter("epoch.graphs", self.codes.graphs);
        writer.finish(Some(&Header {
            format: FORMAT.to_owned(),
            spec: self.spec,
            graphs: self.graphs,
            epoch: self.epoch,
            step: self.step,
            epochs: self.epochs.clone(),
        }))
    }

    /// Reads a checkpoint of a model over graphs of `nodes` nodes.
    pub(crate) fn read(bytes: &[u8], nodes: usize) -> Result<Self, PretrainError> {
        let file = TensorFile::parse(bytes)?;
        let Format { format } = file.own_metadata("a checkpoint's header")?;
        if format != FORMAT {
            return Err(PretrainError::CheckpointFormat {
                found: format,
                expected: FORMAT,
            });
        }
        let header: Header = file.own_metadata("a checkpoint's header")?;
        let params = Params::from_file(&file, "model.")?;
        let moments = [params.values.len()];
        let counter = |name: &str| {
            file.counter(name).ok_or_else(|| TensorFileError::Missing {
                name: name.to_owned(),
            })
        };
        let width = nodes * params.shape().latent;
        Ok(Self {
            spec: header.spec,
            graphs: header.graphs,
            epoch: header.epoch,
            step: header.step,
            epochs: header.epochs,
            loss_sum: file.f64s_of("epoch.loss", 1)?[0],
            codes: CodeSums {
                graphs: counter("epoch.graphs")?,
                sums: file.f64s_of("epoch.sums", width)?,
                squares: file.f64s_of("epoch.squares", width)?,
            },
            state: State {
                first: file.f32s_of("adam.first", &moments)?,
                second: file.f32s_of("adam.second", &moments)?,
                steps: counter("adam.steps")?,
                params,
            },
        })
    }
}
