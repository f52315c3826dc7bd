//! Attempts that wait for something to run them: for one of the slots, or, where
//! seeds are pretrained in packs, for the next pack.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reprise_domain::{AttemptId, PretrainSpec, Seed, TaskSpec};

use crate::slots::{Assignment, Cancel};

/// How long nothing may come in before a pack starts with what there is. Tasks are
/// leased many at a time, but taken one by one.
const SETTLED: Duration = Duration::from_millis(100);

/// What waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Whether pretraining waits for packs and not for slots.
    packs: bool,
}

/// An attempt that waits, and how it is told that it need not.
pub(crate) type Attempt = (Assignment, Cancel);

#[derive(Debug, Default)]
struct Queue {
    attempts: VecDeque<Attempt>,
    for_packs: VecDeque<Attempt>,
    closed: bool,
}

impl Waiting {
    pub(crate) fn new(packs: bool) -> Self {
        Self {
            queue: Mutex::default(),
            changed: Condvar::new(),
            packs,
        }
    }

    /// Adds an attempt after those that wait already.
    pub(crate) fn push(&self, attempt: Attempt) {
        let mut queue = self.lock();
        if self.packs && settings(&attempt).is_some() {
            queue.for_packs.push_back(attempt);
        } else {
            queue.attempts.push_back(attempt);
        }
        drop(queue);
        self.changed.notify_all();
    }

    /// Puts members of a pack back, before all others.
    pub(crate) fn put_back(&self, attempts: Vec<Attempt>) {
        let mut queue = self.lock();
        for attempt in attempts.into_iter().rev() {
            queue.for_packs.push_front(attempt);
        }
    }

    /// Takes attempts back that have not begun and are not `kept`.
    pub(crate) fn withdraw(&self, kept: impl Fn(AttemptId) -> bool) -> Vec<AttemptId> {
        let mut withdrawn = Vec::new();
        let mut queue = self.lock();
        let Queue {
            attempts,
            for_packs,
            ..
        } = &mut *queue;
        for waiting in [attempts, for_packs] {
            waiting.retain(|(assignment, _)| {
                let stays = kept(assignment.attempt);
                if !stays {
                    withdrawn.push(assignment.attempt);
                }
                stays
            });
        }
        withdrawn
    }

    /// The next attempt for a slot; `None` once the worker ends.
    pub(crate) fn next(&self) -> Option<Attempt> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(next) = queue.attempts.pop_front() {
                return Some(next);
            }
            queue = self.wait(queue);
        }
    }

    /// The next pack: attempts that differ in their seeds alone, up to the number that
    /// `most` says for their settings; `None` once the worker ends.
    pub(crate) fn next_pack(
        &self,
        mut most: impl FnMut(&PretrainSpec) -> usize,
    ) -> Option<Vec<Attempt>> {
        loop {
            let wanted = self.settled()?;
            // Not under the lock: it may have to be found out.
            let most = most(&wanted);
            let mut queue = self.lock();
            let mut pack = Vec::new();
            let mut others = VecDeque::new();
            for attempt in queue.for_packs.drain(..) {
                if pack.len() < most && settings(&attempt) == Some(wanted) {
                    pack.push(attempt);
                } else {
                    others.push_back(attempt);
                }
            }
            queue.for_packs = others;
            // All may have been withdrawn meanwhile.
            if !pack.is_empty() {
                return Some(pack);
            }
        }
    }

    /// Waits until something is there for a pack and nothing more comes in; the
    /// settings of the first.
    fn settled(&self) -> Option<PretrainSpec> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            let there = queue.for_packs.len();
            let Some(first) = queue.for_packs.front().and_then(settings) else {
                queue = self.wait(queue);
                continue;
            };
            let waited = self
                .changed
                .wait_timeout_while(queue, SETTLED, |queue| {
                    queue.for_packs.len() == there && !queue.closed
                })
                .unwrap_or_else(PoisonError::into_inner);
            queue = waited.0;
            if waited.1.timed_out() {
                return Some(first);
            }
        }
    }

    /// Lets nothing begin any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.changed
            .wait(queue)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code that can panic runs under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What members of a pack have in common: everything but the seed.
pub(crate) fn settings((assignment, _): &Attempt) -> Option<PretrainSpec> {
    match assignment.spec {
        TaskSpec::Pretrain(spec) => Some(PretrainSpec {
            seed: Seed(0),
            ..spec
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use reprise_domain::protocol::{Protocol, Quirks};
    use reprise_domain::{Digest, ModelName, NoopSpec, SpaceName, TaskKey};

    use super::*;
    use crate::logs::AttemptLog;
    use crate::progress::Progress;

    fn pretraining(seed: u64, epochs: u32) -> Attempt {
        attempt(
            seed,
            TaskSpec::Pretrain(PretrainSpec {
                space: SpaceName::Nasbench201,
                model: ModelName::Arch2vec,
                sizes: reprise_domain::task::ModelSizes::default(),
                epochs,
                batch: 32,
                learning_rate: 1e-3,
                clip: 5.0,
                latent_points: 100,
                quirks: Quirks::of(Protocol::Reference).pretrain,
                seed: Seed(seed),
            }),
        )
    }

    fn noop(seed: u64) -> Attempt {
        let spec = NoopSpec {
            hold_ms: 0,
            failures: 0,
            seed: Seed(seed),
        };
        attempt(seed, TaskSpec::Noop(spec))
    }

    fn attempt(seed: u64, spec: TaskSpec) -> Attempt {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let assignment = Assignment {
            attempt: AttemptId {
                task: TaskKey(Digest::from_bytes(key)),
                number: 1,
            },
            spec,
            inputs: Vec::new(),
            checkpoint: None,
            progress: Progress::default(),
            log: AttemptLog::default(),
        };
        (assignment, Cancel::default())
    }

    fn seeds(pack: &[Attempt]) -> Vec<u64> {
        let seed = |(assignment, _): &Attempt| match assignment.spec {
            TaskSpec::Pretrain(spec) => spec.seed.0,
            _ => 0,
        };
        pack.iter().map(seed).collect()
    }

    #[test]
    fn a_pack_is_what_differs_in_seeds_alone_in_order_and_up_to_its_size() {
        let waiting = Waiting::new(true);
        waiting.push(noop(9));
        for (seed, epochs) in [(1, 8), (2, 8), (3, 4), (4, 8), (5, 8)] {
            waiting.push(pretraining(seed, epochs));
        }
        let next = || waiting.next_pack(|_| 3).unwrap();
        let first = next();
        assert_eq!(seeds(&first), [1, 2, 4]);
        waiting.put_back(first);
        assert_eq!(seeds(&next()), [1, 2, 4]);
        assert_eq!(seeds(&next()), [3]);
        assert_eq!(seeds(&next()), [5]);
        assert!(matches!(waiting.next().unwrap().0.spec, TaskSpec::Noop(_)));
        waiting.close();
        assert!(waiting.next().is_none() && waiting.next_pack(|_| 3).is_none());
    }

    #[test]
    fn a_pack_waits_for_what_is_still_coming_in() {
        let waiting = Arc::new(Waiting::new(true));
        let taker = Arc::clone(&waiting);
        let taken = thread::spawn(move || taker.next_pack(|_| 64));
        for seed in 1..=64 {
            waiting.push(pretraining(seed, 8));
            thread::yield_now();
        }
        assert_eq!(taken.join().unwrap().unwrap().len(), 64);
    }

    #[test]
    fn what_was_withdrawn_is_in_no_pack() {
        let waiting = Waiting::new(true);
        let (first, second) = (pretraining(1, 8), pretraining(2, 8));
        let kept = second.0.attempt;
        let expected = first.0.attempt;
        waiting.push(first);
        waiting.push(second);
        let withdrawn = waiting.withdraw(|attempt| attempt == kept);
        assert_eq!(withdrawn, [expected]);
        assert_eq!(seeds(&waiting.next_pack(|_| 8).unwrap()), [2]);
    }

    #[test]
    fn without_packs_everything_is_for_the_slots() {
        let waiting = Waiting::new(false);
        waiting.push(pretraining(1, 8));
        assert!(waiting.next().is_some());
    }
}
