//! The cores that programs take: one that needs several waits until they are free.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::slots::Cancel;

/// Time between two looks at whether a task that waits is still wanted.
const GLANCE: Duration = Duration::from_millis(200);

/// The cores of a worker.
#[derive(Debug)]
pub(super) struct Cores {
    total: u32,
    used: Mutex<u32>,
    changed: Condvar,
}

/// Cores that are taken, until it is dropped.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    cores: &'a Cores,
    count: u32,
}

impl Cores {
    pub(super) fn new(total: u32) -> Self {
        Self {
            total: total.max(1),
            used: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// How many are taken.
    pub(super) fn in_use(&self) -> usize {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) as usize
    }

    /// Takes so many cores, all of them where there are fewer; nothing where the task
    /// was cancelled meanwhile.
    pub(super) fn take(&self, count: u32, cancel: &Cancel) -> Option<Taken<'_>> {
        let count = count.min(self.total);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used + count > self.total {
            if cancel.is_cancelled() {
                return None;
            }
            let waited = self.changed.wait_timeout(used, GLANCE);
            used = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *used += count;
        Some(Taken { cores: self, count })
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let used = self.cores.used.lock();
        *used.unwrap_or_else(PoisonError::into_inner) -= self.count;
        self.cores.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_taken_up_to_their_number() {
        let cores = Cores::new(4);
        let cancel = Cancel::default();
        let first = cores.take(3, &cancel).unwrap();
        let second = cores.take(1, &cancel).unwrap();
        let cancelled = Cancel::default();
        cancelled.leave();
        assert!(cores.take(1, &cancelled).is_none());
        drop(second);
        assert!(cores.take(2, &cancelled).is_none());
        drop(first);
        assert!(cores.take(99, &cancelled).is_some());
    }
}
