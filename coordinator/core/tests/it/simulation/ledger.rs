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
    /// Results that were recorded.
    pub(crate) results: BTreeMap<TaskKey, Digest>,
}

impl Ledger {
    pub(crate) fn enter(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Leased { worker, attempts } => attempts
                .iter()
                .try_for_each(|attempt| self.lease(*worker, *attempt)),
            Event::Finished {
                attempt, result, ..
            } => self.finish(*attempt, *result),
            Event::Checkpointed { attempt, .. } => {
                let newest = self.newest.get(&attempt.task).map(|&(number, _)| number);
                if newest == Some(attempt.number) && !self.results.contains_key(&attempt.task) {
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
        Ok(())
    }

    fn finish(&mut self, attempt: AttemptId, result: Digest) -> Result<(), String> {
        if !self.computed.contains(&attempt) {
            return Err(format!(
                "INV-1: `{attempt}` won without having been finished"
            ));
        }
        if self.newest.get(&attempt.task).map(|(number, _)| *number) != Some(attempt.number) {
            return Err(format!(
                "INV-1: `{attempt}` won although it is not the newest"
            ));
        }
        match self.results.insert(attempt.task, result) {
            None => Ok(()),
            Some(_) => Err(format!("INV-2: `{attempt}` won a task that had finished")),
        }
    }
}
