//! The machine that is measured on, and keeping a measurement on one core of it.

use std::fs;
use std::time::Instant;

use anyhow::Context as _;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// The processor's name as the kernel has it.
pub(crate) fn processor() -> String {
    let found = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = found.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split(": ").nth(1));
    name.unwrap_or("unknown processor").to_owned()
}

/// Cores of the machine, whichever of them this thread is kept on.
pub(crate) fn cores() -> usize {
    let found = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = found.lines().filter(|line| line.starts_with("processor"));
    cores.count().max(1)
}

/// Memory of the machine in gigabytes, 0 when the kernel does not say.
pub(crate) fn memory_gb() -> u64 {
    let found = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = found.lines().find(|line| line.starts_with("MemTotal:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| {
        (kilobytes * 1024).div_ceil(1_000_000_000)
    })
}

/// The kernel's version.
pub(crate) fn kernel() -> String {
    let found = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    found.trim().to_owned()
}

/// Keeps the calling thread on these cores.
pub(crate) fn pin(cores: impl IntoIterator<Item = usize>) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(core)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).context("pin the thread to its cores")
}

/// Seconds that `work` takes.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let started = Instant::now();
    let made = work();
    (started.elapsed().as_secs_f64(), made)
}
