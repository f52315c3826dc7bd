//! An account of what happened, kept apart from the core, that every event is
//! held against.

use std::collections::{BTreeMap, BTreeSet};

use reprise_core::lifecycle::Event;
use reprise_domain::{AttemptId, Digest, TaskKey, WorkerId};

#[derive(Default)]
pub(crate) struct Ledger {
    /// Attempts that a worker really finished.
    pub(crate) computed: BTreeSet<AttemptId>,
    /// Who got the newest attempt of each task.
    pub(crate) newest: BTreeMap<TaskKey, (u32, WorkerId)>,
    /// Attempts of each task that can win.
    live: BTreeMap<TaskKey, BTreeSet<u32>>,
    /// Results that were recorded.
    pub(crate) results: BTreeMap<TaskKey, Digest>,
}

impl Ledger {
    pub(crate) fn enter(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Leased { worker, attempts } => attempts
                .iter()
                .try_for_each(|attempt| self.lease(*worker, *attempt)),
            Event::Doubled { worker, attempt } => {
                let beside = self.live.get(&attempt.task).cloned().unwrap_or_default();
                if beside.len() != 1 {
                    return Err(format!("INV-1: `{attempt}` beside {beside:?}"));
                }
                self.lease(*worker, *attempt)?;
                self.live.entry(attempt.task).or_default().extend(beside);
                Ok(())
            }
            Event::Returned { attempt } | Event::Failed { attempt, .. } => {
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
                Ok(())
            }
            Event::Finished {
                attempt, result, ..
            } => self.finish(*attempt, *result),
            Event::Checkpointed { attempt, .. } => {
                if self.is_live(*attempt) && !self.results.contains_key(&attempt.task) {
                    Ok(())
                } else {
                    Err(format!(
                        "INV-1: a checkpoint of `{attempt}`, which cannot win"
                    ))
                }
            }
            Event::Disputed { attempt, .. } => Err(format!(
                "INV-7: `{attempt}` is disputed although results do not vary"
            )),
            _ => Ok(()),
        }
    }

    fn lease(&mut self, worker: WorkerId, attempt: AttemptId) -> Result<(), String> {
        let before = self.newest.insert(attempt.task, (attempt.number, worker));
        if attempt.number != before.map_or(1, |(number, _)| number + 1) {
            return Err(format!("INV-3: `{attempt}` was leased after {before:?}"));
        }
        if self.results.contains_key(&attempt.task) {
            return Err(format!(
                "INV-2: `{attempt}` was leased after its task had finished"
            ));
        }
        self.live
            .insert(attempt.task, BTreeSet::from([attempt.number]));
        Ok(())
    }

    fn end(&mut self, attempt: AttemptId) {
        self.live
            .entry(attempt.task)
            .or_default()
            .remove(&attempt.number);
    }

    fn is_live(&self, attempt: AttemptId) -> bool {
        let live = self.live.get(&attempt.task);
        live.is_some_and(|live| live.contains(&attempt.number))
    }

    fn finish(&mut self, attempt: AttemptId, result: Digest) -> Result<(), String> {
        if !self.computed.contains(&attempt) {
            return Err(format!(
                "INV-1: `{attempt}` won without having been finished"
            ));
        }
        if !self.is_live(attempt) {
            return Err(format!("INV-1: `{attempt}` won although it had ended"));
        }
        match self.results.insert(attempt.task, result) {
            None => Ok(()),
            Some(_) => Err(format!("INV-2: `{attempt}` won a task that had finished")),
        }
    }
}
