//! Tasks that do nothing, to measure the orchestrator and to test retrying.

use std::thread;
use std::time::{Duration, Instant};

use reprise_domain::{NoopSpec, TaskResult};

use super::{Done, RunError};
use crate::slots::Cancel;

/// Holds the slot as long as the spec says, or fails as often as it says.
pub(super) fn run(spec: &NoopSpec, attempt: u32, cancel: &Cancel) -> Result<Done, RunError> {
    /// How soon a stop is noticed.
    const GLANCE: Duration = Duration::from_millis(20);
    let end = Instant::now() + Duration::from_millis(u64::from(spec.hold_ms));
    loop {
        if cancel.is_cancelled() {
            return Err(RunError::Stopped);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        thread::sleep(left.min(GLANCE));
    }
    if attempt <= spec.failures {
        let planned = format!(
            "attempt {attempt} of a task that fails {} times",
            spec.failures
        );
        return Err(RunError::failed("run a noop task")(planned.into()));
    }
    Ok(Done {
        result: TaskResult::Noop,
        training: None,
    })
}
