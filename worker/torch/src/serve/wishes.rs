//! What the worker wants of the task that runs: set by the thread that reads, looked at
//! by the thread that computes.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The wishes for one task.
#[derive(Debug, Default)]
pub(super) struct Wishes(Mutex<Wanted>);

#[derive(Debug, Default)]
struct Wanted {
    /// Whether to end, and then whether to send where the task stands.
    stop: Option<bool>,
    discarded: HashSet<u32>,
}

impl Wishes {
    pub(super) fn stop(&self, save: bool) {
        self.lock().stop = Some(save);
    }

    pub(super) fn discard(&self, member: u32) {
        self.lock().discarded.insert(member);
    }

    /// Whether to end, and then whether to send where the task stands.
    pub(super) fn stopping(&self) -> Option<bool> {
        self.lock().stop
    }

    /// Whether nobody wants a member's result any more.
    pub(super) fn is_discarded(&self, member: u32) -> bool {
        let wanted = self.lock();
        wanted.stop == Some(false) || wanted.discarded.contains(&member)
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
