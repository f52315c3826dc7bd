//! Delays new workers when workers end as soon as they start, so that a wrong program
//! or a bad node does not make the fleet submit again every few seconds.

use std::time::Duration;

/// A worker that ends by itself before this time counts as an early death.
pub const USEFUL: Duration = Duration::from_secs(30);

/// The first wait.
const FIRST: Duration = Duration::from_secs(5);

/// The longest wait; a bad node is often repaired within minutes.
const LONGEST: Duration = Duration::from_mins(5);

/// Counts early deaths and says until when nothing new is started.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    deaths: u32,
    /// When the last early death was noticed.
    last: Duration,
    until: Duration,
}

impl Backoff {
    /// Notes at `now` the running times of the workers that ended unasked, and the
    /// running time of the youngest worker that has run for at least [`USEFUL`].
    /// Tells whether there was an early death.
    ///
    /// Only a worker that was started after the last early death shows that workers
    /// can start again. Older ones say nothing about a node that has gone bad.
    pub fn observe(
        &mut self,
        now: Duration,
        ended: &[Duration],
        youngest: Option<Duration>,
    ) -> bool {
        let early = ended.iter().any(|ran| *ran < USEFUL);
        if early {
            // The first one may be bad luck and is replaced at once.
            let wait = match self.deaths {
                0 => Duration::ZERO,
                again => FIRST.saturating_mul(1 << again.min(10)).min(LONGEST),
            };
            self.deaths += 1;
            self.last = now;
            self.until = now + wait;
        } else if youngest.is_some_and(|ran| ran + self.last < now) {
            self.deaths = 0;
            self.until = Duration::ZERO;
        }
        early
    }

    /// How long to wait at `now` before something new is started.
    pub fn wait(&self, now: Duration) -> Duration {
        self.until.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_until_a_worker_is_of_use() {
        let mut backoff = Backoff::default();
        let early = [Duration::from_secs(1)];
        let mut waits = Vec::new();
        let mut now = Duration::ZERO;
        for _ in 0..9 {
            assert!(backoff.observe(now, &early, None));
            waits.push(backoff.wait(now).as_secs());
            now += backoff.wait(now);
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert!(!backoff.observe(now, &[], None));
        assert_eq!(backoff.wait(Duration::ZERO), now);
        now += Duration::from_secs(31);
        assert!(!backoff.observe(now, &[], Some(USEFUL)));
        assert_eq!(backoff.wait(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn an_old_worker_is_no_excuse_for_new_ones_that_die() {
        let mut backoff = Backoff::default();
        let early = [Duration::from_secs(1)];
        let start = Duration::from_hours(1);
        let mut now = start;
        let mut started = 0;
        // One worker has run from the beginning; what is started beside it dies
        // within 5 s.
        while now < start + Duration::from_mins(10) {
            let died = backoff.wait(now).is_zero();
            started += u32::from(died);
            let ended: &[_] = if died { &early } else { &[] };
            backoff.observe(now, ended, Some(now));
            now += Duration::from_secs(5);
        }
        assert_eq!(started, 7, "0, 5, 15, 35, 75, 155 and 315 s");
    }
}
