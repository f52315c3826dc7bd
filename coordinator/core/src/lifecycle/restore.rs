//! After a backup of the journal was put back: what its lost part began may still
//! run, and nobody here knows of it.
//!
//! Attempts are numbered above all that the lost part can have made. Work at tasks
//! that the journal does not know is neither stopped nor acknowledged for a while, so
//! that workers keep it until its study is submitted again.

use std::time::Duration;

use reprise_domain::{AttemptId, WorkerId};

use super::action::Action;
use super::event::Event;
use super::state::State;
use super::turn::Turn;
use crate::Timestamp;

/// How long work at unknown tasks is kept after a restore: a week is enough for
/// somebody to submit the lost studies again, and work that nobody asks for until
/// then takes slots and disks for no longer.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// Attempts of one task that the lost part of a journal may have made, where the
/// restore says nothing of time.
const NUMBERS_PER_RESTORE: u32 = 1 << 20;

/// The least distance between the floors of two restores of one journal.
const LEAST_STEP: u32 = 1 << 10;

/// The highest floor. Numbers up to 2^30 are believed, see [`super::lease`].
const HIGHEST_FLOOR: u32 = (1 << 30) - (1 << 20);

/// Start of 2025, in seconds since 1970: floors count from there.
const FLOORS_BEGIN: u64 = 1_735_689_600;

/// What restores mean for the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Restores {
    /// How often the journal was restored.
    pub(crate) count: u32,
    /// Attempts have higher numbers.
    pub(crate) floor: u32,
    /// When it was restored last, where that is known.
    pub(crate) at: Option<Timestamp>,
}

impl Event {
    /// The note that a backup was put back `at`. Its floor is a number that grows by
    /// one each second, faster than attempts of one task are made: two restores of one
    /// backup have different ones.
    pub fn restored(at: Timestamp) -> Self {
        let seconds = (at.0 / 1000).saturating_sub(FLOORS_BEGIN);
        let floor = u32::try_from(seconds).unwrap_or(u32::MAX);
        Self::Restored {
            floor: floor.max(1),
        }
    }
}

impl Restores {
    /// What older snapshots know of restores.
    pub(crate) fn of_count(count: u32) -> Self {
        Self {
            count,
            floor: (count % 1024) * NUMBERS_PER_RESTORE,
            at: None,
        }
    }

    /// Notes a restore; `floor` is 0 where an older version noted it.
    pub(crate) fn note(&mut self, floor: u32, at: Timestamp) {
        let count = self.count + 1;
        *self = if floor == 0 {
            Self {
                floor: self.floor.max(Self::of_count(count).floor),
                ..Self::of_count(count)
            }
        } else {
            Self {
                count,
                floor: floor.max(self.floor + LEAST_STEP),
                at: None,
            }
        };
        self.floor = self.floor.min(HIGHEST_FLOOR);
        self.at = Some(at);
    }

    /// Whether work at unknown tasks is kept.
    fn keeps_unknown(&self, now: Timestamp) -> bool {
        self.at.is_some_and(|at| now.since(at) < KEPT)
    }
}

impl State {
    /// Whether an attempt is to be kept although its task is not known.
    pub(crate) fn keeps_unknown(&self, attempt: AttemptId, now: Timestamp) -> bool {
        self.find(attempt.task).is_none() && self.restores.keeps_unknown(now)
    }

    /// Notes that a worker has work at a task that is not known.
    pub(crate) fn note_unknown(&mut self, worker: WorkerId, attempt: AttemptId) {
        if self.workers.contains_key(&worker) {
            let unknown = self.unknown.entry(worker).or_default();
            unknown.insert(attempt.task);
        }
    }
}

impl Turn<'_> {
    /// Notes that the journal is a backup that was put back.
    pub(super) fn restored(&mut self) {
        self.emit(Event::restored(self.now));
    }

    /// Has those workers say hello again that have work at tasks which are known now.
    pub(super) fn reconnect_holders(&mut self) {
        let state = &*self.state;
        let holders = state.unknown.iter();
        let holders =
            holders.filter(|(_, tasks)| tasks.iter().any(|&key| state.find(key).is_some()));
        let holders: Vec<WorkerId> = holders.map(|(worker, _)| *worker).collect();
        for worker in holders {
            self.state.unknown.remove(&worker);
            self.act(Action::Reconnect { worker });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(at_s: u64) -> u32 {
        match Event::restored(Timestamp(at_s * 1000)) {
            Event::Restored { floor } => floor,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn floors_grow_with_time_and_with_every_restore() {
        let mut restores = Restores::default();
        restores.note(0, Timestamp(1));
        restores.note(0, Timestamp(2));
        assert_eq!(restores.floor, 2 << 20);
        let mut before = restores.floor;
        for at_s in [
            1_800_000_000,
            1_800_000_001,
            5,
            1_900_000_000,
            u64::MAX / 1000,
        ] {
            restores.note(floor(at_s), Timestamp(3));
            assert!(restores.floor > before, "{at_s}: {}", restores.floor);
            before = restores.floor;
        }
        restores.note(floor(u64::MAX / 1000), Timestamp(4));
        assert_eq!(restores.floor, HIGHEST_FLOOR);
        assert_eq!(restores.count, 8);
    }
}
