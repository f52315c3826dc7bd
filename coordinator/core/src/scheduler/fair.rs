//! Fair shares between studies: start-time fair queueing (Goyal et al., 1996)
//! with equal weights.
//!
//! Each study has a virtual time, the work that was leased for it; the one that
//! is furthest behind is served next. A study that comes to the queue starts at
//! the clock: having wanted nothing before earns nothing now.

use std::collections::BTreeSet;

use crate::lifecycle::StudyIx;

/// The studies that have something to lease.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct FairShare {
    waiting: BTreeSet<(u64, StudyIx)>,
    /// Virtual time of the study that was served last.
    clock: u64,
}

impl FairShare {
    /// Takes a study in; returns the virtual time that it starts at.
    pub(crate) fn enter(&mut self, study: StudyIx, virtual_time: u64) -> u64 {
        let start = virtual_time.max(self.clock);
        self.waiting.insert((start, study));
        start
    }

    /// Takes a study back in where it was.
    pub(crate) fn restore(&mut self, study: StudyIx, virtual_time: u64) {
        self.waiting.insert((virtual_time, study));
    }

    pub(crate) const fn clock(&self) -> u64 {
        self.clock
    }

    pub(crate) fn set_clock(&mut self, clock: u64) {
        self.clock = clock;
    }

    pub(crate) fn leave(&mut self, study: StudyIx, virtual_time: u64) {
        self.waiting.remove(&(virtual_time, study));
    }

    /// The studies in the order in which they are to be served.
    pub(crate) fn order(&self) -> impl Iterator<Item = StudyIx> {
        self.waiting.iter().map(|&(_, study)| study)
    }

    /// Charges a waiting study for `work`; returns its new virtual time.
    pub(crate) fn charge(&mut self, study: StudyIx, virtual_time: u64, work: u64) -> u64 {
        self.leave(study, virtual_time);
        let next = virtual_time.saturating_add(work);
        self.waiting.insert((next, study));
        next
    }

    /// Moves the clock to the virtual time of a study that is served.
    pub(crate) fn serve(&mut self, virtual_time: u64) {
        self.clock = self.clock.max(virtual_time);
    }

    pub(crate) fn contains(&self, study: StudyIx, virtual_time: u64) -> bool {
        self.waiting.contains(&(virtual_time, study))
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_shared_equally_however_long_the_tasks_are() {
        let mut fair = FairShare::default();
        let costs = [10, 1000];
        let mut times = [0, 0];
        let mut served = [0, 0];
        for study in [0, 1] {
            fair.enter(StudyIx(study), 0);
        }
        for _ in 0..10_000 {
            let study = fair.order().next().unwrap();
            let row = study.row();
            fair.serve(times[row]);
            times[row] = fair.charge(study, times[row], costs[row]);
            served[row] += costs[row];
        }
        assert!(u64::abs_diff(served[0], served[1]) <= 1000, "{served:?}");
    }

    #[test]
    fn a_newcomer_does_not_catch_up_on_the_past() {
        let mut fair = FairShare::default();
        fair.enter(StudyIx(0), 0);
        fair.serve(5000);
        fair.charge(StudyIx(0), 0, 5010);
        assert_eq!(fair.enter(StudyIx(1), 0), 5000);
    }
}
