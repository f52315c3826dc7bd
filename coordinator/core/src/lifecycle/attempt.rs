//! Decisions about what workers say of attempts: how far they are and how they ended.
//!
//! A result is a function of its task's key (INV-7), so a result of any attempt
//! finishes a task that is still open. Failures and checkpoints count only if their
//! attempt is current (INV-1). Every report is acknowledged, so that its sender can
//! forget it, except a result that is kept for its study, see [`super::restore`].

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Digest, Failure, FailureClass, TaskKey, WorkerId};

use super::action::Action;
use super::event::{Event, Reopening, Verdict};
use super::input::{AttemptEnd, Progress};
use super::lease::is_plausible;
use super::task::{Phase, Saved, TaskIx, TaskState};
use super::turn::Turn;
use super::watch::Overrun;

impl Turn<'_> {
    pub(super) fn report(&mut self, worker: WorkerId, attempt: AttemptId, end: AttemptEnd) {
        self.heard(worker);
        let is_result = matches!(end, AttemptEnd::Finished { .. });
        if is_result && self.state.keeps_unknown(attempt, self.now) {
            self.state.note_unknown(worker, attempt);
            return;
        }
        if let Some(ix) = self.state.find(attempt.task) {
            let task = self.state.task(ix);
            let is_open = task.state.phase().is_open();
            match end {
                AttemptEnd::Finished { result, .. } if !is_open => {
                    // Only an audit of a finished task is current.
                    if task.is_current(worker, attempt) {
                        self.audited(ix, worker, attempt, result);
                    } else {
                        self.late_result(ix, worker, attempt, result);
                    }
                }
                AttemptEnd::Finished { .. } if is_plausible(attempt.number) => {
                    self.end_attempt(ix, worker, attempt, end);
                }
                _ if task.is_current(worker, attempt) => {
                    self.end_attempt(ix, worker, attempt, end);
                }
                _ => {}
            }
        }
        self.act(Action::Acknowledge { worker, attempt });
    }

    /// Notes where an attempt stands if it is current and further than what is
    /// known; else the file is of no use to anybody. What is said of an attempt that
    /// another worker has is ignored: its files are not this worker's.
    pub(super) fn checkpointed(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        checkpoint: ArtifactRef,
        done: u64,
    ) {
        self.heard(worker);
        if self.state.keeps_unknown(attempt, self.now) {
            return;
        }
        let task = self.state.find(attempt.task).map(|ix| self.state.task(ix));
        let lease = task.and_then(|task| task.lease(attempt.number));
        if lease.is_some_and(|lease| lease.worker != worker) {
            return;
        }
        let known = task.and_then(|task| task.extra().checkpoint);
        let is_known = known
            .is_some_and(|known| (known.number, known.artifact) == (attempt.number, checkpoint));
        // An audit begins anew each time: what it stored is of no use.
        let is_current = task
            .is_some_and(|task| task.state.phase().is_open() && task.is_current(worker, attempt));
        if is_known {
        } else if is_current && known.is_none_or(|known| done > known.done) {
            self.emit(Event::Checkpointed {
                attempt,
                checkpoint,
                done,
            });
        } else {
            self.act(Action::DiscardCheckpoint {
                attempt,
                checkpoint,
            });
        }
    }

    /// Forgets a checkpoint whose file is gone, if it is the one that is known.
    pub(super) fn checkpoint_lost(&mut self, attempt: AttemptId, checkpoint: Digest) {
        let known = self.state.find(attempt.task);
        let known = known.and_then(|ix| self.state.task(ix).extra().checkpoint);
        let is_it =
            |known: Saved| (known.number, known.artifact.digest) == (attempt.number, checkpoint);
        if known.is_some_and(is_it) {
            self.emit(Event::CheckpointLost { attempt });
        }
    }

    pub(super) fn progressed(&mut self, worker: WorkerId, attempt: AttemptId, progress: Progress) {
        self.heard(worker);
        self.state
            .note_progress(worker, attempt, progress, self.now);
    }

    /// Ends attempts that have run or stood still for too long.
    pub(super) fn end_overruns(&mut self) {
        for Overrun {
            ix,
            lease,
            class,
            limit,
        } in self.state.overruns(self.now)
        {
            // The end of an earlier one may have ended it too.
            if self.state.task(ix).lease(lease.number) != Some(lease) {
                continue;
            }
            let attempt = self.state.task(ix).attempt(&lease);
            let what = match class {
                FailureClass::TimeLimit => "it ran for longer than",
                _ => "it made no progress for",
            };
            let failure = Failure {
                class,
                message: format!("{what} `{} s` on worker `{}`", limit.get(), lease.worker),
                log: Vec::new(),
            };
            let end = AttemptEnd::Failed(failure);
            self.end_attempt(ix, lease.worker, attempt, end);
            self.act(Action::Stop {
                worker: lease.worker,
                attempts: vec![attempt],
            });
        }
    }

    /// Opens a finished task again whose result lacks a file.
    pub(super) fn artifact_lost(&mut self, task: TaskKey) {
        let finished = self
            .state
            .find(task)
            .filter(|&ix| self.state.task(ix).state.phase() == Phase::Finished);
        if finished.is_some() {
            self.emit(Event::Reopened {
                tasks: vec![task],
                reason: Reopening::ArtifactLost,
            });
        }
        // Also where an earlier reader has had the task opened already.
        if let Some(ix) = self.state.find(task) {
            self.retry_for_want_of(ix);
        }
    }

    /// Starts the readers of a task afresh that were given up because they could not
    /// read its result.
    fn retry_for_want_of(&mut self, input: TaskIx) {
        let readers = self.state.dependents.get(&input).into_iter().flatten();
        let readers = readers.filter(|&&ix| {
            let lost = |failure: &Failure| failure.class == FailureClass::InputLost;
            let is_lost = match &self.state.task(ix).state {
                TaskState::GivenUp(failure) => lost(failure),
                _ => false,
            };
            is_lost && self.state.is_wanted(ix)
        });
        let tasks: Vec<_> = readers.map(|&ix| self.state.task(ix).key).collect();
        if !tasks.is_empty() {
            self.emit(Event::Retried { tasks });
        }
    }

    fn end_attempt(&mut self, ix: TaskIx, worker: WorkerId, attempt: AttemptId, end: AttemptEnd) {
        match end {
            AttemptEnd::Finished { result, seconds } => {
                let before = self.state.task(ix).extra().before;
                self.emit(Event::Finished {
                    attempt,
                    result,
                    seconds,
                });
                self.act(Action::RecordResult { attempt });
                if let Some(before) = before.filter(|before| *before != result) {
                    self.dispute(worker, attempt, before, result);
                }
            }
            AttemptEnd::Failed(failure) => {
                let verdict = self.state.verdict(ix, failure.class, self.now);
                self.emit(Event::Failed {
                    attempt,
                    failure,
                    verdict,
                });
                if verdict == Verdict::GiveUp {
                    self.stop_failed_studies(&[ix]);
                }
            }
            AttemptEnd::Returned => self.emit(Event::Returned { attempt }),
        }
    }

    /// A result of a task that has ended. It is compared with the one that won;
    /// where there is none, it is only noted.
    pub(super) fn late_result(
        &mut self,
        ix: TaskIx,
        worker: WorkerId,
        attempt: AttemptId,
        result: Digest,
    ) {
        let task = self.state.task(ix);
        match task.state {
            TaskState::Finished {
                result: recorded, ..
            } => {
                if recorded != result && !task.extra().disputed {
                    self.dispute(worker, attempt, recorded, result);
                }
            }
            // An attempt that was never made is not worth a record.
            _ if !(1..=task.attempts).contains(&attempt.number) => {}
            _ => self.emit(Event::Superseded {
                attempt,
                worker,
                result,
            }),
        }
    }

    /// Says that two results of one task differ.
    fn dispute(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        recorded: Digest,
        reported: Digest,
    ) {
        self.emit(Event::Disputed {
            attempt,
            worker,
            result: reported,
        });
        self.act(Action::Nondeterminism {
            worker,
            attempt,
            recorded,
            reported,
        });
    }
}
