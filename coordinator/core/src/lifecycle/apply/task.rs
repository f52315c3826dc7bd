//! What happens to tasks and their attempts.

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Digest, Failure, FailureClass, Seconds, WorkerId};

use crate::Timestamp;
use crate::lifecycle::event::Verdict;
use crate::lifecycle::lease::StillRuns;
use crate::lifecycle::state::{Effects, State};
use crate::lifecycle::task::{Phase, Saved, TaskIx, TaskState};
use crate::scheduler::Mean;

/// Who brings a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The worker that ran the attempt.
    Worker,
    /// A client, from an archive.
    Archive,
}

impl State {
    /// Takes a result, of whichever attempt it is.
    pub(super) fn finish_task(
        &mut self,
        attempt: AttemptId,
        by: By,
        result: Digest,
        seconds: Seconds,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Option<()> {
        let ix = self.find(attempt.task)?;
        let task = self.task(ix);
        if !task.state.phase().is_open() {
            return None;
        }
        // An attempt of an archive may have the number of one that runs here.
        let reported = (by == By::Worker).then_some(attempt);
        let lease = reported.and_then(|attempt| task.lease(attempt.number));
        let class = self.tasks.class(ix);
        // What an archive says was measured on other machines.
        if by == By::Worker {
            Mean::observe(&mut self.classes.row_mut(class).mean, seconds);
        }
        if let Some(worker) = lease.and_then(|lease| self.workers.get_mut(&lease.worker)) {
            worker.rates.observe(class, seconds);
            if self.dependents.contains_key(&ix) {
                worker.remember(ix);
            }
        }
        self.end_leases(ix, reported, effects);
        self.set_checkpoint(ix, None, effects);
        let task = &mut self.tasks[ix];
        task.attempts = task.attempts.max(attempt.number);
        task.change(|extra| (extra.avoid, extra.before) = (None, None));
        self.set(ix, TaskState::Finished { result, seconds }, at);
        // Nobody knows on what kind of device an archived result was made.
        if by == By::Worker || !self.tasks.spec(ix).depends_on_device() {
            self.plan_audit(ix, lease.map(|lease| lease.worker), at);
        }
        self.release_dependents(ix, at);
        Some(())
    }

    pub(super) fn fail_attempt(
        &mut self,
        attempt: AttemptId,
        failure: &Failure,
        verdict: Verdict,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Option<()> {
        let (ix, lease) = self.leased(attempt)?;
        self.count_failure(ix, failure.class);
        let StillRuns(still_runs) = self.end_lease(ix, attempt.number)?;
        if self.task(ix).state.phase() == Phase::Finished {
            self.retry_audit(ix, verdict == Verdict::GiveUp, at);
            return Some(());
        }
        match failure.class {
            // It may carry what the attempt failed of.
            FailureClass::Task => self.set_checkpoint(ix, None, effects),
            FailureClass::TimeLimit | FailureClass::Stalled => {
                self.tasks[ix].change(|extra| extra.avoid = Some((lease.worker, at)));
            }
            _ => {}
        }
        if still_runs && verdict == Verdict::GiveUp {
            self.end_leases(ix, None, effects);
        }
        match verdict {
            Verdict::Retry | Verdict::RetryAt(_) if still_runs => {}
            Verdict::Retry => self.put_back(ix, at),
            Verdict::RetryAt(until) if self.is_wanted(ix) => {
                self.set(ix, TaskState::BackingOff { until }, at);
            }
            Verdict::RetryAt(_) => self.set(ix, TaskState::Cancelled, at),
            Verdict::GiveUp => self.give_up(ix, failure.clone(), at),
        }
        Some(())
    }

    pub(super) fn return_attempt(&mut self, attempt: AttemptId, at: Timestamp) -> Option<()> {
        let (ix, _) = self.leased(attempt)?;
        let still_runs = self.end_lease(ix, attempt.number)?;
        if self.task(ix).state.phase() == Phase::Finished {
            self.retry_audit(ix, false, at);
        } else if still_runs == StillRuns(false) {
            self.put_back(ix, at);
        }
        Some(())
    }

    /// Notes where an attempt stands. Progress makes up for the workers that were
    /// lost before it.
    pub(super) fn save_attempt(
        &mut self,
        attempt: AttemptId,
        artifact: ArtifactRef,
        done: u64,
        effects: &mut Effects,
    ) -> Option<()> {
        let (ix, _) = self.leased(attempt)?;
        let known = self.task(ix).extra().checkpoint;
        if done > known.map_or(0, |known| known.done) {
            self.tasks[ix].change(|extra| extra.lost = 0);
        }
        let saved = Saved {
            number: attempt.number,
            artifact,
            done,
        };
        self.set_checkpoint(ix, Some(saved), effects);
        Some(())
    }

    /// Forgets where a task can go on, because the file of it is gone.
    pub(super) fn lose_checkpoint(
        &mut self,
        attempt: AttemptId,
        effects: &mut Effects,
    ) -> Option<()> {
        let ix = self.find(attempt.task)?;
        let known = self.task(ix).extra().checkpoint?;
        (known.number == attempt.number).then(|| self.set_checkpoint(ix, None, effects))
    }

    pub(super) fn lose(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        counts: bool,
        gives_up: bool,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Option<()> {
        let (ix, _) = self
            .leased(attempt)
            .filter(|(_, lease)| lease.worker == worker)?;
        if counts {
            self.count_failure(ix, FailureClass::WorkerLost);
        }
        let StillRuns(still_runs) = self.end_lease(ix, attempt.number)?;
        if self.task(ix).state.phase() == Phase::Finished {
            self.retry_audit(ix, gives_up, at);
        } else if gives_up {
            if still_runs {
                self.end_leases(ix, None, effects);
            }
            let lost = self.task(ix).extra().lost;
            let failure = Failure {
                class: FailureClass::WorkerLost,
                message: format!(
                    "{lost} workers were lost while they ran it and made no progress, \
                     last `{worker}`"
                ),
                log: Vec::new(),
            };
            self.give_up(ix, failure, at);
        } else if !still_runs {
            self.put_back(ix, at);
        }
        Some(())
    }

    /// Starts a task afresh that was given up or cancelled, and unblocks what reads
    /// from it. What it failed of may be in its checkpoint, unless it lacked nothing
    /// but time.
    pub(super) fn revive(&mut self, ix: TaskIx, at: Timestamp, effects: &mut Effects) {
        if let TaskState::GivenUp(failure) = &self.task(ix).state
            && failure.class != FailureClass::TimeLimit
        {
            self.set_checkpoint(ix, None, effects);
        }
        self.tasks[ix].change(|extra| {
            (extra.failures, extra.lost, extra.avoid) = (0, 0, None);
        });
        let entry = self.entry_state(self.task(ix).input());
        self.set(ix, entry, at);
        self.unblock_dependents(ix, at);
    }

    /// Puts a task whose attempt has ended back into the queue, if it is wanted.
    fn put_back(&mut self, ix: TaskIx, at: Timestamp) {
        let next = self.next_state(ix);
        self.set(ix, next, at);
    }

    fn count_failure(&mut self, ix: TaskIx, class: FailureClass) {
        self.tasks[ix].change(|extra| match class {
            FailureClass::WorkerLost => extra.lost += 1,
            _ => extra.failures += 1,
        });
    }

    fn give_up(&mut self, ix: TaskIx, failure: Failure, at: Timestamp) {
        self.set(ix, TaskState::GivenUp(Box::new(failure)), at);
        let mut blocked = vec![ix];
        while let Some(input) = blocked.pop() {
            for ix in self.dependents.get(&input).cloned().unwrap_or_default() {
                if self.task(ix).state.phase() == Phase::Waiting {
                    self.set(ix, TaskState::Blocked, at);
                    blocked.push(ix);
                }
            }
        }
    }

    /// After `input` has left the failed phases: what was blocked by it waits
    /// again, if anybody wants it.
    fn unblock_dependents(&mut self, input: TaskIx, at: Timestamp) {
        let mut freed = vec![input];
        while let Some(input) = freed.pop() {
            for ix in self.dependents.get(&input).cloned().unwrap_or_default() {
                if self.task(ix).state.phase() != Phase::Blocked {
                    continue;
                }
                let next = self.next_state(ix);
                if next != TaskState::Blocked {
                    self.set(ix, next, at);
                    freed.push(ix);
                }
            }
        }
    }

    /// After `input` has finished: what waited for it and nothing else is ready.
    fn release_dependents(&mut self, input: TaskIx, at: Timestamp) {
        for ix in self.dependents.get(&input).cloned().unwrap_or_default() {
            if self.task(ix).state.phase() == Phase::Waiting
                && self.entry_state(self.task(ix).input()) == TaskState::Ready
            {
                self.set(ix, TaskState::Ready, at);
            }
        }
    }
}
