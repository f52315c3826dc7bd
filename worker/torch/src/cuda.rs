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

/// Version of the graphics driver, where there is one.
pub fn cuda_driver() -> Option<String> {
    let text = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    version_of(&text)
}

/// The version in what the driver says about itself: the first word that begins
/// with digits and a point.
fn version_of(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version"))?;
    let is_version = |word: &&str| {
        let digits = word.trim_start_matches(|char: char| char.is_ascii_digit());
        digits.len() < word.len() && digits.starts_with('.')
    };
    line.split_whitespace().find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_version_is_found_in_its_words() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(version_of(text).as_deref(), expected, "{text}");
        };
        check(
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version:  gcc version 12.2.0\n",
            Some("535.183.01"),
        );
        check(
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n",
            Some("580.65.06"),
        );
        check("GCC version:  gcc version 12.2.0\n", None);
    }
}
