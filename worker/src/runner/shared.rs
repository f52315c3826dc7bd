//! What the slots of a process share in memory: benchmark tables, and embeddings with the
//! clusters of their rows. Each is read once however many slots want it.
//!
//! Not here: the files, which are `artifacts`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use reprise_domain::Digest;
use reprise_search::embedding::Embedding;

use super::RunError;
use crate::slots::Cancel;

/// Bytes of embeddings that are kept while nobody uses them.
const KEPT_BYTES: usize = 256 << 20;

/// Time between two looks at whether a task that waits is still wanted.
const PATIENCE: Duration = Duration::from_millis(500);

/// Values by the digest of what they were read from.
pub(super) struct Shared<T: ?Sized> {
    state: Mutex<State<T>>,
    changed: Condvar,
    limit: usize,
    bytes_of: fn(&T) -> usize,
}

struct State<T: ?Sized> {
    known: HashMap<Digest, Known<T>>,
    kept: Vec<(Digest, Arc<T>)>,
    /// Sizes of what is kept.
    bytes: usize,
    /// Picks what goes; see [`State::keep`].
    turn: usize,
}

enum Known<T: ?Sized> {
    /// A slot is reading it.
    BeingRead,
    /// Some slot may be using it, kept or not.
    Read(Weak<T>),
}

impl Shared<Embedding> {
    /// Embeddings, of which some are kept.
    pub(super) fn embeddings() -> Self {
        Self::within(KEPT_BYTES, with_clusters)
    }
}

/// Bytes of an embedding at most, clusters included: where all rows differ, each leads a
/// cluster of its own.
fn with_clusters(embedding: &Embedding) -> usize {
    2 * size_of_val(embedding.rows()) + 16 * embedding.len()
}

impl<T: ?Sized> Shared<T> {
    /// Values that are all kept.
    pub(super) fn all() -> Self {
        Self::within(usize::MAX, |_| 0)
    }

    fn within(limit: usize, bytes_of: fn(&T) -> usize) -> Self {
        Self {
            state: Mutex::new(State {
                known: HashMap::new(),
                kept: Vec::new(),
                bytes: 0,
                turn: 0,
            }),
            changed: Condvar::new(),
            limit,
            bytes_of,
        }
    }

    /// A value that is in memory, or what `read` makes of it. Slots that want the same one
    /// wait for the first of them; another takes over where it fails.
    pub(super) fn get(
        &self,
        digest: Digest,
        cancel: &Cancel,
        read: impl FnOnce() -> Result<Arc<T>, RunError>,
    ) -> Result<Arc<T>, RunError> {
        let mut state = self.state();
        loop {
            match state.known.get(&digest) {
                Some(Known::Read(value)) => {
                    if let Some(value) = value.upgrade() {
                        return Ok(value);
                    }
                    break;
                }
                Some(Known::BeingRead) if cancel.is_cancelled() => return Err(RunError::Stopped),
                Some(Known::BeingRead) => {
                    let waited = self.changed.wait_timeout(state, PATIENCE);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => break,
            }
        }
        state.known.insert(digest, Known::BeingRead);
        drop(state);
        let reading = Reading {
            shared: self,
            digest,
        };
        let value = read()?;
        let bytes = (self.bytes_of)(&value);
        let mut state = self.state();
        state.known.retain(|_, known| match known {
            Known::BeingRead => true,
            Known::Read(value) => value.strong_count() > 0,
        });
        let read = Known::Read(Arc::downgrade(&value));
        state.known.insert(digest, read);
        state.keep(digest, &value, bytes, self.limit, self.bytes_of);
        drop(state);
        drop(reading);
        Ok(value)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> State<T> {
    /// Keeps a value, and drops others until all fit.
    ///
    /// Which ones is as good as random: trials go through the embeddings of a study in
    /// turn, and would find none of them if the least recently used one went.
    fn keep(
        &mut self,
        digest: Digest,
        value: &Arc<T>,
        bytes: usize,
        limit: usize,
        bytes_of: fn(&T) -> usize,
    ) {
        while !self.kept.is_empty() && self.bytes + bytes > limit {
            // A step that shares no divisor with likely numbers of embeddings.
            self.turn = self.turn.wrapping_add(7919);
            let place = self.turn % self.kept.len();
            let (_, dropped) = self.kept.swap_remove(place);
            self.bytes -= bytes_of(&dropped);
        }
        self.bytes += bytes;
        self.kept.push((digest, Arc::clone(value)));
    }
}

impl<T: ?Sized> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> = self.state().known.keys().copied().collect();
        f.debug_tuple("Shared").field(&known).finish()
    }
}

/// Tells those that wait when a slot has read a value, or has failed to.
struct Reading<'a, T: ?Sized> {
    shared: &'a Shared<T>,
    digest: Digest,
}

impl<T: ?Sized> Drop for Reading<'_, T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if let Some(Known::BeingRead) = state.known.get(&self.digest) {
            state.known.remove(&self.digest);
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use reprise_data::digest as digest_of;

    use super::*;

    /// Four bytes a row.
    fn embedding(rows: usize) -> Arc<Embedding> {
        Arc::new(Embedding::new(vec![1.0; rows], 1).unwrap())
    }

    fn read(embeddings: &Shared<Embedding>, name: u8, reads: &AtomicUsize) -> Arc<Embedding> {
        let read = || {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok(embedding(100))
        };
        embeddings
            .get(digest_of(&[name]), &Cancel::default(), read)
            .unwrap()
    }

    #[test]
    fn slots_that_want_the_same_embedding_read_it_once() {
        let embeddings = Shared::embeddings();
        let (reads, together) = (AtomicUsize::new(0), Barrier::new(8));
        let found: Vec<_> = thread::scope(|scope| {
            let slots: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        together.wait();
                        read(&embeddings, 1, &reads)
                    })
                })
                .collect();
            slots.into_iter().map(|slot| slot.join().unwrap()).collect()
        });
        assert_eq!(reads.into_inner(), 1);
        assert!(found.iter().all(|one| Arc::ptr_eq(one, &found[0])));
    }

    #[test]
    fn another_slot_takes_over_from_one_that_fails() {
        let embeddings = Shared::embeddings();
        let digest = digest_of(b"1");
        let cancel = Cancel::default();
        let failed = embeddings.get(digest, &cancel, || Err(RunError::Stopped));
        assert!(failed.is_err());
        let found = embeddings.get(digest, &cancel, || Ok(embedding(3)));
        assert_eq!(found.unwrap().len(), 3);
    }

    #[test]
    fn a_slot_that_waits_sees_that_it_is_stopped() {
        let embeddings = Shared::embeddings();
        let digest = digest_of(b"1");
        let stopped = Cancel::default();
        stopped.leave();
        let found = embeddings.get(digest, &Cancel::default(), || {
            // While this one is read.
            let other = embeddings.get(digest, &stopped, || unreachable!("it is being read"));
            assert!(matches!(other, Err(RunError::Stopped)));
            Ok(embedding(1))
        });
        assert!(found.is_ok());
    }

    #[test]
    fn what_is_kept_stays_within_the_limit_and_suits_turns() {
        // Four of 400 bytes fit.
        let embeddings =
            Shared::within(1_700, |embedding: &Embedding| size_of_val(embedding.rows()));
        let reads = AtomicUsize::new(0);
        let turns = 200;
        for turn in 0..turns {
            read(&embeddings, turn % 6, &reads);
            assert!(embeddings.state().bytes <= 1_700);
        }
        // The least recently used one would go just before it is wanted again.
        let hits = usize::from(turns) - reads.into_inner();
        assert!(hits > usize::from(turns) / 4, "{hits} of {turns} were kept");
    }

    #[test]
    fn one_in_use_is_shared_although_it_is_not_kept() {
        let embeddings = Shared::within(0, with_clusters);
        let reads = AtomicUsize::new(0);
        let first = read(&embeddings, 1, &reads);
        read(&embeddings, 2, &reads);
        assert!(Arc::ptr_eq(&first, &read(&embeddings, 1, &reads)));
        drop(first);
        assert_eq!(reads.into_inner(), 2);
    }
}
