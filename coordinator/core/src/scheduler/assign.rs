//! The round of leasing: least loaded worker, fairest study, best task, until
//! nothing fits.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::time::Duration;

use reprise_domain::{AttemptId, WorkerId};

use crate::Timestamp;
use crate::lifecycle::{Action, Event, State, Step, TaskIx};

/// The most attempts that one worker holds beyond its slots. It names all of them
/// when it says hello, some 40 bytes each, which has to fit into one message.
const MOST_HELD: usize = 1 << 16;

/// How long a task is kept from a worker that has let it stand still or run too long,
/// while there is other work for that worker.
const AVOIDED: Duration = Duration::from_mins(10);

/// Whether a worker is given tasks that are to be kept from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Avoided {
    Kept,
    Given,
}

impl State {
    /// Leases what can be leased. Each lease is applied as it is decided, by the
    /// same code that replays it; the work done is proportional to what is
    /// leased.
    pub(crate) fn assign(&mut self, at: Timestamp) -> Step {
        let mut step = Step::default();
        // Workers for which all that is ready was taken from them before, or needs
        // something that they lack.
        let mut unsuited = BTreeSet::new();
        loop {
            let mut workers = self.loads.order();
            let Some(worker) = workers.find(|id| !unsuited.contains(id)) else {
                break;
            };
            drop(workers);
            let attempts = self.fill(worker, at, Avoided::Kept);
            if attempts.is_empty() {
                if self.fair.len() > 0 && self.choose(worker, at, Avoided::Kept).is_none() {
                    unsuited.insert(worker);
                    continue;
                }
                // The least loaded worker is full, so all are; or nothing is ready.
                break;
            }
            lease(&mut step, worker, attempts);
        }
        // Nobody else has a slot for what is ready still.
        for worker in unsuited {
            let attempts = self.fill(worker, at, Avoided::Given);
            if !attempts.is_empty() {
                lease(&mut step, worker, attempts);
            }
        }
        self.double_stragglers(at, &mut step);
        self.begin_audits(at, &mut step);
        step
    }

    /// Leases to one worker, at most its share of what is ready.
    fn fill(&mut self, worker: WorkerId, at: Timestamp, avoided: Avoided) -> Vec<AttemptId> {
        let mut attempts = Vec::new();
        let Some(allowance) = self.allowance(worker) else {
            return attempts;
        };
        while (attempts.len() as u64) < allowance.tasks {
            let Some(task) = self.choose(worker, at, avoided) else {
                break;
            };
            let fits = match avoided {
                Avoided::Kept => self.fits(worker, task, allowance.credit),
                Avoided::Given => self.has_free_slot(worker),
            };
            if !fits {
                break;
            }
            let Some(attempt) = self.lease(worker, task, at) else {
                break;
            };
            attempts.push(attempt);
        }
        attempts
    }

    /// What `worker` may take of the work that is ready now: its slots' share of
    /// the tasks, and of each slot's window no more than an even spread of the
    /// ready work would fill. As the queue runs out the windows shrink with it
    /// (guided self-scheduling, Polychronopoulos and Kuck, 1987). Ready tasks of
    /// paused studies count too, which at worst leaves the windows whole.
    fn allowance(&self, worker: WorkerId) -> Option<Allowance> {
        let (mut tasks, mut work) = (0, 0);
        for row in self.classes.rows() {
            tasks += u64::from(row.ready);
            work += u64::from(row.ready) * u64::from(self.credit.cost(row.mean));
        }
        let slots = u64::from(self.workers.get(&worker)?.capability.slots);
        let all_slots = self.loads.slots().max(1);
        let window = u64::from(self.credit.window()).min(work / all_slots);
        Some(Allowance {
            tasks: (tasks * slots).div_ceil(all_slots),
            credit: window * slots,
        })
    }

    /// The task that `worker` should take next.
    fn choose(&self, worker: WorkerId, at: Timestamp, avoided: Avoided) -> Option<TaskIx> {
        let known = self.workers.get(&worker)?;
        let has = |required| known.capability.lack(required).is_none();
        let inputs = &known.inputs;
        let is_alone = self.loads.len() == 1;
        let suspect = OnceCell::new();
        let holds_suspect =
            || *suspect.get_or_init(|| known.held.values().any(|&ix| self.is_suspected(ix)));
        self.fair.order().find_map(|study| {
            let study = &self.studies[study.row()];
            let task = |position: u32| self.task(study.tasks[position as usize]);
            let input = |position| task(position).input();
            let is_kept = |position| {
                let avoid = task(position).extra().avoid;
                avoid.is_some_and(|(avoided, since)| avoided == worker && at.since(since) < AVOIDED)
            };
            let may_have = |position| is_alone || avoided == Avoided::Given || !is_kept(position);
            let suits = |position| {
                let ix = study.tasks[position as usize];
                may_have(position) && !(self.is_suspected(ix) && holds_suspect())
            };
            let inputs = inputs.iter().copied();
            let position = study.queue.pick(inputs, has, input, suits)?;
            Some(study.tasks[position as usize])
        })
    }

    /// Whether `worker` has what a task needs.
    pub(super) fn runs(&self, worker: WorkerId, ix: TaskIx) -> bool {
        let requirement = self.requirement(ix);
        let known = self.workers.get(&worker);
        known.is_some_and(|known| known.capability.lack(requirement).is_none())
    }

    /// Whether `worker` may take `task`: a free slot is always filled, whatever
    /// the windows have shrunk to.
    fn fits(&self, worker: WorkerId, task: TaskIx, credit: u64) -> bool {
        let cost = u64::from(self.cost(worker, task));
        let has_credit = self
            .workers
            .get(&worker)
            .is_some_and(|worker| worker.held.len() < MOST_HELD && worker.used + cost <= credit);
        has_credit || self.has_free_slot(worker)
    }

    fn has_free_slot(&self, worker: WorkerId) -> bool {
        let worker = self.workers.get(&worker);
        worker.is_some_and(|worker| worker.held.len() < worker.capability.slots as usize)
    }
}

/// Records attempts that were leased to a worker.
fn lease(step: &mut Step, worker: WorkerId, attempts: Vec<AttemptId>) {
    step.events.push(Event::Leased {
        worker,
        attempts: attempts.clone(),
    });
    step.actions.push(Action::Start { worker, attempts });
}

/// What a worker may take in one go.
struct Allowance {
    tasks: u64,
    /// Bound of the credit that it uses afterwards.
    credit: u64,
}
