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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reconnect_grace: Duration::from_secs(30),
            heartbeat_timeout: Duration::from_secs(15),
            lease_window: Duration::from_secs(2),
        }
    }
}
