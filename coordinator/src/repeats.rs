//! Remembers what was said lately, so that a log says it once. Pure: the time is
//! an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long something said is not said again.
pub(crate) const WINDOW: Duration = Duration::from_mins(10);

/// The most things remembered: what costs memory may be chosen by strangers.
pub(crate) const CAPACITY: usize = 1024;

/// What was said, and when.
#[derive(Debug)]
pub(crate) struct Repeats<K> {
    said: HashMap<K, Instant>,
    /// When it was last said that there is too much to say.
    full: Option<Instant>,
}

/// Whether something is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Novelty {
    /// Say it.
    New,
    /// It was said within the window.
    Repeated,
    /// Nothing more is remembered: say that, and nothing until the window is
    /// over.
    Full,
}

impl<K: Eq + Hash> Repeats<K> {
    pub(crate) fn new() -> Self {
        Self {
            said: HashMap::new(),
            full: None,
        }
    }

    /// Notes that something would be said at `now`.
    pub(crate) fn note(&mut self, key: K, now: Instant) -> Novelty {
        let lately = |at: Instant| now.saturating_duration_since(at) < WINDOW;
        if self.said.get(&key).is_some_and(|&at| lately(at)) {
            return Novelty::Repeated;
        }
        if self.said.len() >= CAPACITY {
            self.said.retain(|_, &mut at| lately(at));
        }
        if self.said.len() < CAPACITY {
            self.said.insert(key, now);
            return Novelty::New;
        }
        if self.full.is_some_and(lately) {
            return Novelty::Repeated;
        }
        self.full = Some(now);
        Novelty::Full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_said_once_a_window() {
        let start = Instant::now();
        let mut repeats = Repeats::new();
        assert_eq!(repeats.note("a", start), Novelty::New);
        assert_eq!(repeats.note("b", start), Novelty::New);
        let soon = start + WINDOW.mul_f64(0.99);
        assert_eq!(repeats.note("a", soon), Novelty::Repeated);
        assert_eq!(repeats.note("a", start + WINDOW), Novelty::New);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten() {
        let start = Instant::now();
        let mut repeats = Repeats::new();
        for key in 0..CAPACITY {
            assert_eq!(repeats.note(key, start), Novelty::New);
        }
        assert_eq!(repeats.note(CAPACITY, start), Novelty::Full);
        assert_eq!(repeats.note(CAPACITY + 1, start), Novelty::Repeated);
        assert_eq!(repeats.said.len(), CAPACITY);
        assert_eq!(repeats.note(CAPACITY, start + WINDOW), Novelty::New);
        assert_eq!(repeats.said.len(), 1);
    }
}
