//! Second attempts at tasks that take far longer than others of their kind: a
//! slow or hung machine must not hold up the end of a study. Only slots that
//! nothing is ready for are used, so a second attempt costs nobody anything.

use std::time::Duration;

use reprise_domain::WorkerId;

use crate::Timestamp;
use crate::lifecycle::{Action, Event, State, Step, TaskIx};

/// How many times the mean of its kind a task may take before it is doubled. The
/// spread of pretraining and search times on one kind of machine is some ten
/// per cent; a machine three times as slow as the others is not waited for.
const PATIENCE: f64 = 3.0;

/// A task that runs for less than this is never doubled: starting another attempt
/// costs about as much.
const LEAST: Duration = Duration::from_secs(30);

impl State {
    /// Gives the longest overdue tasks to workers that have nothing else to do.
    pub(super) fn double_stragglers(&mut self, at: Timestamp, step: &mut Step) {
        if self.loads.with_a_free_slot().next().is_none() {
            return;
        }
        let mut overdue = self.overdue(at);
        overdue.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, ix) in overdue {
            let holder = self.task(ix).leases().next().map(|lease| lease.worker);
            let other = |worker: &WorkerId| Some(*worker) != holder && self.runs(*worker, ix);
            let Some(worker) = self.loads.with_a_free_slot().find(other) else {
                continue;
            };
            if let Some(attempt) = self.double(worker, ix, at) {
                step.events.push(Event::Doubled { worker, attempt });
                step.actions.push(Action::Start {
                    worker,
                    attempts: vec![attempt],
                });
            }
        }
    }

    /// Tasks that have one attempt and run too long, each with how many times as
    /// long as its kind.
    fn overdue(&self, at: Timestamp) -> Vec<(f64, TaskIx)> {
        let mut overdue = Vec::new();
        for (id, worker) in &self.workers {
            // The first ones, as many as it has slots, are those that run.
            let slots = worker.capability.slots as usize;
            let running = worker.held.values().take(slots);
            overdue.extend(running.filter_map(|&ix| self.lateness(*id, ix, at)));
        }
        overdue
    }

    fn lateness(&self, worker: WorkerId, ix: TaskIx, at: Timestamp) -> Option<(f64, TaskIx)> {
        let task = self.task(ix);
        let mean = self.classes.row(self.tasks.class(ix)).mean?.seconds();
        let lease = task
            .leases()
            .next()
            .filter(|lease| lease.worker == worker)?;
        let runs = at.since(lease.since);
        let wanted = task
            .interests()
            .any(|interest| self.study(interest.study).is_running());
        let late = wanted
            && task.extra().second.is_none()
            && runs >= LEAST
            && runs.as_secs_f64() > PATIENCE * mean;
        late.then(|| (runs.as_secs_f64() / mean.max(1e-6), ix))
    }
}
