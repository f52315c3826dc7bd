//! The slots: one thread each, so that two tasks on two cores do not fight over both,
//! and so that training never holds up the session.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use reprise_domain::{AttemptId, AttemptOutcome, TaskKey, TaskResult, TaskSpec};

use crate::checkpoints::StoredCheckpoint;
use crate::logs::{AttemptLog, capture};
use crate::outcome::{Start, outcome, panicked};
use crate::packing::{Packs, train_packs};
use crate::progress::Progress;
use crate::queue::Waiting;
use crate::runner::Runner;

/// An attempt with all that it needs.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The attempt.
    pub attempt: AttemptId,
    /// The task.
    pub spec: TaskSpec,
    /// Results of the tasks that it reads.
    pub inputs: Vec<(TaskKey, TaskResult)>,
    /// Where an earlier attempt stood.
    pub checkpoint: Option<StoredCheckpoint>,
    /// Where its run says how far it is.
    pub progress: Progress,
    /// What its run logs.
    pub log: AttemptLog,
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
                    while let Some((assignment, cancel)) = runner.spare.during(|| waiting.next()) {
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
    let start = Start::now();
    runner.begin(assignment);
    let capturing = capture(vec![assignment.log.clone()]);
    // One bad task must not take the slot down with it.
    let ended = match catch_unwind(AssertUnwindSafe(|| runner.run(assignment, cancel))) {
        Ok(result) => outcome(result, &start, &assignment.log),
        Err(panic) => panicked(panic.as_ref(), &assignment.log),
    };
    drop(capturing);
    runner.end(assignment, &ended);
    ended
}
