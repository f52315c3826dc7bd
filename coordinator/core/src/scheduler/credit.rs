//! How much work a worker may hold.
//!
//! Credit is counted in microseconds of one slot. A slot has a window of it; a
//! task takes its expected duration, at least a thousandth of the window and at
//! most all of it. So a worker holds at most `slots x depth` tasks with `depth`
//! from 1 to 1000 (INV-4), and a free slot always has the credit for one more.

use std::time::Duration;

use super::rate::Mean;

/// The most tasks that one slot holds.
pub(crate) const MAX_DEPTH: u32 = 1000;

/// The price list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credit {
    /// Credit of one slot.
    window: u32,
}

impl Credit {
    pub(crate) fn new(window: Duration) -> Self {
        let window = u32::try_from(window.as_micros()).unwrap_or(u32::MAX);
        Self {
            window: window.max(MAX_DEPTH),
        }
    }

    /// Credit of one slot.
    pub(crate) const fn window(self) -> u32 {
        self.window
    }

    /// Credit of a worker.
    pub(crate) fn of(self, slots: u32) -> u64 {
        u64::from(slots) * u64::from(self.window)
    }

    /// What a task takes whose class has that mean. A class that was never
    /// measured takes a whole slot: being careful costs a round trip, being
    /// careless piles hours of work onto one worker.
    pub(crate) fn cost(self, mean: Option<Mean>) -> u32 {
        let whole = f64::from(self.window);
        let least = whole / f64::from(MAX_DEPTH);
        mean.map_or(self.window, |mean| {
            (mean.seconds() * 1e6).clamp(least, whole).ceil() as u32
        })
    }

    /// The same without the upper bound: what fair sharing charges.
    pub(crate) fn charge(self, mean: Option<Mean>) -> u64 {
        let long = mean.map_or(0.0, |mean| mean.seconds() * 1e6) as u64;
        long.max(u64::from(self.cost(mean)))
    }
}

#[cfg(test)]
mod tests {
    use reprise_domain::Seconds;

    use super::*;

    /// The depth that a slot has for tasks of `seconds`.
    fn check(seconds: Option<f64>, depth: u64) {
        let credit = Credit::new(Duration::from_secs(2));
        let mut mean = None;
        if let Some(seconds) = seconds {
            Mean::observe(&mut mean, Seconds::new(seconds).unwrap());
        }
        assert_eq!(
            credit.of(1) / u64::from(credit.cost(mean)),
            depth,
            "{seconds:?}"
        );
    }

    #[test]
    fn a_slot_holds_a_window_of_work() {
        check(None, 1);
        check(Some(0.0), 1000);
        check(Some(0.001), 1000);
        check(Some(0.01), 200);
        check(Some(0.5), 4);
        check(Some(1.1), 1);
        check(Some(36_000.0), 1);
        check(Some(f64::MAX), 1);
    }

    #[test]
    fn a_long_task_is_charged_in_full() {
        let credit = Credit::new(Duration::from_secs(2));
        let mut mean = None;
        Mean::observe(&mut mean, Seconds::new(3600.0).unwrap());
        assert_eq!(credit.charge(mean), 3_600_000_000);
        assert_eq!(credit.charge(None), 2_000_000);
    }
}
