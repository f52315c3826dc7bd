//! Running attempts as time sees them: how far they are, and when one has run too
//! long or stood still too long.
//!
//! A worker has more attempts than it runs, so that the clocks of an attempt start
//! when the worker first says how far it is, and not with its lease. Nothing of it
//! is journalled: after a restart, and when an attempt counts again that was taken for
//! lost, the worker says for how long the attempt has run, and its limit of time counts
//! on. The limit of silence counts anew, since nobody could tell of progress meanwhile.
//! What follows from it is journalled: an attempt that is ended for a limit leaves a
//! `failed` event like any other.

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
    begun: HashMap<(TaskIx, u32), Begun>,
    /// Attempts with limits, by the moment of the next look; each once.
    looks: BTreeSet<(Timestamp, TaskIx, u32)>,
}

/// An attempt that its worker runs.
#[derive(Debug, Clone, Copy)]
struct Begun {
    /// When it began, by what its worker said first.
    since: Timestamp,
    progress: Progress,
    /// When it moved last.
    moved: Timestamp,
    look: Option<Timestamp>,
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
        let ended = self.begun.remove(&(ix, number));
        if let Some(look) = ended.and_then(|begun| begun.look) {
            self.looks.remove(&(look, ix, number));
        }
    }

    /// Forgets all attempts: after a restart, workers come back first.
    pub(crate) fn forget_all(&mut self) {
        self.begun.clear();
        self.looks.clear();
    }

    /// Whether the attempt's worker has said that it runs.
    pub(crate) fn has_begun(&self, ix: TaskIx, number: u32) -> bool {
        self.begun.contains_key(&(ix, number))
    }

    /// Has an attempt that has begun looked at then, and not before.
    fn look_at(&mut self, ix: TaskIx, number: u32, next: Option<Timestamp>) {
        let Some(begun) = self.begun.get_mut(&(ix, number)) else {
            return;
        };
        let before = std::mem::replace(&mut begun.look, next);
        if let Some(before) = before {
            self.looks.remove(&(before, ix, number));
        }
        if let Some(next) = next {
            self.looks.insert((next, ix, number));
        }
    }

    /// When the next attempt is to be looked at.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.looks.first().map(|&(at, ..)| at)
    }
}

impl State {
    fn is_connected(&self, worker: WorkerId) -> bool {
        let worker = self.workers.get(&worker);
        worker.is_some_and(super::worker::Worker::is_connected)
    }

    /// Notes how far a current attempt is. The first time its clocks start.
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
        if let Some(begun) = self.watch.begun.get_mut(&(ix, attempt.number)) {
            if progress.done > begun.progress.done {
                begun.progress = progress;
                begun.moved = now;
            }
            return;
        }
        let begun = Begun {
            since: now.before(progress.running),
            progress,
            moved: now,
            look: None,
        };
        self.watch.begun.insert((ix, attempt.number), begun);
        self.watch_anew(ix);
    }

    /// Has the attempts of a task looked at when one of its limits may have been
    /// reached: the limits may have changed.
    pub(crate) fn watch_anew(&mut self, ix: TaskIx) {
        let leases: Vec<Lease> = self.task(ix).leases().copied().collect();
        for lease in leases {
            let next = self.next_limit(ix, &lease, self.limits(ix));
            let due = next.map(|(due, ..)| due);
            self.watch.look_at(ix, lease.number, due);
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
            let Some(lease) = self.task(ix).lease(number) else {
                self.watch.forget(ix, number);
                continue;
            };
            let next = match self.next_limit(ix, &lease, self.limits(ix)) {
                // Nothing can be heard of it now.
                Some((due, FailureClass::Stalled, _))
                    if due <= now && !self.is_connected(lease.worker) =>
                {
                    Some(now.after(RELOOK))
                }
                Some((due, class, limit)) if due <= now => {
                    overruns.push(Overrun {
                        ix,
                        lease,
                        class,
                        limit,
                    });
                    None
                }
                Some((due, ..)) => Some(due),
                // It is looked at again when its limits change.
                None => None,
            };
            self.watch.look_at(ix, number, next);
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

    /// When an attempt that has begun reaches its first limit, and which. While its
    /// worker is away nothing can be heard of it, so that silence counts from the
    /// worker's return.
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
        let begun = self.watch.begun.get(&(ix, lease.number))?;
        let time = limits.time.map(|limit| {
            let due = after(begun.since, limit);
            (due, FailureClass::TimeLimit, limit)
        });
        let silence = limits.silence.map(|limit| {
            let due = after(begun.moved.max(worker.since), limit);
            (due, FailureClass::Stalled, limit)
        });
        time.into_iter().chain(silence).min_by_key(|(due, ..)| *due)
    }
}
