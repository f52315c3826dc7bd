//! How far a journal was written, in a small file beside it. A write-ahead log that is
//! lost, and an older copy in the place of the file, leave a whole journal that only
//! lacks its newest records; by the mark that is noticed.
//!
//! The mark is written after each commit and never flushed: after a power cut it may be
//! behind the journal, which says nothing.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::super::Sequence;

/// What its name adds to that of the journal.
const ENDING: &str = "-newest";

/// Digits of the number of a record.
const DIGITS: usize = 20;

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
