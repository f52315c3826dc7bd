//! Which attempts run, and since when: what is told of those that end without
//! finishing their task. The one that finishes it is told of with its result.

use std::collections::HashMap;
use std::sync::Arc;

use reprise_core::Timestamp;
use reprise_core::lifecycle::{Action, Core, Event};
use reprise_domain::record::{AttemptRecord, AttemptState};
use reprise_domain::{AttemptId, Capability, Failure, TaskKey, WorkerId};

/// The attempts that workers have.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    held: HashMap<AttemptId, Held>,
    places: HashMap<WorkerId, Arc<Place>>,
}

#[derive(Debug)]
struct Held {
    worker: WorkerId,
    since: Timestamp,
    place: Arc<Place>,
}

/// Where a worker computes.
#[derive(Debug, Default)]
struct Place {
    host: String,
    device: String,
    program: String,
}

impl Place {
    fn of(capability: &Capability) -> Arc<Self> {
        Arc::new(Self {
            host: capability.host.clone(),
            device: capability.device.to_string(),
            program: capability.program(),
        })
    }
}

impl Attempts {
    /// Those of a core that was made of a journal.
    pub(super) fn of(core: &Core) -> Self {
        let mut attempts = Self::default();
        for worker in core.workers() {
            attempts
                .places
                .insert(worker.id, Place::of(worker.capability));
        }
        for held in core.all_held() {
            attempts.begin(held.worker, held.attempt, held.since);
        }
        attempts
    }

    /// Follows a step's events and actions; returns the attempts that ended in vain.
    pub(super) fn follow(
        &mut self,
        events: &[Event],
        actions: &[Action],
        at: Timestamp,
    ) -> Vec<(TaskKey, AttemptRecord)> {
        let mut ended = Vec::new();
        for event in events {
            match event {
                Event::WorkerJoined { worker, capability } => {
                    self.places.insert(*worker, Place::of(capability));
                }
                Event::WorkerLeft { worker } => {
                    self.places.remove(worker);
                }
                Event::Leased { worker, attempts } | Event::Adopted { worker, attempts } => {
                    for attempt in attempts {
                        self.begin(*worker, *attempt, at);
                    }
                }
                Event::Doubled { worker, attempt } | Event::AuditBegun { worker, attempt } => {
                    self.begin(*worker, *attempt, at);
                }
                Event::Audited { attempt, agrees } => {
                    let state = if *agrees {
                        AttemptState::Agreed
                    } else {
                        AttemptState::Differed
                    };
                    ended.extend(self.end(*attempt, state, at));
                }
                Event::Finished { attempt, .. } => {
                    self.held.remove(attempt);
                }
                Event::Disputed {
                    attempt, worker, ..
                } => {
                    let is_it = |(task, known): &(TaskKey, AttemptRecord)| {
                        (*task, known.number) == (attempt.task, attempt.number)
                    };
                    // An audit is told of with its times.
                    if ended.iter().any(is_it) {
                        continue;
                    }
                    let known = self.end(*attempt, AttemptState::Differed, at);
                    ended.push(
                        known.unwrap_or_else(|| {
                            (attempt.task, self.differing(*attempt, *worker, at))
                        }),
                    );
                }
                Event::Failed {
                    attempt, failure, ..
                } => {
                    let failure = Failure {
                        log: Vec::new(),
                        ..failure.clone()
                    };
                    ended.extend(self.end(*attempt, AttemptState::Failed { failure }, at));
                }
                Event::Returned { attempt } => {
                    ended.extend(self.end(*attempt, AttemptState::Returned, at));
                }
                Event::Lost {
                    counted,
                    unbegun,
                    quarantined,
                    ..
                } => {
                    for attempt in counted.iter().chain(unbegun).chain(quarantined) {
                        ended.extend(self.end(*attempt, AttemptState::Lost, at));
                    }
                }
                _ => {}
            }
        }
        for action in actions {
            if let Action::Stop { attempts, .. } = action {
                for attempt in attempts {
                    ended.extend(self.end(*attempt, AttemptState::Stopped, at));
                }
            }
        }
        ended
    }

    fn begin(&mut self, worker: WorkerId, attempt: AttemptId, since: Timestamp) {
        let place = self.places.get(&worker).cloned().unwrap_or_default();
        let held = Held {
            worker,
            since,
            place,
        };
        self.held.insert(attempt, held);
    }

    /// An attempt that was not held any more when it gave another result.
    fn differing(&self, attempt: AttemptId, worker: WorkerId, at: Timestamp) -> AttemptRecord {
        let place = self.places.get(&worker).cloned().unwrap_or_default();
        AttemptRecord {
            number: attempt.number,
            worker,
            host: place.host.clone(),
            device: place.device.clone(),
            program: place.program.clone(),
            started_at_ms: None,
            ended_at_ms: Some(at.0),
            state: AttemptState::Differed,
        }
    }

    fn end(
        &mut self,
        attempt: AttemptId,
        state: AttemptState,
        at: Timestamp,
    ) -> Option<(TaskKey, AttemptRecord)> {
        let held = self.held.remove(&attempt)?;
        let record = AttemptRecord {
            number: attempt.number,
            worker: held.worker,
            host: held.place.host.clone(),
            device: held.place.device.clone(),
            program: held.place.program.clone(),
            started_at_ms: Some(held.since.0),
            ended_at_ms: Some(at.0),
            state,
        };
        Some((attempt.task, record))
    }
}

#[cfg(test)]
mod tests {
    use reprise_domain::{Device, Digest, FailureClass, Seconds, Uuid};

    use super::*;

    const WORKER: WorkerId = WorkerId(Uuid::from_u128(1));

    fn attempt(number: u32) -> AttemptId {
        AttemptId {
            task: TaskKey(Digest::from_bytes([7; 32])),
            number,
        }
    }

    fn joined() -> Event {
        Event::WorkerJoined {
            worker: WORKER,
            capability: Capability {
                slots: 1,
                host: "den".to_owned(),
                device: Device::Cpu {
                    model: "abacus".to_owned(),
                },
                version: "0".to_owned(),
                libtorch: "0".to_owned(),
                ..Capability::default()
            },
        }
    }

    fn leased(number: u32) -> Event {
        Event::Leased {
            worker: WORKER,
            attempts: vec![attempt(number)],
        }
    }

    fn finished(number: u32) -> Event {
        Event::Finished {
            attempt: attempt(number),
            result: Digest::from_bytes([0; 32]),
            seconds: Seconds::ZERO,
        }
    }

    #[test]
    fn an_attempt_that_ends_is_told_with_its_worker_and_times() {
        let mut attempts = Attempts::default();
        let begun = attempts.follow(&[joined(), leased(1)], &[], Timestamp(10));
        assert_eq!(begun, []);
        let failure = Failure {
            class: FailureClass::Task,
            message: "no luck".to_owned(),
            log: vec!["a long log".to_owned()],
        };
        let failed = Event::Failed {
            attempt: attempt(1),
            failure,
            verdict: reprise_core::lifecycle::Verdict::Retry,
        };
        let ended = attempts.follow(&[failed, leased(2)], &[], Timestamp(30));
        let [(task, record)] = ended.as_slice() else {
            panic!("{ended:?}");
        };
        assert_eq!(*task, attempt(1).task);
        assert_eq!((record.number, record.worker), (1, WORKER));
        assert_eq!((&*record.host, &*record.device), ("den", "abacus"));
        assert_eq!(
            (record.started_at_ms, record.ended_at_ms),
            (Some(10), Some(30))
        );
        assert!(
            matches!(&record.state, AttemptState::Failed { failure } if failure.log.is_empty())
        );
    }

    #[test]
    fn a_stopped_attempt_is_told_and_the_one_that_won_is_not() {
        let mut attempts = Attempts::default();
        attempts.follow(&[joined(), leased(1), leased(2)], &[], Timestamp(1));
        let stop = Action::Stop {
            worker: WORKER,
            attempts: vec![attempt(1), attempt(2)],
        };
        let ended = attempts.follow(&[finished(1)], &[stop], Timestamp(2));
        let told: Vec<_> = ended
            .iter()
            .map(|(_, record)| (record.number, record.state.as_str()))
            .collect();
        assert_eq!(told, [(2, "stopped")]);
        assert_eq!(attempts.held.len(), 0);
    }

    fn disputed(number: u32) -> Event {
        Event::Disputed {
            attempt: attempt(number),
            worker: WORKER,
            result: Digest::from_bytes([1; 32]),
        }
    }

    #[test]
    fn an_attempt_that_gave_another_result_is_told_once_with_its_place() {
        let mut attempts = Attempts::default();
        attempts.follow(&[joined(), leased(1), leased(2)], &[], Timestamp(1));
        attempts.follow(&[finished(2)], &[], Timestamp(2));
        let audited = Event::Audited {
            attempt: attempt(1),
            agrees: false,
        };
        let ended = attempts.follow(&[audited, disputed(1)], &[], Timestamp(3));
        let [(_, audit)] = ended.as_slice() else {
            panic!("{ended:?}");
        };
        assert_eq!((audit.started_at_ms, audit.ended_at_ms), (Some(1), Some(3)));

        // One that was lost, and comes late.
        let ended = attempts.follow(&[disputed(7)], &[], Timestamp(4));
        let [(_, late)] = ended.as_slice() else {
            panic!("{ended:?}");
        };
        assert_eq!((late.number, &late.state), (7, &AttemptState::Differed));
        assert_eq!((&*late.host, &*late.device), ("den", "abacus"));
        assert!(late.program.starts_with("reprise-worker 0,"), "{late:?}");
    }
}
