//! Applies events. A live step and a replay run the same code (INV-5); it never
//! consults a policy and never looks at who is connected.

use reprise_domain::study::StudySpec;
use reprise_domain::{AttemptId, Digest, Failure, FailureClass, StudyName, WorkerId};

use super::event::{Event, Verdict};
use super::state::{Effects, State, StillRuns};
use super::study::{Control, Study, StudyIx};
use super::task::{Phase, TaskIx, TaskState};
use super::worker::Worker;
use crate::Timestamp;
use crate::plan::Plan;
use crate::scheduler::Mean;

impl State {
    /// Applies an event that happened `at`. `None` if the event does not fit the
    /// state, which only a journal of something else can bring about.
    pub(crate) fn apply(
        &mut self,
        event: &Event,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Option<()> {
        match event {
            Event::StudySubmitted { spec, digest, plan } => {
                self.adopt(spec, *digest, plan, at, effects)
            }
            Event::StudyReopened { study } => {
                let study = self.find_study(study)?;
                self.studies[study.row()].control = Control::Running;
                self.revive_all(study, at, effects);
                Some(())
            }
            Event::StudyPaused { study } => self.control(study, Control::Paused, at, effects),
            Event::StudyResumed { study } => self.control(study, Control::Running, at, effects),
            Event::StudyStopped { study } => {
                self.end(study, Control::Stopped, Phase::Leased, at, effects)
            }
            Event::StudyCancelled { study } => {
                self.end(study, Control::Cancelled, Phase::Finished, at, effects)
            }
            Event::WorkerJoined { worker, capability } => {
                let credit = self.credit.of(capability.slots);
                self.workers
                    .entry(*worker)
                    .or_insert_with(|| Worker::new(capability.clone(), credit, at))
                    .capability = capability.clone();
                self.refresh_worker(*worker);
                Some(())
            }
            Event::WorkerLeft { worker } => {
                let left = self
                    .workers
                    .get(worker)
                    .filter(|worker| worker.held.is_empty())?;
                if let Some(load) = left.load {
                    self.loads.remove(load);
                }
                self.workers.remove(worker);
                Some(())
            }
            Event::Leased { worker, attempts } => attempts.iter().try_for_each(|attempt| {
                let ix = self.find(attempt.task)?;
                self.require(ix, Phase::Ready)?;
                let leased = self.lease(*worker, ix, at, effects)?;
                (leased == *attempt).then_some(())
            }),
            Event::Doubled { worker, attempt } => {
                let ix = self.find(attempt.task)?;
                (self.double(*worker, ix, at)? == *attempt).then_some(())
            }
            Event::Finished {
                attempt,
                result,
                seconds,
            } => {
                let (ix, lease) = self.leased(*attempt)?;
                let class = self.tasks.class(ix);
                Mean::observe(&mut self.classes.row_mut(class).mean, *seconds);
                let worker = self.workers.get_mut(&lease.worker)?;
                worker.rates.observe(class, *seconds);
                if self.dependents.contains_key(&ix) {
                    worker.remember(ix);
                }
                self.end_leases(ix, Some(*attempt), effects);
                self.set_checkpoint(ix, None, effects);
                let finished = TaskState::Finished {
                    result: *result,
                    seconds: *seconds,
                };
                self.set(ix, finished, at, effects);
                self.release_dependents(ix, at, effects);
                Some(())
            }
            Event::Failed {
                attempt,
                failure,
                verdict,
            } => {
                let (ix, _) = self.leased(*attempt)?;
                self.count_failure(ix, failure.class);
                let StillRuns(still_runs) = self.end_lease(ix, attempt.number)?;
                if failure.class == FailureClass::Task {
                    // It may carry what the attempt failed of.
                    self.set_checkpoint(ix, None, effects);
                }
                if still_runs && *verdict == Verdict::GiveUp {
                    self.end_leases(ix, None, effects);
                }
                match verdict {
                    Verdict::Retry | Verdict::RetryAt(_) if still_runs => {}
                    Verdict::Retry => self.put_back(ix, at, effects),
                    Verdict::RetryAt(until) if self.is_wanted(ix) => {
                        self.set(ix, TaskState::BackingOff { until: *until }, at, effects);
                    }
                    Verdict::RetryAt(_) => self.set(ix, TaskState::Cancelled, at, effects),
                    Verdict::GiveUp => self.give_up(ix, failure.clone(), at, effects),
                }
                Some(())
            }
            Event::Returned { attempt } => {
                let (ix, _) = self.leased(*attempt)?;
                if self.end_lease(ix, attempt.number)? == StillRuns(false) {
                    self.put_back(ix, at, effects);
                }
                Some(())
            }
            Event::Checkpointed {
                attempt,
                checkpoint,
            } => {
                let (ix, _) = self.leased(*attempt)?;
                self.set_checkpoint(ix, Some(*checkpoint), effects);
                Some(())
            }
            Event::Lost {
                worker,
                counted,
                unbegun,
                quarantined,
            } => {
                for (attempts, counts, gives_up) in [
                    (counted, true, false),
                    (unbegun, false, false),
                    (quarantined, true, true),
                ] {
                    for attempt in attempts {
                        self.lose(*worker, *attempt, counts, gives_up, at, effects)?;
                    }
                }
                Some(())
            }
            Event::Woken { tasks } => tasks.iter().try_for_each(|&key| {
                let ix = self.find(key)?;
                self.require(ix, Phase::BackingOff)?;
                self.set(ix, TaskState::Ready, at, effects);
                Some(())
            }),
            Event::Superseded { .. } => Some(()),
            Event::Disputed { attempt, .. } => {
                let ix = self.find(attempt.task)?;
                self.tasks[ix].change(|extra| extra.disputed = true);
                Some(())
            }
        }
    }

    fn require(&self, ix: TaskIx, phase: Phase) -> Option<()> {
        (self.task(ix).state.phase() == phase).then_some(())
    }

    /// Creates a study, or replaces the one of that name by it.
    fn adopt(
        &mut self,
        spec: &StudySpec,
        digest: Digest,
        plan: &Plan,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Option<()> {
        let next = StudyIx(u32::try_from(self.studies.len()).ok()?);
        let study = *self.study_index.entry(spec.name.clone()).or_insert(next);
        let mut before = Vec::new();
        if study == next {
            self.studies.push(Study::new(spec.clone(), digest, at));
        } else {
            before = self.detach_all(study);
            let old = &self.studies[study.row()];
            self.studies[study.row()] = Study {
                virtual_time: old.virtual_time,
                submitted: old.submitted,
                started: old.started,
                ..Study::new(spec.clone(), digest, at)
            };
        }
        self.tasks.reserve(plan.len());
        self.studies[study.row()].tasks.reserve_exact(plan.len());
        for planned in plan.tasks() {
            let known = self.find(planned.key);
            let ix = match known {
                Some(known) => known,
                None => self.add_task(planned.key, &planned.spec)?,
            };
            let stage = self.studies[study.row()].stage(&planned.stage);
            self.attach(study, stage, ix);
        }
        self.revive_all(study, at, effects);
        for ix in before {
            self.cancel_unless_wanted(ix, at, effects);
        }
        Some(())
    }

    /// Makes a study want nothing; returns what it wanted.
    fn detach_all(&mut self, study: StudyIx) -> Vec<TaskIx> {
        let owner = &mut self.studies[study.row()];
        if std::mem::take(&mut owner.runnable) {
            self.fair.leave(study, owner.virtual_time);
        }
        let tasks = std::mem::take(&mut owner.tasks);
        for ix in &tasks {
            self.tasks[*ix].remove_interest(study);
        }
        tasks
    }

    fn control(
        &mut self,
        study: &StudyName,
        control: Control,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Option<()> {
        let study = self.find_study(study)?;
        self.studies[study.row()].control = control;
        effects.touch(study);
        self.settle(study, at);
        Some(())
    }

    /// Ends a study: its tasks that no other study wants are cancelled, except
    /// those in the phase `kept`.
    fn end(
        &mut self,
        study: &StudyName,
        control: Control,
        kept: Phase,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Option<()> {
        self.control(study, control, at, effects)?;
        let study = self.find_study(study)?;
        for position in 0..self.study(study).tasks.len() {
            let ix = self.study(study).tasks[position];
            if self.task(ix).state.phase() != kept {
                self.cancel_unless_wanted(ix, at, effects);
            }
        }
        Some(())
    }

    fn cancel_unless_wanted(&mut self, ix: TaskIx, at: Timestamp, effects: &mut Effects) {
        if !self.task(ix).state.phase().is_open() || self.is_wanted(ix) {
            return;
        }
        self.end_leases(ix, None, effects);
        self.set(ix, TaskState::Cancelled, at, effects);
    }

    /// Starts all given up and cancelled tasks of a study afresh, inputs first.
    fn revive_all(&mut self, study: StudyIx, at: Timestamp, effects: &mut Effects) {
        for position in 0..self.study(study).tasks.len() {
            let ix = self.study(study).tasks[position];
            let task = &mut self.tasks[ix];
            match task.state.phase() {
                Phase::GivenUp | Phase::Cancelled => {
                    task.change(|extra| (extra.failures, extra.lost) = (0, 0));
                    let entry = self.entry_state(self.task(ix).input());
                    self.set(ix, entry, at, effects);
                    self.unblock_dependents(ix, at, effects);
                }
                Phase::Blocked => {
                    let entry = self.entry_state(self.task(ix).input());
                    self.set(ix, entry, at, effects);
                }
                _ => {}
            }
        }
        effects.touch(study);
        self.settle(study, at);
    }

    /// Puts a task whose attempt has ended back into the queue.
    fn put_back(&mut self, ix: TaskIx, at: Timestamp, effects: &mut Effects) {
        let next = if self.is_wanted(ix) {
            TaskState::Ready
        } else {
            TaskState::Cancelled
        };
        self.set(ix, next, at, effects);
    }

    fn count_failure(&mut self, ix: TaskIx, class: FailureClass) {
        self.tasks[ix].change(|extra| match class {
            FailureClass::WorkerLost => extra.lost += 1,
            FailureClass::Task
            | FailureClass::OutOfMemory
            | FailureClass::Permanent
            | FailureClass::TimeLimit
            | FailureClass::Stalled => extra.failures += 1,
            FailureClass::InputLost => {}
        });
    }

    fn lose(
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
        if gives_up {
            if still_runs {
                self.end_leases(ix, None, effects);
            }
            let lost = self.task(ix).extra().lost;
            let failure = Failure {
                class: FailureClass::WorkerLost,
                message: format!("{lost} workers were lost while they ran it, last `{worker}`"),
                log: Vec::new(),
            };
            self.give_up(ix, failure, at, effects);
        } else if !still_runs {
            self.put_back(ix, at, effects);
        }
        Some(())
    }

    fn give_up(&mut self, ix: TaskIx, failure: Failure, at: Timestamp, effects: &mut Effects) {
        self.set(ix, TaskState::GivenUp(Box::new(failure)), at, effects);
        let mut blocked = vec![ix];
        while let Some(input) = blocked.pop() {
            for ix in self.dependents.get(&input).cloned().unwrap_or_default() {
                if self.task(ix).state.phase() == Phase::Waiting {
                    self.set(ix, TaskState::Blocked, at, effects);
                    blocked.push(ix);
                }
            }
        }
    }

    /// After `input` has left the failed phases: what was blocked by it waits
    /// again, if anybody wants it.
    fn unblock_dependents(&mut self, input: TaskIx, at: Timestamp, effects: &mut Effects) {
        let mut freed = vec![input];
        while let Some(input) = freed.pop() {
            for ix in self.dependents.get(&input).cloned().unwrap_or_default() {
                if self.task(ix).state.phase() != Phase::Blocked {
                    continue;
                }
                let entry = self.entry_state(self.task(ix).input());
                if entry != TaskState::Blocked {
                    let next = if self.is_wanted(ix) {
                        entry
                    } else {
                        TaskState::Cancelled
                    };
                    self.set(ix, next, at, effects);
                    freed.push(ix);
                }
            }
        }
    }

    /// After `input` has finished: what waited for it and nothing else is ready.
    fn release_dependents(&mut self, input: TaskIx, at: Timestamp, effects: &mut Effects) {
        for ix in self.dependents.get(&input).cloned().unwrap_or_default() {
            if self.task(ix).state.phase() == Phase::Waiting
                && self.entry_state(self.task(ix).input()) == TaskState::Ready
            {
                self.set(ix, TaskState::Ready, at, effects);
            }
        }
    }
}
