//! The slots: one thread each, with one intra-op thread, so that two tasks on two
//! cores do not fight over both, and so that training never holds up the session.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{
    AttemptId, AttemptOutcome, Failure, FailureClass, Seconds, TaskKey, TaskResult, TaskSpec, Usage,
};

use crate::runner::{RunError, Runner};

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

/// The threads that compute, and the attempts that wait for one of them. They
/// take the next one themselves, so that no slot stands still until somebody has
/// noticed that it is free.
#[derive(Debug)]
pub struct Slots {
    waiting: Arc<Waiting>,
}

/// What waits for a slot.
#[derive(Debug, Default)]
struct Waiting {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    attempts: VecDeque<(Assignment, Cancel)>,
    closed: bool,
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
    /// Starts `count` threads; `ended` is called on them after each attempt.
    pub fn start(
        count: usize,
        runner: &Arc<Runner>,
        ended: impl Fn(Ended) + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let waiting = Arc::new(Waiting::default());
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
        Ok(Self { waiting })
    }

    /// Has an attempt run as soon as a slot is free, after those that wait already.
    pub fn push(&self, assignment: Assignment, cancel: Cancel) {
        self.waiting.lock().attempts.push_back((assignment, cancel));
        self.waiting.changed.notify_one();
    }

    /// Takes attempts back that have not begun and are not `kept`.
    pub fn withdraw(&self, kept: impl Fn(AttemptId) -> bool) -> Vec<AttemptId> {
        let mut withdrawn = Vec::new();
        self.waiting.lock().attempts.retain(|(assignment, _)| {
            let stays = kept(assignment.attempt);
            if !stays {
                withdrawn.push(assignment.attempt);
            }
            stays
        });
        withdrawn
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.waiting.lock().closed = true;
        self.waiting.changed.notify_all();
    }
}

impl Waiting {
    /// The next attempt; `None` once there will be none.
    fn next(&self) -> Option<(Assignment, Cancel)> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(next) = queue.attempts.pop_front() {
                return Some(next);
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code that can panic runs under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(runner: &Runner, assignment: &Assignment, cancel: &Cancel) -> AttemptOutcome {
    let started = Instant::now();
    // libtorch reports its errors by unwinding; one bad task must not take the
    // slot down with it.
    let ran = catch_unwind(AssertUnwindSafe(|| runner.run(assignment, cancel)));
    let wall = Seconds::new(started.elapsed().as_secs_f64()).unwrap_or_default();
    match ran {
        Ok(Ok(done)) => AttemptOutcome::Finished {
            result: done.result,
            usage: Usage {
                wall,
                training: done.training,
            },
        },
        Ok(Err(RunError::Stopped)) => AttemptOutcome::Returned,
        Ok(Err(error)) => failed(error.class(), &error),
        Err(panic) => {
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
            AttemptOutcome::Failed(failure(
                class,
                &format!("task panicked: {message}"),
                Vec::new(),
            ))
        }
    }
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
            let source = std::io::Error::other(message.to_owned());
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
