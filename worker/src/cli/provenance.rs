//! What this worker runs on: host, system, processor, memory and driver, as the
//! machine says them, bounded and printable.

use std::fs;
use std::thread;

use reprise_child::{Hello, TorchDevice};
use reprise_domain::text::printable;
use reprise_domain::{Capability, Device};

/// Characters of a name.
const LONGEST_NAME: usize = reprise_domain::bounds::worker::NAME_CHARS;

/// The commit that a release is built from.
const COMMIT: &str = env!("REPRISE_COMMIT");

/// The offer of a worker with so many slots on `device`; `torch` is what its program for
/// libtorch says of itself, where there is one.
pub(super) fn offer(slots: u32, device: TorchDevice, torch: Option<&Hello>) -> Capability {
    let driver = match device {
        TorchDevice::Cpu => None,
        TorchDevice::Cuda(_) => torch.and_then(|torch| torch.driver.clone()),
    };
    let libtorch = torch.map_or(Capability::NO_LIBTORCH, |torch| torch.libtorch.as_str());
    Capability {
        slots,
        host: name(fs::read_to_string("/proc/sys/kernel/hostname").ok()),
        device: described(device, torch),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch: printable(libtorch, LONGEST_NAME),
        commit: COMMIT.to_owned(),
        os: system(),
        driver: printable(&driver.unwrap_or_default(), LONGEST_NAME),
        cores: thread::available_parallelism().map_or(0, |cores| cores.get() as u32),
        memory_bytes: memory(),
        // Whoever starts the worker says so.
        programs: false,
    }
}

/// The device for people and manifests.
fn described(device: TorchDevice, torch: Option<&Hello>) -> Device {
    match device {
        TorchDevice::Cpu => Device::Cpu {
            model: name(cpu_model(
                &fs::read_to_string("/proc/cpuinfo").unwrap_or_default(),
            )),
        },
        TorchDevice::Cuda(index) => Device::Cuda {
            index,
            model: name(torch.and_then(|torch| torch.cards.get(index as usize)?.model.clone())),
        },
    }
}

fn name(found: Option<String>) -> String {
    let found = found.unwrap_or_else(|| "unknown".to_owned());
    printable(found.trim(), LONGEST_NAME)
}

fn cpu_model(info: &str) -> Option<String> {
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    let (_, model) = line.split_once(':')?;
    Some(model.to_owned())
}

/// Operating system and architecture.
fn system() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = os_name(&release).unwrap_or_else(|| std::env::consts::OS.to_owned());
    printable(&format!("{name}, {}", std::env::consts::ARCH), LONGEST_NAME)
}

fn os_name(release: &str) -> Option<String> {
    let mut lines = release.lines();
    let value = lines.find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches('"').to_owned())
}

/// Memory that this worker may use: its control group's, where that is less than the
/// machine's.
fn memory() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let machine = total_memory(&info).unwrap_or(0);
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    // Without a limit it says `max`.
    match group.trim().parse() {
        Ok(limit) if limit < machine => limit,
        _ => machine,
    }
}

fn total_memory(info: &str) -> Option<u64> {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use reprise_child::Card;

    use super::*;

    #[test]
    fn an_offer_names_what_results_were_made_with() {
        let torch = Hello {
            libtorch: "2.11.0".to_owned(),
            cards: vec![Card {
                model: Some("NVIDIA H100".to_owned()),
            }],
            driver: Some("580.65.06".to_owned()),
            ..Hello::default()
        };
        let with_card = offer(2, TorchDevice::Cuda(0), Some(&torch));
        assert_eq!(with_card.driver, "580.65.06");
        assert_eq!(with_card.device.to_string(), "NVIDIA H100 (cuda:0)");
        let without = offer(2, TorchDevice::Cpu, None);
        assert!(!without.has_libtorch(), "{}", without.libtorch);
        let offer = offer(2, TorchDevice::Cpu, Some(&torch));
        assert_eq!((offer.slots, offer.driver.as_str()), (2, ""));
        assert!(offer.libtorch.starts_with("2."), "{}", offer.libtorch);
        assert!(offer.os.ends_with(std::env::consts::ARCH), "{}", offer.os);
        assert!(offer.cores > 0 && offer.memory_bytes > 1 << 20);
    }

    #[test]
    fn the_systems_own_words_are_understood() {
        let cpu = cpu_model("processor\t: 0\nmodel name\t: Xeon @ 2.20GHz\n");
        assert_eq!(cpu.as_deref(), Some(" Xeon @ 2.20GHz"));
        let release = "NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        let expected = "Debian GNU/Linux 12 (bookworm)";
        assert_eq!(os_name(release).as_deref(), Some(expected));
        let memory = total_memory("MemTotal:       16314732 kB\nMemFree: 1 kB\n");
        assert_eq!(memory, Some(16_314_732 << 10));
    }

    #[test]
    fn names_are_bounded_and_printable() {
        assert_eq!(name(Some("vm\u{1b}[2J\n".to_owned())), "vm\\u{1b}[2J");
        assert_eq!(name(Some("h".repeat(10_000))).chars().count(), 255);
        assert_eq!(name(None), "unknown");
    }
}
