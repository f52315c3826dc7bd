//! When audits begin: on slots that have nothing else to do, so that an audit never
//! delays a task. One is given up once its study waits for nothing else and no
//! worker is there that could run it.

use reprise_domain::WorkerId;

use super::look::LookFrom;
use crate::Timestamp;
use crate::lifecycle::{Action, Audit, Event, State, Step, TaskIx, TaskState};

/// Due audits that are looked at in a round. The next round looks at the next ones:
/// those of a paused study, or that none of the free workers may have, hold up no
/// others.
const LOOKED_AT: usize = 256;

impl State {
    /// Gives due audits to workers that have nothing else to do.
    pub(super) fn begin_audits(&mut self, at: Timestamp, step: &mut Step) {
        let is_busy = self.loads.with_a_free_slot().next().is_none() && !self.loads.is_empty();
        if self.audits.is_empty() || is_busy {
            return;
        }
        let mut hopeless = Vec::new();
        let due = self.next_due_audits();
        for ix in due {
            let Some(Audit::Due { not }) = self.task(ix).extra().audit else {
                continue;
            };
            if !self.is_going_on(ix) || self.entry_state(self.task(ix).input()) != TaskState::Ready
            {
                continue;
            }
            let suits = |worker: &WorkerId| {
                Some(*worker) != not
                    && self.runs(*worker, ix)
                    && self.is_comparable(not, *worker, ix)
            };
            let Some(worker) = self.loads.with_a_free_slot().find(suits) else {
                if self.is_waited_for(ix) && self.has_no_other(not, ix) {
                    hopeless.push(self.task(ix).key);
                }
                continue;
            };
            if let Some(attempt) = self.begin_audit(worker, ix, at) {
                step.events.push(Event::AuditBegun { worker, attempt });
                step.actions.push(Action::Start {
                    worker,
                    attempts: vec![attempt],
                });
            }
        }
        if !hopeless.is_empty() && self.give_audits_up(&hopeless, at).is_some() {
            step.events.push(Event::AuditsGivenUp { tasks: hopeless });
        }
    }

    /// The due audits that this round looks at.
    fn next_due_audits(&mut self) -> Vec<TaskIx> {
        let from = self.audits_from.0.unwrap_or(TaskIx(0));
        let due = self.audits.range(from..).chain(self.audits.range(..from));
        let mut due = due.copied();
        let looked_at = due.by_ref().take(LOOKED_AT).collect();
        self.audits_from = LookFrom(due.next());
        looked_at
    }

    /// Whether a study that is not paused has the task.
    fn is_going_on(&self, ix: TaskIx) -> bool {
        let mut interests = self.task(ix).interests();
        interests.any(|interest| self.study(interest.study).is_running())
    }

    /// Whether a study that goes on has nothing left but audits.
    fn is_waited_for(&self, ix: TaskIx) -> bool {
        let mut interests = self.task(ix).interests();
        interests.any(|interest| {
            let study = self.study(interest.study);
            study.is_running() && study.open == 0
        })
    }

    /// Whether there is no worker but this one that could run the task, not even one that
    /// may still come back.
    fn has_no_other(&self, worker: Option<WorkerId>, ix: TaskIx) -> bool {
        let mut others = self.workers.iter().filter(|(id, _)| Some(**id) != worker);
        others.all(|(id, other)| {
            let can_run = self.runs(*id, ix) && self.is_comparable(worker, *id, ix);
            other.draining || other.drained || !can_run
        })
    }

    /// Whether two workers should find the same: those on processors and those on
    /// graphics cards train with different engines (INV-7). One that is not known any
    /// more is not held against anybody.
    pub(super) fn is_comparable(
        &self,
        first: Option<WorkerId>,
        second: WorkerId,
        ix: TaskIx,
    ) -> bool {
        let kind = |id: &WorkerId| {
            let worker = self.workers.get(id)?;
            Some(std::mem::discriminant(&worker.capability.device))
        };
        match (first.as_ref().and_then(kind), kind(&second)) {
            (Some(first), Some(second)) => {
                first == second || !self.tasks.spec(ix).depends_on_device()
            }
            _ => true,
        }
    }
}
