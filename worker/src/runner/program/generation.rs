//! Checkpoints of programs: a complete generation, a file or a directory that was
//! renamed into place, packed with the metrics so far as one tar file.
//!
//! Packing the same generation gives the same bytes. Unpacking makes regular files and
//! directories below one directory and nothing else.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use reprise_domain::bounds::{ARTIFACT_BYTES, program as bounds};
use serde::{Deserialize, Serialize};
use tar::{Archive, Builder, EntryType, Header};

use super::workspace::Root;

/// Entries of a pack that it begins with.
const HEAD: &str = "reprise.json";
const METRICS: &str = "metrics.jsonl";

/// The directory of a pack in which the generation is.
const FILES: &str = "generation";

/// Bytes of a pack beside the content of files, roughly.
const OVERHEAD: u64 = 1 << 20;

/// Files and directories of a generation.
const MOST_ENTRIES: usize = 10_000;

/// A complete generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) name: String,
    /// When it got its name, in nanoseconds.
    since: i128,
}

/// What a pack says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    version: u32,
    /// Generations that the task has made until then, over all attempts.
    pub(super) generations: u64,
    /// Name of the one that is packed.
    pub(super) name: String,
}

impl Head {
    pub(super) fn new(generations: u64, name: String) -> Self {
        Self {
            version: 1,
            generations,
            name,
        }
    }
}

/// The newest generation in a directory. A name that begins with a dot is of one that
/// is not complete.
pub(super) fn newest(root: &Root) -> io::Result<Option<Generation>> {
    let mut newest: Option<Generation> = None;
    for entry in fs::read_dir(root.path())? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with('.') || !bounds::is_path(&name) {
            continue;
        }
        // One that was replaced meanwhile is looked at the next time.
        let Ok(known) = entry.metadata() else {
            continue;
        };
        let since = i128::from(known.ctime()) * 1_000_000_000 + i128::from(known.ctime_nsec());
        let is_newer = |old: &Generation| (old.since, &old.name) < (since, &name);
        if newest.as_ref().is_none_or(is_newer) {
            newest = Some(Generation { name, since });
        }
    }
    Ok(newest)
}

/// Packs a generation.
pub(super) fn pack(root: &Root, head: &Head, metrics: &[u8]) -> io::Result<Vec<u8>> {
    let mut pack = Pack {
        root,
        builder: Builder::new(Vec::new()),
        bytes: OVERHEAD,
        entries: 0,
    };
    pack.file(HEAD, &serde_json::to_vec(head)?, false)?;
    pack.file(METRICS, metrics, false)?;
    let name = format!("{FILES}/{}", head.name);
    pack.add(Path::new(&head.name), &name)?;
    pack.builder.into_inner()
}

struct Pack<'a> {
    root: &'a Root,
    builder: Builder<Vec<u8>>,
    bytes: u64,
    entries: usize,
}

impl Pack<'_> {
    /// Adds what is at a path below the root.
    fn add(&mut self, below: &Path, name: &str) -> io::Result<()> {
        let path = self.root.path().join(below);
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(wrong(format!("it has more than {MOST_ENTRIES} files")));
        }
        // Of the entry itself, not of what a link leads to.
        let known = fs::symlink_metadata(&path)?;
        if known.is_dir() {
            self.append(EntryType::Directory, 0o755, name, &[])?;
            let mut names = Vec::new();
            for entry in fs::read_dir(&path)? {
                let name = entry?.file_name().into_string().ok();
                // What could not be unpacked is not packed.
                let name = name.filter(|name| bounds::is_path(name));
                names.push(name.ok_or_else(|| wrong("a file's name is not allowed".to_owned()))?);
            }
            names.sort_unstable();
            for inner in names {
                self.add(&below.join(&inner), &format!("{name}/{inner}"))?;
            }
            return Ok(());
        }
        if !known.is_file() {
            return Err(wrong(format!("`{name}` is neither a file nor a directory")));
        }
        let mut content = Vec::new();
        let most = ARTIFACT_BYTES.saturating_sub(self.bytes);
        self.root
            .open_regular(below)?
            .take(most + 1)
            .read_to_end(&mut content)?;
        if content.len() as u64 > most {
            let most = bounds::in_units(ARTIFACT_BYTES);
            return Err(wrong(format!("it has more than {most}")));
        }
        self.file(name, &content, known.permissions().mode() & 0o100 != 0)
    }

    fn file(&mut self, name: &str, content: &[u8], executable: bool) -> io::Result<()> {
        self.bytes += content.len() as u64;
        let mode = if executable { 0o755 } else { 0o644 };
        self.append(EntryType::Regular, mode, name, content)
    }

    fn append(&mut self, kind: EntryType, mode: u32, name: &str, content: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        self.builder.append_data(&mut header, name, content)
    }
}

/// What a pack says of itself; nothing if this is not a pack.
pub(super) fn head(pack: &[u8]) -> Option<Head> {
    let mut archive = Archive::new(pack);
    let mut entry = archive.entries().ok()?.next()?.ok()?;
    let is_head = entry.path().ok()?.to_str() == Some(HEAD);
    let mut text = Vec::new();
    let limit = bounds::LINE_BYTES as u64;
    entry.by_ref().take(limit).read_to_end(&mut text).ok()?;
    let head: Head = serde_json::from_slice(&text).ok().filter(|_| is_head)?;
    let is_name = bounds::is_path(&head.name) && !head.name.contains('/');
    (head.version == 1 && is_name).then_some(head)
}

/// Unpacks a generation into `directory`; returns the metrics that came with it.
pub(super) fn unpack(pack: &[u8], directory: &Path) -> io::Result<Vec<u8>> {
    let mut metrics = Vec::new();
    let mut archive = Archive::new(pack);
    for (index, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        if index > MOST_ENTRIES + 2 {
            return Err(wrong("it has too many entries".to_owned()));
        }
        let path = entry.path()?.into_owned();
        let name = path.to_str().unwrap_or_default().trim_end_matches('/');
        if name == HEAD {
            continue;
        }
        if name == METRICS {
            entry.read_to_end(&mut metrics)?;
            continue;
        }
        let inner = name
            .strip_prefix(FILES)
            .and_then(|rest| rest.strip_prefix('/'))
            .filter(|inner| inner.split('/').all(bounds::is_path))
            .ok_or_else(|| wrong(format!("an entry has the path `{}`", path.display())))?;
        // Only what was made here is in the way: there are no links to follow.
        let target = directory.join(inner);
        let mode = entry.header().mode()? & 0o777;
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir(&target)?,
            EntryType::Regular => {
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(mode)
                    .open(&target)?;
                io::copy(&mut entry, &mut file)?;
                file.flush()?;
            }
            _ => return Err(wrong(format!("`{inner}` is neither file nor directory"))),
        }
    }
    Ok(metrics)
}

/// Removes all complete generations but one.
pub(super) fn keep_only(root: &Root, kept: &Generation) -> io::Result<()> {
    for entry in fs::read_dir(root.path())? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_old = entry.metadata().is_ok_and(|known| {
            let since = i128::from(known.ctime()) * 1_000_000_000 + i128::from(known.ctime_nsec());
            since < kept.since
        });
        if name.starts_with('.') || *name == kept.name || !is_old {
            continue;
        }
        if entry.file_type()?.is_dir() {
            super::workspace::remove(&entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn wrong(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, content: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn a_generation_comes_back_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        fs::create_dir_all(&to).unwrap();
        write(&from.join("7/b/weights"), "w");
        write(&from.join("7/a"), "state");
        fs::create_dir(from.join("7/empty")).unwrap();
        write(&from.join(".8"), "not complete");
        let root = Root::open(&from).unwrap();
        let found = newest(&root).unwrap().unwrap();
        assert_eq!(found.name, "7");
        let said = Head::new(3, found.name);
        let bytes = pack(&root, &said, b"{\"step\":1}\n").unwrap();
        assert_eq!(pack(&root, &said, b"{\"step\":1}\n").unwrap(), bytes);
        assert_eq!(head(&bytes), Some(said));
        assert_eq!(unpack(&bytes, &to).unwrap(), b"{\"step\":1}\n");
        assert_eq!(fs::read_to_string(to.join("7/b/weights")).unwrap(), "w");
        assert_eq!(fs::read_to_string(to.join("7/a")).unwrap(), "state");
        assert!(to.join("7/empty").is_dir() && !to.join(".8").exists());
    }

    #[test]
    fn the_newest_is_the_one_that_was_renamed_last() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let root = Root::open(home.path()).unwrap();
        assert_eq!(newest(&root).unwrap(), None);
        write(&at("10"), "a");
        write(&at(".x"), "b");
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::rename(at(".x"), at("9")).unwrap();
        let found = newest(&root).unwrap().unwrap();
        assert_eq!(found.name, "9");
        keep_only(&root, &found).unwrap();
        assert!(at("9").exists() && !at("10").exists());
    }

    #[test]
    fn links_are_not_packed() {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", home.path().join("1")).unwrap();
        let said = Head::new(1, "1".to_owned());
        let root = Root::open(home.path()).unwrap();
        let error = pack(&root, &said, b"").unwrap_err();
        assert!(error.to_string().contains("neither a file"), "{error}");
    }

    #[test]
    fn nothing_is_unpacked_elsewhere() {
        let home = tempfile::tempdir().unwrap();
        let check = |path: &str, kind: EntryType| {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o644);
            header.set_size(1);
            // Past the checks of the library, as an attacker writes it.
            let name = &mut header.as_gnu_mut().unwrap().name;
            name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            let mut builder = Builder::new(Vec::new());
            builder.append(&header, &b"x"[..]).unwrap();
            let bytes = builder.into_inner().unwrap();
            let error = unpack(&bytes, home.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{path}: {error}");
        };
        check("generation/../../outside", EntryType::Regular);
        check("/etc/outside", EntryType::Regular);
        check("elsewhere", EntryType::Regular);
        check("generation/link", EntryType::Symlink);
        check("generation/link", EntryType::Link);
        check("generation/fifo", EntryType::Fifo);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        assert!(head(b"no tar").is_none() && head(&[0; 4096]).is_none());
    }
}
