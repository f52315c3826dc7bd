//! Reads small files that people name: regular files only, never more than a
//! bound, and secrets only where nobody else can read them. Benchmark tables have
//! a reader of their own.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;

/// Who may read a secret besides its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Nobody.
    Owner,
    /// The file's group: a mounted secret of Kubernetes belongs to root and to
    /// the group of the pod.
    Group,
}

impl Readers {
    /// The permissions that a file may not give.
    const fn refused(self) -> u32 {
        match self {
            Self::Owner => 0o077,
            Self::Group => 0o007,
        }
    }
}

/// Reads all of a regular file of at most `limit` bytes.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, _) = open(path)?;
    read(file, limit)
}

/// Reads all of a regular text file of at most `limit` bytes.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    text(read_bounded(path, limit)?)
}

/// Reads a secret of at most `limit` bytes, which nobody but `readers` can read.
pub fn read_secret(path: &Path, limit: u64, readers: Readers) -> io::Result<String> {
    let (file, metadata) = open(path)?;
    let mode = metadata.mode() & 0o777;
    if mode & readers.refused() != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "others can read it (mode {mode:04o}); keep it to its owner with `chmod 600 {}`",
                path.display()
            ),
        ));
    }
    text(read(file, limit)?)
}

/// Opens a regular file. Anything else is refused before it is opened, because
/// opening a device can have effects, and again afterwards, because the name may
/// have come to mean something else; a pipe does not block in between.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    check(&std::fs::metadata(path)?)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let metadata = file.metadata()?;
    check(&metadata)?;
    Ok((file, metadata))
}

fn check(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {}, not a regular file", kind(metadata.file_type())),
    ))
}

fn kind(found: FileType) -> &'static str {
    if found.is_dir() {
        "a directory"
    } else if found.is_fifo() {
        "a pipe"
    } else if found.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn read(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {limit} bytes"),
        ));
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is not UTF-8 text at byte {place}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    fn refusal<T: std::fmt::Debug>(read: io::Result<T>) -> String {
        read.unwrap_err().to_string()
    }

    #[test]
    fn only_regular_files_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for (path, expected) in [
            (Path::new("/dev/zero"), "it is a device, not a regular file"),
            (&pipe, "it is a pipe, not a regular file"),
            (&link, "it is a pipe, not a regular file"),
            (directory.path(), "it is a directory, not a regular file"),
        ] {
            assert_eq!(refusal(read_bounded(path, 10)), expected);
        }
        let missing = read_bounded(&directory.path().join("none"), 10).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn no_more_is_read_than_the_bound_allows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "0123456789").unwrap();
        assert_eq!(read_bounded(&path, 10).unwrap(), b"0123456789");
        assert_eq!(refusal(read_bounded(&path, 9)), "it has more than 9 bytes");
        fs::write(&path, b"caf\xe9").unwrap();
        assert_eq!(
            refusal(read_text(&path, 10)),
            "it is not UTF-8 text at byte 3"
        );
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, "secret").unwrap();
        for (mode, owner, group) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o440, false, true),
            (0o660, false, true),
            (0o604, false, false),
            (0o644, false, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let allowed = |readers| read_secret(&path, 10, readers).is_ok();
            assert_eq!(
                (allowed(Readers::Owner), allowed(Readers::Group)),
                (owner, group),
                "{mode:o}"
            );
        }
        let said = refusal(read_secret(&path, 10, Readers::Group));
        let command = format!("chmod 600 {}", path.display());
        assert!(said.contains(&command) && said.contains("0644"), "{said}");
    }
}
