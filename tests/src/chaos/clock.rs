//! The coordinator's clock, moved by Debian's `faketime`: a library that answers
//! in the place of the system, and a file that says how far it is off.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian puts the library, for one directory each architecture.
const LIBRARIES: &str = "/usr/lib";

/// A clock that can be moved.
#[derive(Debug, Clone)]
pub struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// A right clock that is moved through a file in `home`; `None` when the
    /// library is not installed.
    pub fn new(home: &Path) -> io::Result<Option<Self>> {
        let Some(library) = library() else {
            return Ok(None);
        };
        let clock = Self {
            library,
            offset: home.join("clock"),
        };
        clock.set(0)?;
        Ok(Some(clock))
    }

    /// Whether the library is installed.
    pub fn can_jump() -> bool {
        library().is_some()
    }

    /// Puts the clock so many seconds ahead, or back.
    pub fn set(&self, seconds: i64) -> io::Result<()> {
        // Renamed into place: the library reads the file at any time.
        let fresh = self.offset.with_extension("new");
        fs::write(&fresh, format!("{seconds:+}\n"))?;
        fs::rename(&fresh, &self.offset)
    }

    /// Lets a program read this clock. Its monotonic clock stays right, as it
    /// does when a real clock is set.
    pub fn apply(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.offset)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }

    /// Removes what the library leaves in shared memory when its program is
    /// killed.
    pub fn clean(process: u32) {
        for name in ["faketime_shm_", "sem.faketime_sem_"] {
            // Mostly there is nothing to remove.
            let _ = fs::remove_file(format!("/dev/shm/{name}{process}"));
        }
    }
}

fn library() -> Option<PathBuf> {
    let directories = fs::read_dir(LIBRARIES).ok()?;
    directories
        .filter_map(Result::ok)
        .map(|directory| directory.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
}
