//! How far a journal was written, in a small file beside it. A write-ahead log that is
//! lost, and an older copy in the place of the file, leave a whole journal that only
//! lacks its newest records; by the mark that is noticed.
//!
//! The mark is written after each commit and never flushed: after a power cut it may be
//! behind the journal, which says nothing.

use std::ffi::OsString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::super::Sequence;

/// What its name adds to that of the journal.
const ENDING: &str = "-newest";

/// Digits of the number of a record.
const DIGITS: usize = 20;

/// The newest part of a journal that is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lack {
    /// The newest record that there is.
    pub newest: Sequence,
    /// The newest one that was written.
    pub written: Sequence,
}

impl Lack {
    /// What a journal lacks that ends with `newest` and was written up to `written`;
    /// nothing where the mark does not say that, or is behind.
    pub fn of(newest: Sequence, written: Option<Sequence>) -> Option<Self> {
        let written = written.filter(|written| *written > newest)?;
        Some(Self { newest, written })
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the newest records of the journal, {} to {}, are missing: its write-ahead log was \
             removed or is damaged, or an older copy is in its place; a coordinator that starts \
             notes it and lets the tasks run again that they told of, or restore a newer backup",
            self.newest + 1,
            self.written
        )
    }
}

/// The newest record that was written to the journal at `path`, by its mark; none if
/// the mark does not say. Nothing is made or changed.
pub fn written(path: &Path) -> Option<Sequence> {
    Mark(File::open(name(path)).ok()?).read()
}

/// The mark of a journal.
#[derive(Debug)]
pub(super) struct Mark(File);

impl Mark {
    /// Opens the mark of the journal at `path`, making it when there is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(name(path)).map(Self)
    }

    /// The newest record that was written; none if the mark does not say.
    pub(super) fn read(&self) -> Option<Sequence> {
        let mut text = [0; DIGITS];
        self.0.read_exact_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text).ok()?.parse().ok()
    }

    /// Notes the newest record. Nothing depends on the mark, so that a full disk is no
    /// reason to stop.
    pub(super) fn write(&self, newest: Sequence) {
        let text = format!("{newest:0DIGITS$}\n");
        let _ = self.0.write_all_at(text.as_bytes(), 0);
    }
}

/// The file of the mark of a journal.
pub fn name(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ENDING);
    name.into()
}
