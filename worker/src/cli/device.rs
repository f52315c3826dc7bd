//! Which device a worker computes on, as its command line says it.

use std::str::FromStr;

use anyhow::Context as _;
use reprise_child::TorchDevice;

use crate::packing::Packs;
use crate::torch::{self, Torch, TorchError};

/// Most seeds of a pack that is chosen by a probe. Twice as many train hardly more
/// steps a second on the largest cards, and a lost machine would lose as many more.
const MOST_PROBED: usize = 64;

/// Value of `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeviceArg {
    /// The first graphics card, if libtorch finds any.
    Auto,
    /// This one.
    Given(TorchDevice),
}

impl FromStr for DeviceArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let given = text.parse().map(Self::Given);
        given.map_err(|_| "expected `auto`, `cpu`, `cuda` or `cuda:INDEX`".to_owned())
    }
}

impl DeviceArg {
    /// The device, if this machine has it.
    pub(super) fn device(self, torch: Option<&Torch>) -> anyhow::Result<TorchDevice> {
        let cards = torch.map_or(0, |torch| torch.hello().cards.len());
        match self {
            Self::Auto if cards > 0 => Ok(TorchDevice::Cuda(0)),
            Self::Auto | Self::Given(TorchDevice::Cpu) => Ok(TorchDevice::Cpu),
            Self::Given(device) => match torch {
                Some(torch) => torch::check(device, torch.hello()).map_err(anyhow::Error::from),
                None => Err(anyhow::Error::from(TorchError::Absent)),
            }
            .map(|()| device)
            .with_context(|| {
                format!(
                    "device `{device}` needs `reprise-torch` with the libtorch for CUDA \
                     (deploy/README.md, GPUs) and its driver; `--device cpu` does without"
                )
            }),
        }
    }
}

/// How a device's pretraining is packed.
pub(super) fn packs(device: TorchDevice, most: Option<u32>) -> Option<Packs> {
    match (device, most) {
        (TorchDevice::Cpu, None | Some(1)) => None,
        (_, Some(most)) => Some(Packs {
            device,
            most: most as usize,
            probe: false,
        }),
        (TorchDevice::Cuda(_), None) => Some(Packs {
            device,
            most: MOST_PROBED,
            probe: true,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_and_others_refused() {
        let check =
            |text: &str, expected| assert_eq!(text.parse::<DeviceArg>(), expected, "{text}");
        check("auto", Ok(DeviceArg::Auto));
        check("cpu", Ok(DeviceArg::Given(TorchDevice::Cpu)));
        check("cuda", Ok(DeviceArg::Given(TorchDevice::Cuda(0))));
        check("cuda:3", Ok(DeviceArg::Given(TorchDevice::Cuda(3))));
        for wrong in ["gpu", "cuda:", "cuda:-1", "cuda:x"] {
            check(
                wrong,
                Err("expected `auto`, `cpu`, `cuda` or `cuda:INDEX`".to_owned()),
            );
        }
    }

    #[test]
    fn the_processor_packs_only_when_told_to() {
        let cuda = TorchDevice::Cuda(0);
        assert_eq!(packs(TorchDevice::Cpu, None), None);
        assert_eq!(packs(TorchDevice::Cpu, Some(1)), None);
        assert!(packs(TorchDevice::Cpu, Some(2)).is_some_and(|packs| !packs.probe));
        assert!(packs(cuda, None).is_some_and(|packs| packs.probe));
        assert!(packs(cuda, Some(1)).is_some_and(|packs| packs.most == 1 && !packs.probe));
    }

    #[test]
    fn a_card_that_is_not_there_is_refused_with_a_way_out() {
        let error = DeviceArg::Given(TorchDevice::Cuda(99))
            .device(None)
            .unwrap_err();
        let message = format!("{error:#}");
        assert!(
            message.contains("--device cpu") && message.contains("99"),
            "{message}"
        );
    }
}
