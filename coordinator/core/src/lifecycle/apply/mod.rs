//! Applies events. A live step and a replay run the same code (INV-5); it never
//! consults a policy and never looks at who is connected.
//!
//! Here: which change an event is. What happens to studies is in `study`, to tasks
//! and their attempts in `task`.

mod study;
mod task;

use self::task::By;
use super::event::Event;
use super::state::{Effects, State};
use super::study::Control;
use super::task::{Phase, TaskIx};
use super::worker::Worker;
use crate::Timestamp;

/// Workers that left while they were drained and are remembered: more machines than
/// somebody takes out of a fleet by hand.
const MOST_DRAINED: usize = 1024;

impl State {
    /// Applies an event that happened `at`. `None` if the event does not fit the
    /// state, which only a journal of something else can bring about.
    pub(crate) fn apply(
        &mut self,
        event: &Event,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Option<()> {
        match event {
            Event::StudySubmitted {
                spec,
                digest,
                plan,
                owner,
            } => self.take_study(spec, *digest, owner.as_ref(), plan, at, effects),
            Event::StudyReopened { study } => {
                let study = self.find_study(study)?;
                self.take_up(study, &[Phase::GivenUp, Phase::Cancelled], at, effects);
                Some(())
            }
            Event::StudyContinued { study } => {
                let study = self.find_study(study)?;
                self.take_up(study, &[Phase::Cancelled], at, effects);
                Some(())
            }
            Event::StudyPaused { study } => self.control(study, Control::Paused, at),
            Event::StudyResumed { study } => self.control(study, Control::Running, at),
            Event::StudyStopped { study } => {
                self.end_study(study, Control::Stopped, Phase::Leased, at, effects)
            }
            Event::StudyCancelled { study } => {
                self.end_study(study, Control::Cancelled, Phase::Finished, at, effects)
            }
            Event::StudyDeleted { study } => self.delete_study(study, at, effects),
            Event::WorkerJoined { worker, capability } => {
                let credit = self.credit.of(capability.slots);
                let known = self
                    .workers
                    .entry(*worker)
                    .or_insert_with(|| Worker::new(capability.clone(), credit, at));
                known.capability = capability.clone();
                if self.drained.contains(worker) {
                    known.drained = true;
                    self.drained.retain(|away| away != worker);
                }
                self.refresh_worker(*worker);
                Some(())
            }
            Event::WorkerDrained { worker, drained } => {
                if let Some(known) = self.workers.get_mut(worker) {
                    known.drained = *drained;
                    self.refresh_worker(*worker);
                    return Some(());
                }
                // One that is away can only be taken back.
                let is_away = self.drained.contains(worker);
                self.drained.retain(|away| away != worker);
                (is_away && !drained).then_some(())
            }
            Event::WorkerLeft { worker } => {
                let left = self
                    .workers
                    .get(worker)
                    .filter(|worker| worker.held.is_empty())?;
                if let Some(load) = left.load {
                    self.loads.remove(load);
                }
                if left.drained {
                    self.drained.push_back(*worker);
                    if self.drained.len() > MOST_DRAINED {
                        self.drained.pop_front();
                    }
                }
                self.workers.remove(worker);
                self.unknown.remove(worker);
                Some(())
            }
            Event::Leased { worker, attempts } => attempts.iter().try_for_each(|attempt| {
                let ix = self.find(attempt.task)?;
                self.require(ix, Phase::Ready)?;
                let leased = self.lease(*worker, ix, at)?;
                (leased == *attempt).then_some(())
            }),
            Event::Doubled { worker, attempt } => {
                let ix = self.find(attempt.task)?;
                (self.double(*worker, ix, at)? == *attempt).then_some(())
            }
            Event::Adopted { worker, attempts } => attempts
                .iter()
                .try_for_each(|attempt| self.adopt(*worker, *attempt, at)),
            Event::Finished {
                attempt,
                result,
                seconds,
            } => self.finish_task(*attempt, By::Worker, *result, *seconds, at, effects),
            Event::Unarchived {
                attempt,
                result,
                seconds,
                ..
            } => self.finish_task(*attempt, By::Archive, *result, *seconds, at, effects),
            Event::Failed {
                attempt,
                failure,
                verdict,
            } => self.fail_attempt(*attempt, failure, *verdict, at, effects),
            Event::Returned { attempt } => self.return_attempt(*attempt, at),
            Event::Checkpointed {
                attempt,
                checkpoint,
                done,
            } => self.save_attempt(*attempt, *checkpoint, *done, effects),
            Event::CheckpointLost { attempt } => self.lose_checkpoint(*attempt, effects),
            Event::Lost {
                worker,
                counted,
                unbegun,
                quarantined,
            } => {
                for (attempts, counts, gives_up) in [
                    (counted, true, false),
                    (unbegun, false, false),
                    (quarantined, true, true),
                ] {
                    for attempt in attempts {
                        self.lose(*worker, *attempt, counts, gives_up, at, effects)?;
                    }
                }
                Some(())
            }
            Event::Reopened { tasks, .. } => tasks.iter().try_for_each(|&key| {
                let ix = self.find(key)?;
                self.require(ix, Phase::Finished)?;
                self.reopen(ix, at, effects);
                Some(())
            }),
            Event::Retried { tasks } => tasks.iter().try_for_each(|&key| {
                let ix = self.find(key)?;
                self.require(ix, Phase::GivenUp)?;
                self.revive(ix, at, effects);
                Some(())
            }),
            Event::Restored { floor } => {
                self.restores.note(*floor, at);
                Some(())
            }
            Event::Woken { tasks } => tasks.iter().try_for_each(|&key| {
                let ix = self.find(key)?;
                self.require(ix, Phase::BackingOff)?;
                let entry = self.entry_state(self.task(ix).input());
                self.set(ix, entry, at);
                Some(())
            }),
            Event::AuditBegun { worker, attempt } => {
                let ix = self.find(attempt.task)?;
                (self.begin_audit(*worker, ix, at)? == *attempt).then_some(())
            }
            Event::Audited { attempt, agrees } => self.end_audit(*attempt, *agrees, at),
            Event::AuditsGivenUp { tasks } => self.give_audits_up(tasks, at),
            Event::Superseded { .. } => Some(()),
            Event::Disputed { attempt, .. } => {
                let ix = self.find(attempt.task)?;
                self.tasks[ix].change(|extra| extra.disputed = true);
                Some(())
            }
        }
    }

    fn require(&self, ix: TaskIx, phase: Phase) -> Option<()> {
        (self.task(ix).state.phase() == phase).then_some(())
    }
}
