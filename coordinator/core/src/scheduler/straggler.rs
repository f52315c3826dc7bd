//! Second attempts at tasks that take far longer than others of their kind: a
//! slow or hung machine must not hold up the end of a study. Only slots that
//! nothing is ready for are used, so a second attempt costs nobody anything. A round
//! looks at some of the running tasks, the next round at the next ones.

use std::time::Duration;

use reprise_domain::{Uuid, WorkerId};

use super::look::LookFrom;
use crate::Timestamp;
use crate::lifecycle::{Action, Event, State, Step, TaskIx};

/// How many times the mean of its kind a task may take before it is doubled. The
/// spread of pretraining and search times on one kind of machine is some ten
/// per cent; a machine three times as slow as the others is not waited for.
const PATIENCE: f64 = 3.0;

/// A task that runs for less than this is never doubled: starting another attempt
/// costs about as much.
const LEAST: Duration = Duration::from_secs(30);

/// Running tasks that are looked at in a round, beside the rest of the last worker's:
/// some ten microseconds.
const LOOKED_AT: usize = 256;

/// Workers with a free slot that could run a task.
struct Suited {
    /// Whether there is any.
    any: bool,
    /// The least loaded one that does not run it already.
    other: Option<WorkerId>,
}

impl State {
    /// Gives the longest overdue tasks to workers that have nothing else to do.
    pub(super) fn double_stragglers(&mut self, at: Timestamp, step: &mut Step) {
        if self.loads.with_a_free_slot().next().is_none() {
            return;
        }
        let mut overdue = self.overdue(at);
        overdue.sort_by(|a, b| b.0.total_cmp(&a.0));
        // What no worker with a free slot has is looked for once.
        let mut lacking = Vec::new();
        for (_, ix) in overdue {
            let requirement = self.requirement(ix);
            if lacking.contains(&requirement) {
                continue;
            }
            let holder = self.task(ix).leases().next().map(|lease| lease.worker);
            let Suited { any, other } = self.suited(ix, holder);
            let Some(worker) = other else {
                if !any {
                    lacking.push(requirement);
                }
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

    /// Looks for a worker with a free slot that could run a task.
    fn suited(&self, ix: TaskIx, holder: Option<WorkerId>) -> Suited {
        let free = self.loads.with_a_free_slot();
        let mut suited = free.filter(|worker| self.runs(*worker, ix)).peekable();
        Suited {
            any: suited.peek().is_some(),
            other: suited
                .find(|worker| Some(*worker) != holder && self.is_comparable(holder, *worker, ix)),
        }
    }

    /// Tasks of the workers of this round that have one attempt and run too long, each
    /// with how many times as long as its kind.
    fn overdue(&mut self, at: Timestamp) -> Vec<(f64, TaskIx)> {
        let mut overdue = Vec::new();
        let from = self.stragglers_from.0.unwrap_or(WorkerId(Uuid::nil()));
        let workers = self.workers.range(from..).chain(self.workers.range(..from));
        let (mut looked_at, mut next) = (0, None);
        for (&id, worker) in workers {
            if looked_at >= LOOKED_AT {
                next = Some(id);
                break;
            }
            // The first ones, as many as it has slots, are those that run.
            let slots = worker.capability.slots as usize;
            let running = worker.held.values().take(slots);
            // A worker that runs nothing has to be looked at as well.
            looked_at += running.len().max(1);
            overdue.extend(running.filter_map(|&ix| self.lateness(id, ix, at)));
        }
        self.stragglers_from = LookFrom(next);
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
