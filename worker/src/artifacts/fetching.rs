//! One download of an artifact at a time, however many slots want it.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use reprise_domain::Digest;

/// The artifacts that are being fetched.
#[derive(Debug, Default)]
pub(super) struct Fetching {
    digests: Mutex<HashSet<Digest>>,
    ended: Condvar,
}

/// The right to fetch one artifact, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    all: &'a Fetching,
    digest: Digest,
}

impl Fetching {
    /// Waits until nobody else fetches the artifact, for about as long as
    /// `patience`; `None` if somebody still does.
    pub(super) fn turn(&self, digest: Digest, patience: Duration) -> Option<Turn<'_>> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .ended
            .wait_timeout_while(digests, patience, |digests| digests.contains(&digest));
        let (mut digests, _) = waited.unwrap_or_else(PoisonError::into_inner);
        digests.insert(digest).then(|| Turn { all: self, digest })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut digests = self
            .all
            .digests
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        digests.remove(&self.digest);
        self.all.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_has_one_turn_at_a_time() {
        let fetching = Fetching::default();
        let digest = Digest::from_bytes([1; 32]);
        let first = fetching.turn(digest, Duration::ZERO);
        assert!(first.is_some());
        assert!(fetching.turn(digest, Duration::ZERO).is_none());
        let other = Digest::from_bytes([2; 32]);
        assert!(fetching.turn(other, Duration::ZERO).is_some());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| fetching.turn(digest, Duration::from_mins(1)).is_some());
            drop(first);
            assert!(waiting.join().unwrap());
        });
    }
}
