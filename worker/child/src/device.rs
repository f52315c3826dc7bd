//! The device on which libtorch computes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The device on which libtorch computes. Written `cpu` or `cuda:INDEX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
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

impl TryFrom<String> for TorchDevice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TorchDevice> for String {
    fn from(device: TorchDevice) -> Self {
        device.to_string()
    }
}

impl fmt::Display for TorchDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_as_it_is_written() {
        for device in [TorchDevice::Cpu, TorchDevice::Cuda(0), TorchDevice::Cuda(7)] {
            assert_eq!(device.to_string().parse(), Ok(device));
            let json = serde_json::to_string(&device).unwrap();
            assert_eq!(
                serde_json::from_str::<TorchDevice>(&json).unwrap(),
                device,
                "{json}"
            );
        }
        assert!(serde_json::from_str::<TorchDevice>("\"gpu\"").is_err());
    }
}
