//! The directory of an attempt. The program may write to it and to nothing else where
//! the kernel keeps it from that; it is removed when the attempt has ended.
//!
//! ```text
//! KEY.NUMBER/
//!   work/          where the program runs: shipped files, its home
//!   tmp/           temporary files
//!   artifacts/     REPRISE_ARTIFACTS
//!   checkpoint/    REPRISE_CHECKPOINT
//!   task.json      REPRISE_TASK
//!   metrics.jsonl  REPRISE_METRICS
//!   result.json    REPRISE_RESULT
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use reprise_domain::AttemptId;
use reprise_domain::program::ShippedFile;

/// The directory of an attempt that runs.
#[derive(Debug)]
pub(super) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Makes the directory.
    pub(super) fn make(parent: &Path, attempt: AttemptId) -> io::Result<Self> {
        let root = parent.join(format!("{}.{}", attempt.task, attempt.number));
        if root.exists() {
            remove(&root)?;
        }
        let workspace = Self { root };
        for directory in [
            workspace.work(),
            workspace.temporary(),
            workspace.artifacts(),
            workspace.checkpoint(),
        ] {
            fs::create_dir_all(directory)?;
        }
        fs::set_permissions(&workspace.root, fs::Permissions::from_mode(0o700))?;
        Ok(workspace)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(super) fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    pub(super) fn checkpoint(&self) -> PathBuf {
        self.root.join("checkpoint")
    }

    pub(super) fn task(&self) -> PathBuf {
        self.root.join("task.json")
    }

    pub(super) fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    pub(super) fn result(&self) -> PathBuf {
        self.root.join("result.json")
    }

    /// Puts a shipped file where the program expects it. Its path was checked: it
    /// leads down, and nothing in the way is a link, since nothing ran here yet.
    pub(super) fn ship(&self, file: &ShippedFile, content: &[u8]) -> io::Result<()> {
        let path = self.work().join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mode = if file.executable { 0o755 } else { 0o644 };
        let mut target = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        target.write_all(content)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.root) {
            tracing::warn!(%error, path = %self.root.display(), "directory of a program not removed");
        }
    }
}

/// A directory that a program writes to, held from before the program began: whatever it
/// puts in its place is not looked at.
#[derive(Debug)]
pub(super) struct Root(File);

impl Root {
    /// Holds a directory.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let mut options = OpenOptions::new();
        let opened = options.read(true).custom_flags(flags.bits());
        opened.open(directory).map(Self)
    }

    /// A path by which this process reaches the directory.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// Opens a regular file below the directory. No link on the way is followed, even if
    /// the program puts one there meanwhile.
    pub(super) fn open_regular(&self, below: &Path) -> io::Result<File> {
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        regular(openat2(&self.0, below, how)?.into())
    }
}

/// Opens a file that a program may have put there: neither a link is followed, nor is
/// a pipe waited for.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    regular(file)
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        let why = "it is not a regular file";
        Err(io::Error::new(io::ErrorKind::InvalidInput, why))
    }
}

/// Removes a directory with all that is in it, directories among them that nobody may
/// read. Links are removed and not followed.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(directory)?;
            fs::remove_dir_all(directory)
        }
        removed => removed,
    }
}

/// Gives this user all rights on all directories.
fn open_up(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Of the entry itself, not of what a link leads to.
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use reprise_domain::{Digest, TaskKey};

    use super::*;

    fn file(path: &str, executable: bool) -> ShippedFile {
        ShippedFile {
            path: path.to_owned(),
            digest: Digest::from_bytes([1; 32]),
            bytes: 1,
            executable,
        }
    }

    #[test]
    fn links_lead_nowhere_wherever_they_stand() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir_all(at("root/inner")).unwrap();
        fs::create_dir(at("secret")).unwrap();
        fs::write(at("secret/file"), "s").unwrap();
        fs::write(at("root/inner/file"), "f").unwrap();
        let root = Root::open(&at("root")).unwrap();
        root.open_regular(Path::new("inner/file")).unwrap();
        std::os::unix::fs::symlink(at("secret"), at("root/link")).unwrap();
        std::os::unix::fs::symlink("inner", at("root/own")).unwrap();
        for path in ["link/file", "own/file", "../secret/file", "inner"] {
            let error = root.open_regular(Path::new(path)).unwrap_err();
            assert_ne!(error.kind(), io::ErrorKind::NotFound, "{path}: {error}");
        }
        // A directory that takes the place of the one that is held.
        fs::rename(at("root"), at("moved")).unwrap();
        std::os::unix::fs::symlink(at("secret"), at("root")).unwrap();
        assert!(root.path().join("inner/file").exists());
        assert!(Root::open(&at("root")).is_err());
    }

    #[test]
    fn a_workspace_has_its_files_and_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let attempt = AttemptId {
            task: TaskKey(Digest::from_bytes([5; 32])),
            number: 2,
        };
        let workspace = Workspace::make(home.path(), attempt).unwrap();
        workspace.ship(&file("lib/a.py", false), b"a").unwrap();
        workspace
            .ship(&file("run.sh", true), b"#!/bin/sh\n")
            .unwrap();
        let mode = |name: &str| {
            let path = workspace.work().join(name);
            path.metadata().unwrap().permissions().mode() & 0o777
        };
        assert_eq!(mode("run.sh") & 0o100, 0o100);
        assert_eq!(mode("lib/a.py") & 0o111, 0);
        let closed = workspace.work().join("lib");
        fs::set_permissions(closed, fs::Permissions::from_mode(0o000)).unwrap();
        std::os::unix::fs::symlink("/etc", workspace.work().join("link")).unwrap();
        drop(workspace);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        assert!(Path::new("/etc").exists());
    }
}
