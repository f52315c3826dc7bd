//! Files of the security directory. They are written under another name and renamed,
//! so that a reader sees the old or the new content. Keys are for their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use reprise_proto::file::{Readers, read_secret, read_text};

use super::error::SecurityError;

/// Bytes of a certificate or a key, with room to spare.
const MAX_BYTES: u64 = 64 << 10;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The owner: a key.
    Secret,
    /// Everybody: a certificate.
    Public,
}

impl Mode {
    const fn bits(self) -> u32 {
        match self {
            Self::Secret => 0o600,
            Self::Public => 0o644,
        }
    }
}

/// Makes the directory, for its owner only.
pub(super) fn make_directory(path: &Path) -> Result<(), SecurityError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("make", path))
}

/// Reads a certificate, or a key whose readers do not matter here.
pub(super) fn read(path: &Path) -> Result<String, SecurityError> {
    read_up_to(path, MAX_BYTES)
}

/// Reads a text of at most `limit` bytes.
pub(super) fn read_up_to(path: &Path, limit: u64) -> Result<String, SecurityError> {
    read_text(path, limit).map_err(failed("read", path))
}

/// Reads a key that nobody but its owner may be able to read.
pub(super) fn read_key(path: &Path) -> Result<String, SecurityError> {
    read_secret(path, MAX_BYTES, Readers::Owner).map_err(failed("read", path))
}

/// Replaces a file.
pub(super) fn replace(path: &Path, content: &str, mode: Mode) -> Result<(), SecurityError> {
    let fresh = path.with_extension("new");
    let written = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let mut file = options.mode(mode.bits()).open(&fresh)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    written().map_err(failed("write", path))
}

/// Makes a file that is not there yet, for a secret.
pub(super) fn create_secret(path: &Path) -> Result<File, SecurityError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let created = options.mode(Mode::Secret.bits()).open(path);
    created.map_err(failed("make", path))
}

/// Writes the content of a new file.
pub(super) fn fill(mut file: File, path: &Path, content: &str) -> Result<(), SecurityError> {
    file.write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed("write", path))
}

/// Removes a file that was not completed.
pub(super) fn remove(path: &Path) {
    // An empty file that stays does no harm.
    let _ = fs::remove_file(path);
}

/// Keeps other processes from changing the directory meanwhile.
pub(super) fn lock(directory: &Path) -> Result<Flock<File>, SecurityError> {
    let path = directory.join("lock");
    let file = File::create(&path).map_err(failed("lock", &path))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| failed("lock", &path)(errno.into()))
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SecurityError {
    let path = PathBuf::from(path);
    move |source| SecurityError::File {
        operation,
        path,
        source,
    }
}
