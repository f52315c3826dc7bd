//! Decisions about reports. A report counts only if its attempt is current
//! (INV-1); every report is acknowledged, so that its sender can forget it.

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Digest, WorkerId};

use super::action::Action;
use super::event::{Event, Verdict};
use super::input::AttemptEnd;
use super::task::{TaskIx, TaskState};
use super::turn::Turn;

impl Turn<'_> {
    pub(super) fn report(&mut self, worker: WorkerId, attempt: AttemptId, end: AttemptEnd) {
        self.heard(worker);
        if let Some(ix) = self.state.find(attempt.task) {
            if self.state.task(ix).is_current(worker, attempt) {
                self.end_attempt(ix, attempt, end);
            } else if let AttemptEnd::Finished { result, .. } = end {
                self.late_result(ix, worker, attempt, result);
            }
        }
        self.act(Action::Acknowledge { worker, attempt });
    }

    /// Notes where an attempt stands, if it is current; another one's place is of
    /// no use to anybody.
    pub(super) fn checkpointed(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        checkpoint: ArtifactRef,
    ) {
        self.heard(worker);
        let current = self.state.find(attempt.task).filter(|&ix| {
            let task = self.state.task(ix);
            task.is_current(worker, attempt) && task.extra().checkpoint != Some(checkpoint)
        });
        if current.is_some() {
            self.emit(Event::Checkpointed {
                attempt,
                checkpoint,
            });
        }
    }

    fn end_attempt(&mut self, ix: TaskIx, attempt: AttemptId, end: AttemptEnd) {
        match end {
            AttemptEnd::Finished { result, seconds } => {
                self.emit(Event::Finished {
                    attempt,
                    result,
                    seconds,
                });
                self.act(Action::RecordResult { attempt });
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

    /// A result that cannot win. It is compared with the one that did; before
    /// there is one, it is only noted.
    fn late_result(&mut self, ix: TaskIx, worker: WorkerId, attempt: AttemptId, result: Digest) {
        let task = self.state.task(ix);
        let recorded = match task.state {
            TaskState::Finished { result, .. } => Some(result),
            _ => None,
        };
        match recorded {
            Some(recorded) if recorded == result || task.extra().disputed => {}
            Some(recorded) => {
                self.emit(Event::Disputed {
                    attempt,
                    worker,
                    result,
                });
                self.act(Action::Nondeterminism {
                    attempt,
                    worker,
                    recorded,
                    reported: result,
                });
            }
            // An attempt that was never made is not worth a record.
            None if !(1..=task.attempts).contains(&attempt.number) => {}
            None => self.emit(Event::Superseded {
                attempt,
                worker,
                result,
            }),
        }
    }
}
