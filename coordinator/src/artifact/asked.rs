//! Shared artifacts that somebody was told of lately: a worker that hears that its
//! file is stored does not send it, and reports its result a moment later. Between
//! the two nothing refers to the file.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reprise_domain::Digest;

/// How long the report may take.
const LATELY: Duration = Duration::from_hours(1);

/// Entries above which old ones are looked for.
const MANY: usize = 10_000;

/// The digests with the time when each was asked for.
#[derive(Debug, Default)]
pub(super) struct AskedFor(Mutex<HashMap<Digest, Instant>>);

impl AskedFor {
    pub(super) fn note(&self, digest: Digest) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= MANY {
            asked.retain(|_, at| at.elapsed() < LATELY);
        }
        asked.insert(digest, Instant::now());
    }

    pub(super) fn contains(&self, digest: Digest) -> bool {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(&digest).is_some_and(|at| at.elapsed() < LATELY)
    }
}
