//! What a worker offers when it joins.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A worker's offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Tasks it runs at once.
    pub slots: u32,
    /// Host name, for people and manifests.
    pub host: String,
    /// Where its slots compute.
    pub device: Device,
    /// Version of the worker program.
    pub version: String,
    /// Version of libtorch.
    pub libtorch: String,
}

/// A compute device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Device {
    /// Processor cores, one task a core.
    Cpu {
        /// The processor's name.
        model: String,
    },
    /// A CUDA device.
    Cuda {
        /// Its index.
        index: u32,
        /// Its name.
        model: String,
    },
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu { model } => f.write_str(model),
            Self::Cuda { index, model } => write!(f, "{model} (cuda:{index})"),
        }
    }
}
