//! The slots: one thread each, with one intra-op thread, so that two tasks on two
//! cores do not fight over both, and so that training never holds up the session.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{
    AttemptId, AttemptOutcome, Failure, FailureClass, Seconds, TaskKey, TaskResult, TaskSpec, Usage,
};

use crate::packing::{Packs, train_packs};
use crate::queue::Waiting;
use crate::runner::{Done, RunError, Runner};

/// An attempt with all that it needs.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The attempt.
    pub attempt: AttemptId,
    /// The task.
    pub spec: TaskSpec,
    /// Results of the tasks that it reads.
    pub inputs: Vec<(TaskKey, TaskResult)>,
    /// Where an attempt on another worker stood.
    pub checkpoint: Option<ArtifactRef>,
}

/// Tells a running task to stop soon, and why.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Reasons>);

#[derive(Debug, Default)]
struct Reasons {
    leaving: AtomicBool,
    unwanted: AtomicBool,
}

impl Cancel {
    /// The worker leaves: another one goes on from where the task stands.
    pub fn leave(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    /// The result is not wanted any more, nor is where the task stands.
    pub fn discard(&self) {
        self.0.unwanted.store(true, Ordering::Relaxed);
    }

    /// Whether it should stop, for either reason.
    pub fn is_cancelled(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed) || self.is_unwanted()
    }

    /// Whether nobody wants what it has done.
    pub fn is_unwanted(&self) -> bool {
        self.0.unwanted.load(Ordering::Relaxed)
    }
}

/// The threads that compute. They take the next attempt themselves, so that no slot
/// stands still until somebody has noticed that it is free.
#[derive(Debug)]
pub struct Slots {
    waiting: Arc<Waiting>,
}

/// A slot has ended an attempt.
#[derive(Debug)]
pub struct Ended {
    /// The attempt.
    pub attempt: AttemptId,
    /// How it ended.
    pub outcome: AttemptOutcome,
}

impl Slots {
    /// Starts `count` threads, and one that trains packs where there are to be any;
    /// `ended` is called on them after each attempt.
    pub fn start(
        count: usize,
        packs: Option<Packs>,
        runner: &Arc<Runner>,
        ended: impl Fn(Ended) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let waiting = Arc::new(Waiting::new(packs.is_some()));
        for slot in 0..count {
            let (runner, ended) = (Arc::clone(runner), ended.clone());
            let waiting = Arc::clone(&waiting);
            thread::Builder::new()
                .name(format!("slot-{slot}"))
                .spawn(move || {
                    reprise_torch::use_one_thread();
                    while let Some((assignment, cancel)) = waiting.next() {
                        let outcome = run(&runner, &assignment, &cancel);
                        ended(Ended {
                            attempt: assignment.attempt,
                            outcome,
                        });
                    }
                })?;
        }
        if let Some(packs) = packs {
            let (runner, waiting) = (Arc::clone(runner), Arc::clone(&waiting));
            thread::Builder::new()
                .name("packs".to_owned())
                .spawn(move || {
                    reprise_torch::use_one_thread();
                    train_packs(packs, &waiting, &runner, &ended);
                })?;
        }
        Ok(Self { waiting })
    }

    /// Has an attempt run as soon as a slot is free, after those that wait already.
    pub fn push(&self, assignment: Assignment, cancel: Cancel) {
        self.waiting.push((assignment, cancel));
    }

    /// Takes attempts back that have not begun and are not `kept`.
    pub fn withdraw(&self, kept: impl Fn(AttemptId) -> bool) -> Vec<AttemptId> {
        self.waiting.withdraw(kept)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.waiting.close();
    }
}

fn run(runner: &Runner, assignment: &Assignment, cancel: &Cancel) -> AttemptOutcome {
    let started = Instant::now();
    // libtorch reports its errors by unwinding; one bad task must not take the
    // slot down with it.
    match catch_unwind(AssertUnwindSafe(|| runner.run(assignment, cancel))) {
        Ok(result) => outcome(result, started.elapsed()),
        Err(panic) => panicked(panic.as_ref()),
    }
}

/// How an attempt that took so long ended.
pub(crate) fn outcome(result: Result<Done, RunError>, wall: Duration) -> AttemptOutcome {
    match result {
        Ok(done) => AttemptOutcome::Finished {
            result: done.result,
            usage: Usage {
                wall: Seconds::new(wall.as_secs_f64()).unwrap_or_default(),
                training: done.training,
            },
        },
        Err(RunError::Stopped) => AttemptOutcome::Returned,
        Err(error) => failed(error.class(), &error),
    }
}

/// How an attempt that unwound ended.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> AttemptOutcome {
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
    AttemptOutcome::Failed(failure(class, &message, Vec::new()))
}

/// Whether an attempt failed for want of memory.
pub(crate) fn lacked_memory(outcome: &AttemptOutcome) -> bool {
    matches!(outcome, AttemptOutcome::Failed(failure) if failure.class == FailureClass::OutOfMemory)
}

/// Whether a message of libtorch says that memory was short: its two allocators
/// and the driver say it in these words.
fn is_out_of_memory(message: &str) -> bool {
    [
        "out of memory",
        "can't allocate memory",
        "not enough memory",
    ]
    .iter()
    .any(|words| message.contains(words))
}

fn failed(class: FailureClass, error: &RunError) -> AttemptOutcome {
    let mut class = class;
    let mut log = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if class == FailureClass::Task && is_out_of_memory(&cause_text) {
            class = FailureClass::OutOfMemory;
        }
        log.push(format!("caused by: {cause_text}"));
        source = cause.source();
    }
    AttemptOutcome::Failed(failure(class, &error.to_string(), log))
}

fn failure(class: FailureClass, message: &str, log: Vec<String>) -> Failure {
    // One line, of a length that a table of failures can show.
    let message = message
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(500)
        .collect();
    Failure {
        class,
        message,
        log,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortage_of_memory_is_told_from_other_failures() {
        let check = |message: &str, expected: FailureClass| {
            let source = io::Error::other(message.to_owned());
            let error = RunError::Failed {
                doing: "pretrain".to_owned(),
                source: source.into(),
            };
            let AttemptOutcome::Failed(failure) = failed(error.class(), &error) else {
                panic!("a failure is a failure")
            };
            assert_eq!(failure.class, expected, "{message}");
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
}
