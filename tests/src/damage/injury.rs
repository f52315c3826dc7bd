//! One case's damage: drawn at random and done to a state directory.

use std::fs;
use std::path::{Path, PathBuf};

use super::bytes::{change_digit, cut, files, flip, in_file, zero_page};
use super::kind::{Kind, Origin};
use super::rows::{RECORDS, RESULTS, RowDamage, damage};
use crate::chaos::random::Random;
use crate::journal::newest;

/// How often another kind is drawn where one met nothing.
const DRAWS: usize = 50;

/// Damages `state`, which was copied from `origin`; says what was done.
pub fn injure(
    state: &Path,
    origin: Origin,
    backup: &Path,
    random: &mut Random,
) -> anyhow::Result<(Kind, String)> {
    let kinds = origin.kinds();
    for _ in 0..DRAWS {
        let kind = kinds[random.below(kinds.len())];
        if let Some(done) = one(state, kind, backup, random)? {
            return Ok((kind, done));
        }
    }
    anyhow::bail!("nothing in `{}` could be damaged", state.display())
}

fn one(
    state: &Path,
    kind: Kind,
    backup: &Path,
    random: &mut Random,
) -> anyhow::Result<Option<String>> {
    let journal = state.join("journal.sqlite");
    let log = state.join("journal.sqlite-wal");
    let rows = |kind, random| damage(&journal, kind, random);
    Ok(match kind {
        Kind::JournalFlip => in_file(&journal, |bytes| flip(bytes, random))?,
        Kind::JournalCut => in_file(&journal, |bytes| cut(bytes, random))?,
        Kind::JournalZeroPage => in_file(&journal, |bytes| zero_page(bytes, random))?,
        Kind::JournalDigit => in_file(&journal, |bytes| change_digit(bytes, random))?,
        Kind::JournalEmpty => {
            without_journal(state)?;
            fs::write(&journal, b"")?;
            Some("the journal is empty".to_owned())
        }
        Kind::JournalRemoved => {
            without_journal(state)?;
            Some("the journal is gone".to_owned())
        }
        Kind::JournalBackup => {
            without_journal(state)?;
            fs::copy(backup, &journal)?;
            Some("an older backup is in the journal's place".to_owned())
        }
        Kind::LogFlip => in_file(&log, |bytes| flip(bytes, random))?,
        Kind::LogCut => in_file(&log, |bytes| cut(bytes, random))?,
        Kind::LogRemoved => log_removed(&journal, &log)?,
        Kind::ResultDigit => rows(RowDamage::Digit(RESULTS), random)?,
        Kind::ResultDeleted => rows(RowDamage::Deleted(RESULTS), random)?,
        Kind::ResultSwapped => rows(RowDamage::Swapped(RESULTS), random)?,
        Kind::ResultsDropped => rows(RowDamage::Dropped(RESULTS), random)?,
        Kind::RecordDigit => rows(RowDamage::Digit(RECORDS), random)?,
        Kind::RecordDeleted => rows(RowDamage::Deleted(RECORDS), random)?,
        Kind::RecordRepeated => rows(RowDamage::Repeated, random)?,
        Kind::SnapshotFlip => rows(RowDamage::SnapshotFlipped, random)?,
        Kind::SnapshotCut => rows(RowDamage::SnapshotCut, random)?,
        Kind::SnapshotRemoved => rows(RowDamage::SnapshotRemoved, random)?,
        Kind::ArtifactFlip => artifact(state, random, |path, random| {
            in_file(path, |bytes| flip(bytes, random))
        })?,
        Kind::ArtifactCut => artifact(state, random, |path, random| {
            in_file(path, |bytes| cut(bytes, random))
        })?,
        Kind::ArtifactRemoved => artifact(state, random, |path, _| removed(path))?,
        Kind::ArtifactsRemoved => {
            for place in ["artifacts", "workers"] {
                remove_directory(&state.join(place))?;
            }
            Some("all artifacts and workers' directories are gone".to_owned())
        }
        Kind::SpoolFlip => spool(state, random, |path, random| {
            in_file(path, |bytes| flip(bytes, random))
        })?,
        Kind::SpoolDigit => spool(state, random, |path, random| {
            in_file(path, |bytes| change_digit(bytes, random))
        })?,
        Kind::SpoolCut => spool(state, random, |path, random| {
            in_file(path, |bytes| cut(bytes, random))
        })?,
    })
}

fn without_journal(state: &Path) -> std::io::Result<()> {
    for name in ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"] {
        removed(&state.join(name))?;
    }
    Ok(())
}

fn removed(path: &Path) -> std::io::Result<Option<String>> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        done => done.map(|()| Some(format!("`{}` removed", path.display()))),
    }
}

/// Removes the log of a journal; nothing is done to one whose records are all in the
/// file.
fn log_removed(journal: &Path, log: &Path) -> anyhow::Result<Option<String>> {
    let before = newest(journal)?;
    let done = removed(log)?;
    let keeps_all = newest(journal).is_ok_and(|after| after == before);
    Ok(done.filter(|_| !keeps_all))
}

fn remove_directory(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Damages one file of the artifacts, of the coordinator's or of a worker's. In half
/// of the cases the workers' directories go first, as they do where the study goes on
/// on another machine.
fn artifact(
    state: &Path,
    random: &mut Random,
    damage: impl FnOnce(&Path, &mut Random) -> std::io::Result<Option<String>>,
) -> std::io::Result<Option<String>> {
    let moved = random.once_in(2);
    if moved {
        remove_directory(&state.join("workers"))?;
    }
    let mut found = files(&state.join("artifacts"))?;
    found.extend(files(&state.join("workers"))?.into_iter().filter(|path| {
        let under = |name: &str| path.components().any(|part| part.as_os_str() == name);
        under("artifacts") || under("checkpoints")
    }));
    let Some(path) = chosen(&found, random) else {
        return Ok(None);
    };
    let done = damage(&path, random)?;
    Ok(done.map(|done| {
        if moved {
            format!("{done}; workers moved")
        } else {
            done
        }
    }))
}

fn spool(
    state: &Path,
    random: &mut Random,
    damage: impl FnOnce(&Path, &mut Random) -> std::io::Result<Option<String>>,
) -> std::io::Result<Option<String>> {
    let mut found = files(&state.join("workers"))?;
    found.retain(|path| path.components().any(|part| part.as_os_str() == "spool"));
    match chosen(&found, random) {
        Some(path) => damage(&path, random),
        None => Ok(None),
    }
}

fn chosen(found: &[PathBuf], random: &mut Random) -> Option<PathBuf> {
    found.get(random.below(found.len())).cloned()
}
