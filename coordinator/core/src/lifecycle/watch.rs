//! Running attempts as time sees them: how far they are, and when one has run too
//! long or stood still too long.
//!
//! Nothing of it is journalled. What follows from it is: an attempt that is ended
//! for a limit leaves a `failed` event like any other.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use reprise_domain::{AttemptId, FailureClass, Limits, Seconds, WorkerId};

use super::input::Progress;
use super::state::State;
use super::task::{Lease, TaskIx};
use crate::Timestamp;

/// Time between two looks at an attempt that should have moved while its worker is
/// away.
const RELOOK: Duration = Duration::from_secs(5);

/// How far attempts are, and when they are looked at next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    moved: HashMap<(TaskIx, u32), Moved>,
    /// Attempts with limits, by the moment of the next look. One that has ended
    /// meanwhile is dropped then.
    looks: BTreeSet<(Timestamp, TaskIx, u32)>,
}

/// The last step of an attempt.
#[derive(Debug, Clone, Copy)]
struct Moved {
    progress: Progress,
    at: Timestamp,
}

/// An attempt that is to be ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overrun {
    pub(crate) ix: TaskIx,
    pub(crate) lease: Lease,
    /// [`FailureClass::TimeLimit`] or [`FailureClass::Stalled`].
    pub(crate) class: FailureClass,
    /// The limit that it has reached.
    pub(crate) limit: Seconds,
}

/// No part of the state that a replay gives.
impl PartialEq for Watch {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Watch {
    /// Forgets an attempt that has ended.
    pub(crate) fn forget(&mut self, ix: TaskIx, number: u32) {
        self.moved.remove(&(ix, number));
    }

    /// When the next attempt is to be looked at.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.looks.first().map(|&(at, ..)| at)
    }

    /// Looks at nothing before `at`: after a restart, workers come back first.
    pub(crate) fn postpone(&mut self, at: Timestamp) {
        let looks = std::mem::take(&mut self.looks).into_iter();
        self.looks = looks
            .map(|(due, ix, number)| (due.max(at), ix, number))
            .collect();
        self.moved.clear();
    }
}

impl State {
    fn is_connected(&self, worker: WorkerId) -> bool {
        let worker = self.workers.get(&worker);
        worker.is_some_and(super::worker::Worker::is_connected)
    }

    /// Notes how far a current attempt is.
    pub(crate) fn note_progress(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        progress: Progress,
        now: Timestamp,
    ) {
        let current = self.find(attempt.task);
        let Some(ix) = current.filter(|&ix| self.task(ix).is_current(worker, attempt)) else {
            return;
        };
        let known = self.watch.moved.get(&(ix, attempt.number));
        if known.is_none_or(|known| progress.done > known.progress.done) {
            let moved = Moved { progress, at: now };
            self.watch.moved.insert((ix, attempt.number), moved);
        }
    }

    /// Has an attempt looked at when one of its limits may have been reached.
    pub(crate) fn watch_attempt(&mut self, ix: TaskIx, lease: &Lease) {
        if let Some((due, ..)) = self.next_limit(ix, lease, self.limits(ix)) {
            self.watch.looks.insert((due, ix, lease.number));
        }
    }

    /// Has all attempts of a task looked at: its limits may have changed.
    pub(crate) fn watch_anew(&mut self, ix: TaskIx) {
        let leases: Vec<Lease> = self.task(ix).leases().copied().collect();
        for lease in leases {
            self.watch_attempt(ix, &lease);
        }
    }

    /// Attempts that have reached a limit. Ending one may end others: of a task that is
    /// given up, or of a study that stops.
    pub(crate) fn overruns(&mut self, now: Timestamp) -> Vec<Overrun> {
        let mut overruns = Vec::new();
        while let Some(&(due, ix, number)) = self.watch.looks.first() {
            if due > now {
                break;
            }
            self.watch.looks.pop_first();
            let Some(lease) = self.task(ix).lease(number) else {
                continue;
            };
            match self.next_limit(ix, &lease, self.limits(ix)) {
                // Nothing can be heard of it now.
                Some((due, FailureClass::Stalled, _))
                    if due <= now && !self.is_connected(lease.worker) =>
                {
                    self.watch.looks.insert((now.after(RELOOK), ix, number));
                }
                Some((due, class, limit)) if due <= now => overruns.push(Overrun {
                    ix,
                    lease,
                    class,
                    limit,
                }),
                Some((due, ..)) => {
                    self.watch.looks.insert((due, ix, number));
                }
                None => {}
            }
        }
        overruns
    }

    /// The limits of a task: of the studies that want it, the most patient ones.
    fn limits(&self, ix: TaskIx) -> Limits {
        let interests = self.task(ix).interests();
        let limits = interests.filter_map(|interest| {
            let study = self.study(interest.study);
            let stage = &study.stages[interest.stage as usize].stage;
            study.control.is_live().then(|| stage.limits(&study.spec))
        });
        limits.reduce(Limits::loosest).unwrap_or_default()
    }

    /// When an attempt reaches its first limit, and which. While its worker is away
    /// nothing can be heard of it, so that silence counts from the worker's return.
    fn next_limit(
        &self,
        ix: TaskIx,
        lease: &Lease,
        limits: Limits,
    ) -> Option<(Timestamp, FailureClass, Seconds)> {
        let after = |from: Timestamp, limit: Seconds| {
            from.after(Duration::try_from_secs_f64(limit.get()).unwrap_or(Duration::MAX))
        };
        let worker = self.workers.get(&lease.worker)?;
        let moved = self.watch.moved.get(&(ix, lease.number));
        let heard = moved.map_or(lease.since, |moved| moved.at);
        let time = limits.time.map(|limit| {
            let due = after(lease.since, limit);
            (due, FailureClass::TimeLimit, limit)
        });
        let silence = limits.silence.map(|limit| {
            let due = after(heard.max(lease.since).max(worker.since), limit);
            (due, FailureClass::Stalled, limit)
        });
        time.into_iter().chain(silence).min_by_key(|(due, ..)| *due)
    }
}
