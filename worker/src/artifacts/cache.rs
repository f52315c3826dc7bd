//! Files by digest on the worker's own disk, within a bound. Content is checked on
//! every read. Files that wait to be uploaded are never dropped; of the others the
//! least recently used go first.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use reprise_data::{Hasher, digest as digest_of};
use reprise_domain::Digest;

/// Bytes that are read or sent at once.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// The cache directory and what is in it.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    /// Bytes above which files are dropped.
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Digest, Entry>,
    /// Files that are to be uploaded.
    waiting: HashSet<Digest>,
    /// Sum of the entries' sizes.
    bytes: u64,
    /// Counts uses, and names new files.
    clock: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    bytes: u64,
    used: u64,
}

/// A file on its way into the cache; one that is dropped leaves nothing.
#[derive(Debug)]
pub(super) struct Fresh {
    file: File,
    path: PathBuf,
    hasher: Hasher,
    bytes: u64,
    kept: bool,
}

impl Cache {
    /// The cache in `directory`, with what earlier processes left there. Halves of
    /// files are removed.
    pub(super) fn open(directory: &Path, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if !metadata.is_file() {
                continue;
            }
            match entry.file_name().to_string_lossy().parse::<Digest>() {
                Ok(digest) => found.push((metadata.modified().ok(), digest, metadata.len())),
                Err(_) => fs::remove_file(entry.path())?,
            }
        }
        found.sort_unstable();
        let mut state = State::default();
        for (_, digest, bytes) in found {
            state.note(digest, bytes);
        }
        Ok(Self {
            directory: directory.to_owned(),
            limit,
            state: Mutex::new(state),
        })
    }

    /// Content that is here and undamaged. Damaged content is dropped.
    pub(super) fn read(&self, digest: Digest) -> Option<Vec<u8>> {
        let content = fs::read(self.path(digest)).ok()?;
        let found = digest_of(&content);
        self.judge(digest, found).then_some(content)
    }

    /// The same as a file at its start, not read into memory.
    pub(super) fn open_file(&self, digest: Digest) -> Option<File> {
        let mut file = File::open(self.path(digest)).ok()?;
        let mut hasher = Hasher::default();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match file.read(&mut piece).ok()? {
                0 => break,
                bytes => hasher.update(&piece[..bytes]),
            }
        }
        file.rewind().ok()?;
        self.judge(digest, hasher.digest()).then_some(file)
    }

    /// Begins a file.
    pub(super) fn begin(&self) -> io::Result<Fresh> {
        let number = self.state().tick();
        let path = self.directory.join(format!("new-{number}"));
        Ok(Fresh {
            file: File::create(&path)?,
            path,
            hasher: Hasher::default(),
            bytes: 0,
            kept: false,
        })
    }

    /// Makes a whole file visible, and drops others if there are too many now.
    pub(super) fn keep(&self, mut fresh: Fresh) -> io::Result<Digest> {
        let digest = fresh.digest();
        fs::rename(&fresh.path, self.path(digest))?;
        fresh.kept = true;
        let mut state = self.state();
        state.note(digest, fresh.bytes);
        self.shrink(&mut state, digest);
        Ok(digest)
    }

    /// Keeps a file that a task made until [`Cache::release`]; durable, since hours
    /// of work may be in it.
    pub(super) fn keep_waiting(&self, content: &[u8]) -> io::Result<Digest> {
        let mut fresh = self.begin()?;
        fresh.write(content)?;
        fresh.file.sync_data()?;
        self.hold(fresh.digest());
        self.keep(fresh)
    }

    /// Keeps a file until [`Cache::release`].
    pub(super) fn hold(&self, digest: Digest) {
        self.state().waiting.insert(digest);
    }

    /// The file may go when there is no room.
    pub(super) fn release(&self, digest: Digest) {
        let mut state = self.state();
        state.waiting.remove(&digest);
        self.shrink(&mut state, digest);
    }

    /// Drops a file.
    pub(super) fn remove(&self, digest: Digest) {
        let mut state = self.state();
        state.waiting.remove(&digest);
        self.drop_file(&mut state, digest);
    }

    /// Whether content has its digest; if not, it is dropped.
    fn judge(&self, expected: Digest, found: Digest) -> bool {
        let mut state = self.state();
        if found == expected {
            let used = state.tick();
            if let Some(entry) = state.entries.get_mut(&expected) {
                entry.used = used;
            }
            return true;
        }
        tracing::warn!(digest = %expected, %found, "a cached artifact is damaged; dropped");
        self.drop_file(&mut state, expected);
        false
    }

    /// Drops the least recently used files that nobody waits for, `newest` last.
    fn shrink(&self, state: &mut State, newest: Digest) {
        while state.bytes > self.limit {
            let droppable = state
                .entries
                .iter()
                .filter(|(digest, _)| **digest != newest && !state.waiting.contains(digest));
            let Some((&oldest, _)) = droppable.min_by_key(|(_, entry)| entry.used) else {
                return;
            };
            self.drop_file(state, oldest);
        }
    }

    fn drop_file(&self, state: &mut State, digest: Digest) {
        if let Some(entry) = state.entries.remove(&digest) {
            state.bytes -= entry.bytes;
        }
        // One that stays costs its space and nothing else.
        let _ = fs::remove_file(self.path(digest));
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.directory.join(digest.to_string())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn note(&mut self, digest: Digest, bytes: u64) {
        let used = self.tick();
        if let Some(old) = self.entries.insert(digest, Entry { bytes, used }) {
            self.bytes -= old.bytes;
        }
        self.bytes += bytes;
    }
}

impl Fresh {
    /// Adds the next piece.
    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// The digest of what was written.
    pub(super) fn digest(&self) -> Digest {
        self.hasher.digest()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(cache: &Cache, content: &[u8]) -> Digest {
        let mut fresh = cache.begin().unwrap();
        fresh.write(content).unwrap();
        cache.keep(fresh).unwrap()
    }

    #[test]
    fn the_least_recently_used_file_goes_first_and_one_that_waits_never() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path(), 30).unwrap();
        let waits = cache.keep_waiting(&[0; 10]).unwrap();
        let first = keep(&cache, &[1; 10]);
        let second = keep(&cache, &[2; 10]);
        assert!(cache.read(first).is_some());
        let third = keep(&cache, &[3; 10]);
        assert_eq!(cache.read(second), None);
        for kept in [waits, first, third] {
            assert!(cache.read(kept).is_some());
        }
        // The newest stays even where it alone is too large.
        let large = keep(&cache, &[4; 50]);
        assert!(cache.read(large).is_some() && cache.read(waits).is_some());
        assert_eq!(cache.read(first), None);
        cache.release(waits);
        assert_eq!(keep(&cache, &[4; 50]), large);
        assert_eq!(cache.read(waits), None);
    }

    #[test]
    fn the_bound_counts_what_an_earlier_process_left() {
        let directory = tempfile::tempdir().unwrap();
        let left = keep(&Cache::open(directory.path(), 30).unwrap(), &[1; 20]);
        fs::write(directory.path().join("new-7"), b"half").unwrap();
        let cache = Cache::open(directory.path(), 30).unwrap();
        assert!(cache.read(left).is_some());
        keep(&cache, &[2; 20]);
        assert_eq!(cache.read(left), None);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn damaged_content_is_dropped_and_halves_leave_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path(), 100).unwrap();
        let digest = keep(&cache, b"weights");
        assert!(cache.open_file(digest).is_some());
        fs::write(cache.path(digest), b"weightZ").unwrap();
        assert!(cache.open_file(digest).is_none());
        assert!(!cache.path(digest).exists());
        let digest = keep(&cache, b"weights");
        fs::write(cache.path(digest), b"weigh").unwrap();
        assert_eq!(cache.read(digest), None);
        let mut half = cache.begin().unwrap();
        half.write(b"half").unwrap();
        drop(half);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
