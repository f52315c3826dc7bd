//! How far running attempts are: counted by the threads that run them, read by the
//! session. Counting is an atomic store, so that it can be done at every step.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Characters of a note that are sent.
const LONGEST_NOTE: usize = 200;

/// How far one attempt is.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: OnceLock<Instant>,
    done: AtomicU64,
    total: AtomicU64,
    note: Mutex<String>,
}

/// How far an attempt was at some moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reached {
    /// Units of work that are done.
    pub done: u64,
    /// Units of the whole task; 0 when it is not known.
    pub total: u64,
    /// What it is doing, for people.
    pub note: String,
    /// For how long it had run.
    pub running: Duration,
}

impl Progress {
    /// The attempt has begun: it does not wait for a slot any more.
    pub fn begin(&self) {
        self.0.begun.get_or_init(Instant::now);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.0.begun.get().is_some()
    }

    /// So many units of `total` are done; 0 for a total that is not known.
    pub fn set(&self, done: u64, total: u64) {
        self.0.total.store(total, Ordering::Relaxed);
        // Within an attempt it never goes backwards.
        self.0.done.fetch_max(done, Ordering::Relaxed);
    }

    /// Says what the attempt is doing. Not for every step: it allocates.
    pub fn note(&self, note: &str) {
        let note = reprise_domain::text::printable(note, LONGEST_NOTE);
        *self.0.note.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }

    /// Units of work that are done.
    pub fn done(&self) -> u64 {
        self.0.done.load(Ordering::Relaxed)
    }

    /// How far it is now.
    pub fn reached(&self) -> Reached {
        let note = self.0.note.lock().unwrap_or_else(PoisonError::into_inner);
        Reached {
            done: self.done(),
            total: self.0.total.load(Ordering::Relaxed),
            note: note.clone(),
            running: self.0.begun.get().map_or(Duration::ZERO, Instant::elapsed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_shared_and_never_goes_backwards() {
        let progress = Progress::default();
        let counted = progress.clone();
        counted.set(7, 10);
        counted.set(3, 10);
        counted.note("epoch 2\nof 3");
        let expected = Reached {
            done: 7,
            total: 10,
            note: "epoch 2 of 3".to_owned(),
            running: Duration::ZERO,
        };
        assert_eq!(progress.reached(), expected);
    }

    #[test]
    fn time_counts_from_the_first_beginning() {
        let progress = Progress::default();
        assert!(!progress.has_begun());
        progress.begin();
        let begun = Instant::now();
        while progress.reached().running < Duration::from_millis(2) {
            assert!(
                begun.elapsed() < Duration::from_secs(9),
                "time stands still"
            );
        }
        progress.begin();
        assert!(progress.reached().running >= Duration::from_millis(2));
    }
}
