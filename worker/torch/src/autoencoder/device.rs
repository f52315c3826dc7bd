//! The device on which libtorch computes, opened.

use reprise_child::TorchDevice;
use reprise_model::PretrainError;

use crate::cuda_devices;

/// The device, if this machine and its libtorch have it.
pub(super) fn open(device: TorchDevice) -> Result<tch::Device, PretrainError> {
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
