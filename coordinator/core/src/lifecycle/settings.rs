//! The few numbers that the lifecycle is steered by.

use std::time::Duration;

/// Settings of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a worker may be away before its attempts are given to others.
    /// Default 30 s: longer than a coordinator takes to restart and a worker to
    /// dial again, short against a training run.
    pub reconnect_grace: Duration,
    /// Longest silence of a connected worker before it counts as disconnected.
    /// Default 15 s, three heartbeats of five seconds.
    pub heartbeat_timeout: Duration,
    /// How much expected work each slot of a worker may hold. Default 2 s: it
    /// hides the round trip of very short tasks, and is as much as one worker can
    /// hold back from others.
    pub lease_window: Duration,
    /// Most tasks of all studies together, finished ones included. Default
    /// 5,000,000: at some 200 bytes a task, a gigabyte of memory.
    pub max_tasks: u64,
    /// Most studies. Default 100,000.
    pub max_studies: u64,
    /// Most workers that are known at a time. Default 100,000, ten times as many as
    /// were ever measured with one coordinator.
    pub max_workers: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reconnect_grace: Duration::from_secs(30),
            heartbeat_timeout: Duration::from_secs(15),
            lease_window: Duration::from_secs(2),
            max_tasks: 5_000_000,
            max_studies: 100_000,
            max_workers: 100_000,
        }
    }
}
