//! Cores of slots that have nothing to run: a task that computes for some seconds may use
//! them meanwhile.

use std::sync::atomic::{AtomicIsize, Ordering};

/// Counts them. Negative while a slot has found something to run whose core a task still
/// uses, which it does for a few seconds.
#[derive(Debug, Default)]
pub(crate) struct Spare(AtomicIsize);

/// Cores that a task uses beside its own, until it is dropped.
#[derive(Debug)]
pub(super) struct Borrowed<'a> {
    spare: &'a Spare,
    /// How many.
    pub(super) cores: usize,
}

impl Spare {
    /// Waits for something to run: until then the core of this slot is free for others.
    pub(crate) fn during<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.0.fetch_add(1, Ordering::Relaxed);
        let waited = wait();
        self.0.fetch_sub(1, Ordering::Relaxed);
        waited
    }

    /// Takes all that are free, at most so many.
    pub(super) fn borrow(&self, most: usize) -> Borrowed<'_> {
        let most = isize::try_from(most).unwrap_or(isize::MAX);
        let take = |free: isize| free.clamp(0, most);
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
                Some(free - take(free))
            });
        // The update always succeeds.
        let free = before.unwrap_or_default();
        Borrowed {
            spare: self,
            cores: take(free).unsigned_abs(),
        }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.spare
            .0
            .fetch_add(self.cores.cast_signed(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_core_is_lent_twice() {
        let spare = Spare::default();
        assert_eq!(spare.borrow(9).cores, 0);
        spare.during(|| {
            spare.during(|| {
                let first = spare.borrow(1);
                let second = spare.borrow(9);
                assert_eq!((first.cores, second.cores), (1, 1));
                assert_eq!(spare.borrow(9).cores, 0);
                drop(first);
                assert_eq!(spare.borrow(9).cores, 1);
            });
        });
        // Both slots run something again.
        assert_eq!(spare.borrow(9).cores, 0);
    }
}
