//! When time has to have its effects.
//!
//! The core's next deadline is looked up a few times a second and not in every turn,
//! since the look-up reads all workers.

use std::time::Duration;

use reprise_core::Timestamp;
use reprise_core::lifecycle::Core;

/// Time between two look-ups: how much later than it is due an effect may come.
const INTERVAL: Duration = Duration::from_millis(50);

/// Longest wait where there is no deadline.
const IDLE: Duration = Duration::from_hours(1);

/// The deadline that was looked up last.
#[derive(Debug, Default)]
pub(super) struct Wakeup {
    /// When it was looked up.
    at: Option<Timestamp>,
    deadline: Option<Timestamp>,
    /// Whether there was a turn since.
    is_stale: bool,
}

impl Wakeup {
    /// How long the engine may wait for requests.
    pub(super) fn wait(&mut self, core: &Core, now: Timestamp) -> Duration {
        self.look_up(core, now);
        if self.is_stale {
            return INTERVAL;
        }
        // A deadline that has passed without effect must not turn into a spin.
        self.deadline
            .map_or(IDLE, |deadline| deadline.since(now).clamp(INTERVAL, IDLE))
    }

    /// Whether the deadline has come. It is asked for once a turn.
    pub(super) fn is_due(&mut self, core: &Core, now: Timestamp) -> bool {
        self.look_up(core, now);
        self.is_stale = true;
        let is_due = self.deadline.is_some_and(|deadline| deadline <= now);
        if is_due {
            // One tick a look-up.
            self.deadline = None;
        }
        is_due
    }

    fn look_up(&mut self, core: &Core, now: Timestamp) {
        let is_due = self.at.is_none_or(|at| now.since(at) >= INTERVAL);
        if is_due {
            *self = Self {
                at: Some(now),
                deadline: core.next_wakeup(),
                is_stale: false,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use reprise_core::lifecycle::{Input, Settings};
    use reprise_domain::{Capability, Uuid, WorkerId};

    use super::*;

    #[test]
    fn a_deadline_is_seen_by_an_engine_that_never_rests() {
        let mut core = Core::new(Settings::default());
        let mut now = Timestamp(1_000_000);
        let hello = Input::Hello {
            worker: WorkerId(Uuid::from_u128(1)),
            capability: Capability {
                slots: 1,
                ..Capability::default()
            },
            holding: Vec::new(),
            again: false,
        };
        core.handle(hello, now).unwrap();
        let mut wakeup = Wakeup::default();
        let (begun, mut ticks) = (now, 0);
        // A turn a millisecond; the worker is silent.
        while core.workers()[0].connected {
            assert!(
                now.since(begun) < Duration::from_mins(1),
                "it is never lost"
            );
            wakeup.wait(&core, now);
            if wakeup.is_due(&core, now) {
                core.handle(Input::Tick, now).unwrap();
                ticks += 1;
            }
            now = now.after(Duration::from_millis(1));
        }
        assert_eq!(ticks, 1);
        let most = Settings::default().heartbeat_timeout + INTERVAL + Duration::from_millis(1);
        assert!(now.since(begun) <= most, "{:?}", now.since(begun));
    }

    #[test]
    fn an_engine_at_rest_waits_for_the_deadline() {
        let core = Core::new(Settings::default());
        let mut wakeup = Wakeup::default();
        assert_eq!(wakeup.wait(&core, Timestamp(5)), IDLE);
        assert!(!wakeup.is_due(&core, Timestamp(5)));
        // A turn may have brought a deadline, which is looked up soon.
        assert_eq!(wakeup.wait(&core, Timestamp(6)), INTERVAL);
        assert_eq!(wakeup.wait(&core, Timestamp(56)), IDLE);
    }
}
