//! How attempts end: what a run's result or its unwinding means for the report, in
//! bounded and printable text.

use std::any::Any;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use reprise_domain::bounds::worker as bounds;
use reprise_domain::text::printable;
use reprise_domain::{AttemptOutcome, Failure, FailureClass, Seconds, Usage};

use crate::logs::AttemptLog;
use crate::runner::{Done, RunError};

/// Characters of a failure's message, and of each cause.
const LONGEST_MESSAGE: usize = bounds::MESSAGE_CHARS;

/// Causes that a failure names.
const MOST_CAUSES: usize = 20;

/// When an attempt began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// By the clock that measures.
    instant: Instant,
    /// By the clock that people read.
    at: SystemTime,
}

impl Start {
    pub(crate) fn now() -> Self {
        Self {
            instant: Instant::now(),
            at: SystemTime::now(),
        }
    }

    /// What the attempt has cost until now.
    fn usage(&self, training: Option<Seconds>) -> Usage {
        let wall = self.instant.elapsed().as_secs_f64();
        Usage {
            wall: Seconds::new(wall).unwrap_or_default(),
            training,
            started_ms: milliseconds(self.at),
            ended_ms: milliseconds(SystemTime::now()),
        }
    }
}

fn milliseconds(at: SystemTime) -> Option<u64> {
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// How an attempt ended that began at `start`.
pub(crate) fn outcome(
    result: Result<Done, RunError>,
    start: &Start,
    log: &AttemptLog,
) -> AttemptOutcome {
    match result {
        Ok(done) => AttemptOutcome::Finished {
            result: done.result,
            usage: start.usage(done.training),
        },
        Err(RunError::Stopped) => AttemptOutcome::Returned,
        Err(error) => failed(&error, log),
    }
}

/// How an attempt that unwound ended.
pub(crate) fn panicked(panic: &(dyn Any + Send), log: &AttemptLog) -> AttemptOutcome {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("the task panicked without a message");
    let class = if is_out_of_memory(message) {
        FailureClass::OutOfMemory
    } else {
        FailureClass::Task
    };
    let message = format!("task panicked: {message}");
    AttemptOutcome::Failed(failure(class, &message, log.tail()))
}

/// Whether a message says that memory was short: libtorch's two allocators, the driver,
/// and the run-time libraries of C++ and Rust say it in these words.
pub(crate) fn is_out_of_memory(message: &str) -> bool {
    [
        "out of memory",
        "can't allocate memory",
        "not enough memory",
        "std::bad_alloc",
        "memory allocation of",
    ]
    .iter()
    .any(|words| message.contains(words))
}

fn failed(error: &RunError, log: &AttemptLog) -> AttemptOutcome {
    let mut class = error.class();
    let mut lines = log.tail();
    let mut source = std::error::Error::source(error);
    for _ in 0..MOST_CAUSES {
        let Some(cause) = source else { break };
        let text = cause.to_string();
        if class == FailureClass::Task && is_out_of_memory(&text) {
            class = FailureClass::OutOfMemory;
        }
        lines.push(printable(&format!("caused by: {text}"), LONGEST_MESSAGE));
        source = cause.source();
    }
    AttemptOutcome::Failed(failure(class, &error.to_string(), lines))
}

fn failure(class: FailureClass, message: &str, log: Vec<String>) -> Failure {
    // One line, of a length that a table of failures can show.
    let line = message.lines().next().unwrap_or_default();
    Failure {
        class,
        message: printable(line, LONGEST_MESSAGE),
        log,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn failure_of(message: &str) -> Failure {
        let error = RunError::Failed {
            doing: "pretrain".to_owned(),
            source: io::Error::other(message.to_owned()).into(),
        };
        match failed(&error, &AttemptLog::default()) {
            AttemptOutcome::Failed(failure) => failure,
            other => panic!("a failure is a failure, not {other:?}"),
        }
    }

    #[test]
    fn shortage_of_memory_is_told_from_other_failures() {
        let check = |message: &str, expected: FailureClass| {
            assert_eq!(failure_of(message).class, expected, "{message}");
        };
        check(
            "CUDA out of memory. Tried to allocate 2.00 GiB",
            FailureClass::OutOfMemory,
        );
        check(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
            FailureClass::OutOfMemory,
        );
        check("the gradient is not finite", FailureClass::Task);
    }

    #[test]
    fn what_a_failure_says_is_bounded_and_printable() {
        let failure = failure_of(&format!("\u{1b}[31mred\n{}", "x".repeat(100_000)));
        assert_eq!(failure.log.len(), 1);
        assert!(failure.log[0].starts_with("caused by: \\u{1b}[31mred xxx"));
        assert_eq!(failure.log[0].chars().count(), LONGEST_MESSAGE);
        let panic: Box<dyn Any + Send> = Box::new(format!("\u{9b}2J{}", "y".repeat(9_999)));
        let AttemptOutcome::Failed(failure) = panicked(panic.as_ref(), &AttemptLog::default())
        else {
            panic!("a panic is a failure")
        };
        assert!(failure.message.starts_with("task panicked: \\u{9b}2Jyyy"));
        assert_eq!(failure.message.chars().count(), LONGEST_MESSAGE);
    }

    #[test]
    fn a_finished_attempt_says_when_it_ran() {
        let done = Done {
            result: reprise_domain::TaskResult::Noop,
            training: None,
        };
        let ended = outcome(Ok(done), &Start::now(), &AttemptLog::default());
        let AttemptOutcome::Finished { usage, .. } = ended else {
            panic!("it has finished")
        };
        assert!(usage.started_ms.unwrap() > 1_700_000_000_000);
        assert!(usage.ended_ms >= usage.started_ms);
    }
}
