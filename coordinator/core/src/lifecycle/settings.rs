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
    /// Most tasks of all studies together, finished ones too. Default 5,000,000:
    /// five studies of the most tasks that one may have. At 0.5 KB a task they take
    /// 2.5 GB, which a machine that serves a lab has.
    pub most_tasks: usize,
    /// Most studies. Default 100,000: one an hour for eleven years. A list of their
    /// names is 10 MB.
    pub most_studies: usize,
    /// Most workers that are known, those away included. Default 100,000: ten times
    /// the workers that are measured, so that a fleet whose machines come with new
    /// ids for days is still let in, at about 50 MB.
    pub most_workers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reconnect_grace: Duration::from_secs(30),
            heartbeat_timeout: Duration::from_secs(15),
            lease_window: Duration::from_secs(2),
            most_tasks: 5_000_000,
            most_studies: 100_000,
            most_workers: 100_000,
        }
    }
}
