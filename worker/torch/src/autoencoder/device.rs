//! The device on which libtorch computes.

use std::str::FromStr;

use reprise_model::PretrainError;

use crate::cuda_devices;

/// The device on which libtorch computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TorchDevice {
    /// The processor.
    Cpu,
    /// The CUDA device of this index.
    Cuda(u32),
}

impl FromStr for TorchDevice {
    type Err = String;

    /// `cpu`, `cuda` for the first card, or `cuda:INDEX`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let index = text.strip_prefix("cuda:").map(str::parse);
        match (text, index) {
            ("cpu", _) => Ok(Self::Cpu),
            ("cuda", _) => Ok(Self::Cuda(0)),
            (_, Some(Ok(index))) => Ok(Self::Cuda(index)),
            _ => Err("expected `cpu`, `cuda` or `cuda:INDEX`".to_owned()),
        }
    }
}

impl TorchDevice {
    /// Whether this machine and its libtorch have it.
    pub fn check(self) -> Result<(), PretrainError> {
        open(self).map(drop)
    }
}

/// The device, if this machine and its libtorch have it.
pub(crate) fn open(device: TorchDevice) -> Result<tch::Device, PretrainError> {
    match device {
        TorchDevice::Cpu => Ok(tch::Device::Cpu),
        TorchDevice::Cuda(index) => {
            let found = cuda_devices();
            if index >= found {
                return Err(PretrainError::NoDevice { index, found });
            }
            Ok(tch::Device::Cuda(index as usize))
        }
    }
}
