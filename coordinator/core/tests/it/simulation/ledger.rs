//! An account of what happened, kept apart from the core, that every event is
//! held against.

use std::collections::{BTreeMap, BTreeSet};

use reprise_core::lifecycle::{Event, Verdict};
use reprise_domain::{AttemptId, Digest, FailureClass, TaskKey, WorkerId};
use uuid::Uuid;

#[derive(Default)]
pub(crate) struct Ledger {
    /// Attempts that a worker really finished.
    pub(crate) computed: BTreeSet<AttemptId>,
    /// Who got the newest attempt of each task.
    pub(crate) newest: BTreeMap<TaskKey, (u32, WorkerId)>,
    /// Attempts of each task that can win.
    live: BTreeMap<TaskKey, BTreeSet<u32>>,
    /// Audits that run.
    audits: BTreeMap<TaskKey, u32>,
    /// How far the newest checkpoint of each task is that has one.
    done: BTreeMap<TaskKey, u64>,
    /// Results that were recorded.
    pub(crate) results: BTreeMap<TaskKey, Digest>,
    /// Attempts that are made after a backup was put back have higher numbers.
    floor: u32,
    /// All attempts that were ever given out, whatever became of the journal.
    pub(crate) given: BTreeSet<AttemptId>,
}

impl Ledger {
    pub(crate) fn enter(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Leased { worker, attempts } => attempts
                .iter()
                .try_for_each(|attempt| self.lease(*worker, *attempt)),
            Event::Adopted { worker, attempts } => attempts
                .iter()
                .try_for_each(|attempt| self.adopt(*worker, *attempt)),
            Event::Reopened { tasks, .. } => {
                for task in tasks {
                    self.results.remove(task);
                }
                Ok(())
            }
            Event::Doubled { worker, attempt } => {
                let beside = self.live.get(&attempt.task).cloned().unwrap_or_default();
                if beside.len() != 1 {
                    return Err(format!("INV-1: `{attempt}` beside {beside:?}"));
                }
                self.lease(*worker, *attempt)?;
                self.live.entry(attempt.task).or_default().extend(beside);
                Ok(())
            }
            Event::AuditBegun { worker, attempt } => self.begin_audit(*worker, *attempt),
            Event::Audited { attempt, agrees } => self.end_audit(*attempt, *agrees),
            Event::Returned { attempt } => {
                self.end(*attempt);
                Ok(())
            }
            Event::Failed {
                attempt,
                failure,
                verdict,
            } => {
                // What it failed of may be in its checkpoint, unless it lacked time only.
                let gives_up = *verdict == Verdict::GiveUp;
                if failure.class == FailureClass::Task
                    || (gives_up && failure.class != FailureClass::TimeLimit)
                {
                    self.done.remove(&attempt.task);
                }
                self.end(*attempt);
                Ok(())
            }
            Event::Lost {
                counted,
                unbegun,
                quarantined,
                ..
            } => {
                let lost = [counted, unbegun, quarantined].into_iter().flatten();
                lost.for_each(|attempt| self.end(*attempt));
                for attempt in quarantined {
                    self.done.remove(&attempt.task);
                }
                Ok(())
            }
            Event::Finished {
                attempt, result, ..
            } => {
                if !self.computed.contains(attempt) {
                    return Err(format!(
                        "INV-1: `{attempt}` won without having been finished"
                    ));
                }
                self.finish(*attempt, *result)
            }
            // Another coordinator had it finished.
            Event::Unarchived {
                attempt, result, ..
            } => self.finish(*attempt, *result),
            Event::Checkpointed { attempt, done, .. } => self.save(*attempt, *done),
            Event::CheckpointLost { attempt } => {
                self.done.remove(&attempt.task);
                Ok(())
            }
            Event::Disputed { attempt, .. } => Err(format!(
                "INV-7: `{attempt}` is disputed although results do not vary"
            )),
            Event::Restored { floor } => {
                self.floor = *floor;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn save(&mut self, attempt: AttemptId, done: u64) -> Result<(), String> {
        if !self.is_live(attempt) || self.results.contains_key(&attempt.task) {
            return Err(format!(
                "INV-1: a checkpoint of `{attempt}`, which cannot win"
            ));
        }
        match self.done.insert(attempt.task, done) {
            Some(before) if before >= done => Err(format!(
                "the checkpoint of `{attempt}` goes back from {before} to {done}"
            )),
            _ => Ok(()),
        }
    }

    fn begin_audit(&mut self, worker: WorkerId, attempt: AttemptId) -> Result<(), String> {
        if !self.results.contains_key(&attempt.task) {
            return Err(format!("`{attempt}` audits a task without a result"));
        }
        self.number(worker, attempt)?;
        self.audits.insert(attempt.task, attempt.number);
        Ok(())
    }

    fn end_audit(&mut self, attempt: AttemptId, agrees: bool) -> Result<(), String> {
        let begun = self.audits.remove(&attempt.task);
        if begun != Some(attempt.number) || !self.computed.contains(&attempt) {
            return Err(format!("`{attempt}` is not an audit, but {begun:?}"));
        }
        if agrees {
            Ok(())
        } else {
            Err(format!("INV-7: the audit `{attempt}` differs"))
        }
    }

    /// Notes that an attempt was given to a worker.
    fn number(&mut self, worker: WorkerId, attempt: AttemptId) -> Result<(), String> {
        let before = self.newest.insert(attempt.task, (attempt.number, worker));
        let newest = before.map_or(0, |(number, _)| number);
        if attempt.number != newest.max(self.floor) + 1 {
            return Err(format!("INV-3: `{attempt}` was leased after {before:?}"));
        }
        if !self.given.insert(attempt) {
            return Err(format!("INV-3: `{attempt}` was leased twice"));
        }
        Ok(())
    }

    fn lease(&mut self, worker: WorkerId, attempt: AttemptId) -> Result<(), String> {
        self.number(worker, attempt)?;
        if self.results.contains_key(&attempt.task) {
            return Err(format!(
                "INV-2: `{attempt}` was leased after its task had finished"
            ));
        }
        self.live
            .insert(attempt.task, BTreeSet::from([attempt.number]));
        Ok(())
    }

    fn adopt(&mut self, worker: WorkerId, attempt: AttemptId) -> Result<(), String> {
        if self.results.contains_key(&attempt.task) {
            return Err(format!(
                "INV-2: `{attempt}` was adopted after its task had finished"
            ));
        }
        let newest = self.newest.entry(attempt.task).or_insert((0, worker));
        if attempt.number > newest.0 {
            *newest = (attempt.number, worker);
        }
        let live = self.live.entry(attempt.task).or_default();
        if !live.insert(attempt.number) || live.len() > 2 {
            return Err(format!("INV-1: `{attempt}` was adopted beside {live:?}"));
        }
        Ok(())
    }

    /// Ends the attempts at tasks that are not leased any more: of those that are
    /// cancelled with a study no event speaks.
    pub(crate) fn keep_live(&mut self, is_leased: impl Fn(TaskKey) -> bool) {
        self.live.retain(|task, _| is_leased(*task));
    }

    /// Forgets what happened to tasks that were deleted.
    pub(crate) fn keep_known(&mut self, is_known: impl Fn(TaskKey) -> bool) {
        self.done.retain(|task, _| is_known(*task));
        self.audits.retain(|task, _| is_known(*task));
        self.given.retain(|attempt| is_known(attempt.task));
        self.newest.retain(|task, _| is_known(*task));
        self.live.retain(|task, _| is_known(*task));
        self.results.retain(|task, _| is_known(*task));
    }

    /// An account of nothing but what workers really did.
    pub(crate) fn begun_anew(&mut self) -> Self {
        Self {
            computed: std::mem::take(&mut self.computed),
            given: std::mem::take(&mut self.given),
            ..Self::default()
        }
    }

    fn end(&mut self, attempt: AttemptId) {
        if self.audits.get(&attempt.task) == Some(&attempt.number) {
            self.audits.remove(&attempt.task);
        }
        self.live
            .entry(attempt.task)
            .or_default()
            .remove(&attempt.number);
    }

    fn is_live(&self, attempt: AttemptId) -> bool {
        let live = self.live.get(&attempt.task);
        live.is_some_and(|live| live.contains(&attempt.number))
    }

    /// Whether the attempt that won last could have been waited for.
    pub(crate) fn was_live(&self, attempt: AttemptId) -> bool {
        self.is_live(attempt)
    }

    fn finish(&mut self, attempt: AttemptId, result: Digest) -> Result<(), String> {
        // It may be of an attempt from before its task was deleted.
        let newest = self.newest.entry(attempt.task);
        let newest = newest.or_insert((0, WorkerId(Uuid::nil())));
        newest.0 = newest.0.max(attempt.number);
        self.done.remove(&attempt.task);
        match self.results.insert(attempt.task, result) {
            None => Ok(()),
            Some(_) => Err(format!("INV-2: `{attempt}` won a task that had finished")),
        }
    }
}
