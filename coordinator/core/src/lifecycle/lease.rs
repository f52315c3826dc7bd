//! Leases: which worker has which attempt, and what that takes of its credit.
//!
//! Who gets what is decided by the scheduler; what follows from the end of a lease
//! is decided in `apply`.

use reprise_domain::{AttemptId, WorkerId};

use super::state::{Effects, State};
use super::task::{Lease, Phase, TaskIx, TaskState};
use crate::Timestamp;

/// Numbers beyond are nobody's: there must be one above each that is believed.
const MOST_NUMBERS: u32 = 1 << 30;

/// Whether there can be an attempt of that number.
pub(crate) fn is_plausible(number: u32) -> bool {
    (1..MOST_NUMBERS).contains(&number)
}

/// Whether an archive may have an attempt of that number: those that follow it here are
/// plausible for a long time.
pub(crate) fn is_plausible_in_archive(number: u32) -> bool {
    (1..MOST_NUMBERS / 2).contains(&number)
}

/// Whether another attempt of a task still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StillRuns(pub(crate) bool);

impl State {
    /// The task of which this is a current attempt.
    pub(crate) fn leased(&self, attempt: AttemptId) -> Option<(TaskIx, Lease)> {
        let ix = self.find(attempt.task)?;
        Some((ix, self.task(ix).lease(attempt.number)?))
    }

    /// What `task` takes of `worker`'s credit: by the worker's own rate if it has
    /// one, else by everybody's.
    pub(crate) fn cost(&self, worker: WorkerId, task: TaskIx) -> u32 {
        let class = self.tasks.class(task);
        let own = self
            .workers
            .get(&worker)
            .and_then(|worker| worker.rates.mean(class));
        self.credit.cost(own.or(self.classes.row(class).mean))
    }

    /// Gives the next attempt of a task to a worker.
    pub(crate) fn lease(
        &mut self,
        worker: WorkerId,
        ix: TaskIx,
        at: Timestamp,
    ) -> Option<AttemptId> {
        self.charge(ix);
        let lease = self.grant(worker, ix, self.next_number(ix), at)?;
        self.set(ix, TaskState::Leased(lease), at);
        Some(self.task(ix).attempt(&lease))
    }

    /// Gives a running task to a second worker too.
    pub(crate) fn double(
        &mut self,
        worker: WorkerId,
        ix: TaskIx,
        at: Timestamp,
    ) -> Option<AttemptId> {
        let task = self.task(ix);
        let first = task.leases().next()?;
        if task.extra().second.is_some() || first.worker == worker {
            return None;
        }
        self.charge(ix);
        let lease = self.grant(worker, ix, self.next_number(ix), at)?;
        self.tasks[ix].change(|extra| extra.second = Some(lease));
        Some(self.task(ix).attempt(&lease))
    }

    /// Whether an attempt that `worker` holds and that is not current can be made
    /// current: its task is open, and the attempt is neither the third one nor the
    /// second one of this worker.
    pub(crate) fn can_adopt(&self, worker: WorkerId, attempt: AttemptId) -> bool {
        let Some(ix) = self.find(attempt.task) else {
            return false;
        };
        if !is_plausible(attempt.number) {
            return false;
        }
        let task = self.task(ix);
        let stands_apart = |lease: &Lease| lease.worker != worker && lease.number != attempt.number;
        task.state.phase().is_open()
            && task.extra().second.is_none()
            && task.leases().all(stands_apart)
    }

    /// Makes an attempt current that its worker holds.
    pub(crate) fn adopt(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        at: Timestamp,
    ) -> Option<()> {
        let ix = self
            .can_adopt(worker, attempt)
            .then(|| self.find(attempt.task))??;
        let lease = self.grant(worker, ix, attempt.number, at)?;
        let is_second = self.task(ix).state.phase() == Phase::Leased;
        self.tasks[ix].change(|extra| {
            // It was not lost after all.
            extra.lost = extra.lost.saturating_sub(1);
            if is_second {
                extra.second = Some(lease);
            }
        });
        if !is_second {
            self.set(ix, TaskState::Leased(lease), at);
        }
        Some(())
    }

    /// Number of a task's next attempt.
    pub(super) fn next_number(&self, ix: TaskIx) -> u32 {
        self.task(ix).attempts.max(self.restores.floor) + 1
    }

    /// Makes a lease and gives it to its worker.
    pub(super) fn grant(
        &mut self,
        worker: WorkerId,
        ix: TaskIx,
        number: u32,
        at: Timestamp,
    ) -> Option<Lease> {
        let cost = self.cost(worker, ix);
        self.workers.get(&worker)?;
        self.leases += 1;
        let task = &mut self.tasks[ix];
        task.attempts = task.attempts.max(number);
        let lease = Lease {
            worker,
            number,
            since: at,
            sequence: self.leases,
            cost,
        };
        let input = task.input();
        let holder = self.workers.get_mut(&worker)?;
        holder.take(ix, &lease);
        if let Some(input) = input {
            holder.remember(input);
        }
        self.refresh_worker(worker);
        Some(lease)
    }

    /// Takes an attempt from its worker; says whether another one of the task
    /// still runs. If none does, the task's state is still `Leased` and the caller
    /// moves it on.
    pub(crate) fn end_lease(&mut self, ix: TaskIx, number: u32) -> Option<StillRuns> {
        let task = &mut self.tasks[ix];
        let first = match task.state {
            TaskState::Leased(first) => Some(first),
            // The second attempt at a finished task is its audit.
            _ => None,
        };
        let (ended, other) = match (first, task.extra().second) {
            (first, Some(second)) if second.number == number => (second, first),
            (Some(first), second) if first.number == number => (first, second),
            _ => return None,
        };
        if let Some(other) = other {
            task.state = TaskState::Leased(other);
        }
        if task.extra().second.is_some() {
            task.change(|extra| extra.second = None);
        }
        self.workers.get_mut(&ended.worker)?.give_back(&ended);
        self.watch.forget(ix, ended.number);
        self.refresh_worker(ended.worker);
        Some(StillRuns(other.is_some()))
    }

    /// Takes every attempt of a task from its worker and tells the workers so,
    /// except that of the attempt `reported`, who knows.
    pub(crate) fn end_leases(
        &mut self,
        ix: TaskIx,
        reported: Option<AttemptId>,
        effects: &mut Effects,
    ) {
        let running: Vec<Lease> = self.task(ix).leases().copied().collect();
        for lease in running {
            let attempt = self.task(ix).attempt(&lease);
            self.end_lease(ix, lease.number);
            if reported != Some(attempt) {
                effects.stops.entry(lease.worker).or_default().push(attempt);
            }
        }
    }

    /// Charges every running study that wants the task.
    fn charge(&mut self, ix: TaskIx) {
        let mean = self.classes.row(self.tasks.class(ix)).mean;
        let work = self.credit.charge(mean);
        let mut start = None;
        for interest in self.tasks[ix].interests() {
            let owner = &mut self.studies[interest.study.row()];
            if owner.runnable {
                start = start.into_iter().chain([owner.virtual_time]).min();
                owner.virtual_time = self.fair.charge(interest.study, owner.virtual_time, work);
            }
        }
        if let Some(start) = start {
            self.fair.serve(start);
        }
    }
}
