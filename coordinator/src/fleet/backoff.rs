//! Patience with workers that end as soon as they start: a wrong program or a bad
//! node must not make the fleet submit again every few seconds.

use std::time::Duration;

/// A worker that ends on its own before this had no use.
pub const USEFUL: Duration = Duration::from_secs(30);

/// The first wait.
const FIRST: Duration = Duration::from_secs(5);

/// The longest wait; a bad node is often repaired within minutes.
const LONGEST: Duration = Duration::from_mins(5);

/// Counts early deaths and says until when nothing new is started.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    deaths: u32,
    until: Duration,
}

impl Backoff {
    /// Takes in at `now` how long the workers ran that ended unasked, if any, and
    /// whether some worker is of use. Tells whether there was an early death.
    pub fn observe(&mut self, now: Duration, ended: &[Duration], useful: bool) -> bool {
        let early = ended.iter().any(|ran| *ran < USEFUL);
        if useful || (!early && !ended.is_empty()) {
            self.deaths = 0;
            self.until = Duration::ZERO;
        } else if early {
            // The first one may be bad luck and is replaced at once.
            let wait = match self.deaths {
                0 => Duration::ZERO,
                again => FIRST.saturating_mul(1 << again.min(10)).min(LONGEST),
            };
            self.deaths += 1;
            self.until = now + wait;
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
            assert!(backoff.observe(now, &early, false));
            waits.push(backoff.wait(now).as_secs());
            now += backoff.wait(now);
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert!(!backoff.observe(now, &[], false));
        assert_eq!(backoff.wait(Duration::ZERO), now);
        assert!(!backoff.observe(now, &[], true));
        assert_eq!(backoff.wait(Duration::ZERO), Duration::ZERO);
    }
}
