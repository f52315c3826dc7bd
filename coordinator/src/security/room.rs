//! How many connections there is room for: as many as the process may have open
//! files, less what it needs for other things. Some room is for clients alone, so
//! that workers cannot shut out the person who looks after them.

use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::scope::Scope;

/// Open files that are not connections: the journal, artifacts that are transferred,
/// programs that a fleet calls.
const OTHER_FILES: u64 = 512;

/// Most connections, whatever the process may open: each takes some 30 KB.
const MOST: usize = 32_768;

/// Least connections, where the process may open very few files.
const LEAST: usize = 64;

/// Share of the room that workers with credentials leave to others.
const FOR_CLIENTS: usize = 16;

/// Room for connections.
#[derive(Debug, Clone)]
pub(super) struct Room {
    all: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    most: usize,
}

/// A place of one connection; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _all: OwnedSemaphorePermit,
    _worker: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// What the limit on open files leaves; a low limit is raised as far as the system
    /// lets an ordinary user.
    pub(super) fn of_process() -> Self {
        let files = open_files();
        let most = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(MOST);
        let room = Self::new(most.clamp(LEAST, MOST));
        tracing::debug!(connections = room.most, open_files = files, "room");
        room
    }

    pub(super) fn new(most: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(most)),
            workers: Arc::new(Semaphore::new(most - most / FOR_CLIENTS)),
            most,
        }
    }

    /// How many there is room for.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// Takes a place, if one is left for a peer of that scope.
    pub(super) fn take(&self, scope: Option<Scope>) -> Option<Place> {
        let worker = if scope == Some(Scope::Worker) {
            Some(Arc::clone(&self.workers).try_acquire_owned().ok()?)
        } else {
            None
        };
        Some(Place {
            _all: Arc::clone(&self.all).try_acquire_owned().ok()?,
            _worker: worker,
        })
    }
}

/// How many files the process may have open.
fn open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 1024;
    };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return hard;
    }
    soft
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_leave_room_for_clients() {
        let room = Room::new(32);
        let taken: Vec<_> = (0..40)
            .filter_map(|_| room.take(Some(Scope::Worker)))
            .collect();
        assert_eq!(taken.len(), 30);
        let clients: Vec<_> = (0..5)
            .filter_map(|_| room.take(Some(Scope::Client)))
            .collect();
        assert_eq!(clients.len(), 2);
        assert!(room.take(None).is_none());
        drop(taken);
        assert!(room.take(Some(Scope::Worker)).is_some());
    }
}
