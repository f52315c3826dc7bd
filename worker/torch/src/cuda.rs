//! The NVIDIA graphics cards of this machine.

use std::fs;

/// Cards that libtorch can compute on: none where it is the one for processors, or
/// where there is no driver for the other.
pub fn cuda_devices() -> u32 {
    u32::try_from(tch::Cuda::device_count()).unwrap_or(0)
}

/// What the driver calls the card of this index, where it says so.
pub fn cuda_name(index: u32) -> Option<String> {
    let mut cards: Vec<_> = fs::read_dir("/proc/driver/nvidia/gpus")
        .ok()?
        .filter_map(Result::ok)
        .map(|card| card.path())
        .collect();
    // By bus address, as CUDA counts equal cards.
    cards.sort();
    let card = cards.get(index as usize)?;
    let about = fs::read_to_string(card.join("information")).ok()?;
    let model = about.lines().find_map(|line| line.strip_prefix("Model:"))?;
    Some(model.trim().to_owned())
}
