//! When audits begin: on slots that have nothing else to do, so that an audit never
//! delays a task. One is given up once its study waits for nothing else and no
//! worker is there that could run it.

use reprise_domain::WorkerId;

use crate::Timestamp;
use crate::lifecycle::{Action, Audit, Event, State, Step, TaskIx};

/// Due audits that are looked at in a round. Those that none of the free workers may
/// have wait for another one.
const LOOKED_AT: usize = 256;

impl State {
    /// Gives due audits to workers that have nothing else to do.
    pub(super) fn begin_audits(&mut self, at: Timestamp, step: &mut Step) {
        if self.audits.is_empty() || self.loads.with_a_free_slot().next().is_none() {
            return;
        }
        let mut hopeless = Vec::new();
        let due: Vec<TaskIx> = self.audits.iter().copied().take(LOOKED_AT).collect();
        for ix in due {
            let Some(Audit::Due { not }) = self.task(ix).extra().audit else {
                continue;
            };
            if !self.is_going_on(ix) {
                continue;
            }
            let suits = |worker: &WorkerId| Some(*worker) != not;
            let Some(worker) = self.loads.with_a_free_slot().find(suits) else {
                if not.is_some_and(|not| self.is_waited_for(ix) && self.is_the_only_one(not)) {
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

    /// Whether there is no other worker, not even one that may still come back.
    fn is_the_only_one(&self, worker: WorkerId) -> bool {
        let mut others = self.workers.iter().filter(|(id, _)| **id != worker);
        others.all(|(_, other)| other.draining || other.drained)
    }
}
