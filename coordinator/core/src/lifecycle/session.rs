//! Decisions about workers: who joins, who is silent, who is lost.

use std::collections::HashSet;
use std::time::Duration;

use reprise_domain::{AttemptId, Capability, WorkerId};

use super::action::Action;
use super::event::Event;
use super::input::Refusal;
use super::task::{Lease, TaskIx};
use super::turn::Turn;
use super::worker::{Link, Worker};
use crate::Timestamp;

/// The most slots of one worker that are believed: more than any machine has,
/// few enough that a wrong number cannot drain the queue into one worker.
const MAX_SLOTS: u32 = 4096;

impl Turn<'_> {
    pub(super) fn hello(
        &mut self,
        worker: WorkerId,
        capability: Capability,
        holding: &[AttemptId],
        again: bool,
    ) -> Result<(), Refusal> {
        let slots = capability.slots;
        let workers = self.state.workers.len();
        if !self.state.workers.contains_key(&worker) && workers >= self.settings.most_workers {
            return Err(Refusal::Full {
                what: "workers",
                found: workers + 1,
                limit: self.settings.most_workers,
            });
        }
        if !(1..=MAX_SLOTS).contains(&slots) {
            return Err(Refusal::Slots {
                worker,
                slots,
                limit: MAX_SLOTS,
            });
        }
        // What it should have and has not was lost when its process ended, or, if
        // that lives, never reached it.
        let holding_set: HashSet<_> = holding.iter().copied().collect();
        self.lose(worker, !again, |attempt| !holding_set.contains(&attempt));
        let known = self.state.workers.get(&worker);
        if known.is_none_or(|known| known.capability != capability) {
            self.emit(Event::WorkerJoined { worker, capability });
        }
        let stopped = self.adopt(worker, holding);
        self.state.connect(worker, self.now);
        if !stopped.is_empty() {
            self.act(Action::Stop {
                worker,
                attempts: stopped,
            });
        }
        Ok(())
    }

    /// Makes those attempts current that a worker holds and that are still of use;
    /// the others are returned.
    fn adopt(&mut self, worker: WorkerId, holding: &[AttemptId]) -> Vec<AttemptId> {
        self.state.unknown.remove(&worker);
        let (mut adopted, mut stopped) = (Vec::new(), Vec::new());
        let mut tasks = HashSet::new();
        for &attempt in holding {
            let ix = self.state.find(attempt.task);
            if ix.is_some_and(|ix| self.state.task(ix).is_current(worker, attempt)) {
                continue;
            }
            if self.state.keeps_unknown(attempt, self.now) {
                self.state.note_unknown(worker, attempt);
                continue;
            }
            // Of two attempts at one task a worker keeps one.
            if self.state.can_adopt(worker, attempt) && tasks.insert(attempt.task) {
                adopted.push(attempt);
            } else {
                stopped.push(attempt);
            }
        }
        if !adopted.is_empty() {
            self.emit(Event::Adopted {
                worker,
                attempts: adopted,
            });
        }
        stopped
    }

    pub(super) fn drain(&mut self, worker: WorkerId, drained: bool) -> Result<(), Refusal> {
        let known = self.state.workers.get(&worker).map(|known| known.drained);
        let is_away = self.state.drained.contains(&worker).then_some(true);
        let is_drained = known.or(is_away).ok_or(Refusal::UnknownWorker { worker })?;
        if is_drained != drained {
            self.emit(Event::WorkerDrained { worker, drained });
        }
        Ok(())
    }

    pub(super) fn disconnected(&mut self, worker: WorkerId) {
        self.state.set_link(worker, Link::Gone { since: self.now });
        let leaves = |worker: &Worker| worker.draining && worker.held.is_empty();
        if self.state.workers.get(&worker).is_some_and(leaves) {
            self.emit(Event::WorkerLeft { worker });
        }
    }

    pub(super) fn heartbeat(&mut self, worker: WorkerId) -> Result<(), Refusal> {
        if self.heard(worker) {
            Ok(())
        } else {
            Err(Refusal::UnknownWorker { worker })
        }
    }

    pub(super) fn draining(&mut self, worker: WorkerId) -> Result<(), Refusal> {
        match self.state.workers.get_mut(&worker) {
            Some(known) => known.draining = true,
            None => return Err(Refusal::UnknownWorker { worker }),
        }
        self.heard(worker);
        self.state.refresh_worker(worker);
        Ok(())
    }

    /// Notes a sign of life; says whether the worker is known.
    pub(super) fn heard(&mut self, worker: WorkerId) -> bool {
        let Some(known) = self.state.workers.get_mut(&worker) else {
            return false;
        };
        let silent = !known.is_connected();
        known.heard(self.now);
        if silent {
            self.state.refresh_worker(worker);
        }
        true
    }

    /// Lets time have its effects: silence, loss, limits, and the end of waits.
    pub(super) fn tick(&mut self) {
        let settings = *self.settings;
        let due: Vec<_> = self
            .state
            .workers
            .iter()
            .filter(|(_, worker)| {
                deadline(worker, settings.heartbeat_timeout, settings.reconnect_grace) <= self.now
            })
            .map(|(id, worker)| (*id, worker.is_connected()))
            .collect();
        for (worker, connected) in due {
            if connected {
                self.state
                    .set_link(worker, Link::Silent { since: self.now });
            } else {
                self.lose(worker, true, |_| true);
                self.emit(Event::WorkerLeft { worker });
            }
        }
        self.end_overruns();
        let woken = self
            .state
            .backoffs
            .iter()
            .take_while(|(until, _)| *until <= self.now);
        let tasks: Vec<_> = woken.map(|&(_, ix)| self.state.task(ix).key).collect();
        if !tasks.is_empty() {
            self.emit(Event::Woken { tasks });
        }
    }

    /// Takes those attempts of a worker back that are `gone`; whether that
    /// `counts` against their tasks.
    ///
    /// A worker runs what it holds in lease order, so the first ones, as many as
    /// it has slots, were probably running: only against these a loss counts.
    /// Else a deep queue of harmless tasks would share the blame of a poisonous
    /// one. Where the worker said of some that they have begun, one of which it did
    /// not for longer than it may be silent has not.
    fn lose(&mut self, worker: WorkerId, counts: bool, gone: impl Fn(AttemptId) -> bool) {
        let Some(known) = self.state.workers.get(&worker) else {
            return;
        };
        let (mut counted, mut unbegun, mut quarantined) = (Vec::new(), Vec::new(), Vec::new());
        let mut ran = Vec::new();
        let mut given_up: Vec<TaskIx> = Vec::new();
        let slots = known.capability.slots as usize;
        let watch = &self.state.watch;
        let has_begun = |ix, lease: &Lease| watch.has_begun(ix, lease.number);
        let all_held = known.held.values();
        let speaks = all_held
            .flat_map(|&ix| self.state.task(ix).leases().map(move |lease| (ix, lease)))
            .any(|(ix, lease)| lease.worker == worker && has_begun(ix, lease));
        let may_run = |ix, lease: &Lease| {
            let is_new = self.now.since(lease.since) < self.settings.heartbeat_timeout;
            !speaks || is_new || has_begun(ix, lease)
        };
        for (place, (&sequence, &ix)) in known.held.iter().enumerate() {
            let task = self.state.task(ix);
            let Some(lease) = task.leases().find(|lease| lease.sequence == sequence) else {
                continue;
            };
            let attempt = task.attempt(lease);
            if !gone(attempt) {
                continue;
            }
            if place >= slots || !counts || !may_run(ix, lease) {
                unbegun.push(attempt);
            } else {
                ran.push((ix, attempt));
            }
        }
        // What takes workers down was there each time: those that were there less often
        // are not blamed, and nobody is given up while another is blamed as much.
        let lost = |ix| self.state.task(ix).extra().lost;
        let most = ran.iter().map(|(ix, _)| lost(*ix)).max();
        let blamed = ran.iter().filter(|(ix, _)| Some(lost(*ix)) == most).count();
        for (ix, attempt) in ran {
            let policy = self.state.retry_policy(ix);
            if Some(lost(ix)) != most {
                unbegun.push(attempt);
            } else if blamed == 1 && self.state.is_poisonous(ix, policy) {
                quarantined.push(attempt);
                given_up.push(ix);
            } else {
                counted.push(attempt);
            }
        }
        if !(counted.is_empty() && unbegun.is_empty() && quarantined.is_empty()) {
            self.emit(Event::Lost {
                worker,
                counted,
                unbegun,
                quarantined,
            });
            self.stop_failed_studies(&given_up);
        }
    }
}

/// When something happens to a worker that is not heard of until then.
pub(super) fn deadline(worker: &Worker, silence: Duration, grace: Duration) -> Timestamp {
    match worker.link {
        Link::Connected { seen } => seen.after(silence),
        Link::Silent { since } | Link::Gone { since } => since.after(grace),
    }
}
