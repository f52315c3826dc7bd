//! Faults of what the coordinator stores: an older backup in the place of its journal,
//! artifacts that are lost or rotten.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::clock::Clock;
use super::random::Random;
use crate::damage::bytes::{files, flip, in_file};
use crate::fleet::Fleet;
use crate::{journal, program};

/// The files of a journal.
const JOURNAL: [&str; 3] = ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"];

/// Kills the coordinator and puts the backup in `home` in the place of its journal; says
/// how many results were forgotten by that. Where there is no backup yet, it is made
/// instead, and nothing else happens.
pub fn roll_back(fleet: &mut Fleet, state: &Path, home: &Path) -> anyhow::Result<Option<usize>> {
    let backup = home.join("backup.sqlite");
    if !backup.exists() {
        // A full disk or a coordinator that is just starting may prevent it.
        command("backup", &backup, state)?;
        return Ok(None);
    }
    if !fleet.coordinator.signal(Signal::SIGKILL)? {
        return Ok(None);
    }
    let id = fleet.coordinator.id();
    fleet.coordinator.kill()?;
    id.into_iter().for_each(Clock::clean);
    let forgotten = replaced(state, &backup, home)?;
    fleet.coordinator.start()?;
    Ok(forgotten)
}

/// Puts a backup in the place of a journal that nobody has open; how many results it
/// lacks, or nothing where there was no room for it.
fn replaced(state: &Path, backup: &Path, home: &Path) -> anyhow::Result<Option<usize>> {
    let before = journal::stored_results(&state.join(JOURNAL[0]))?;
    let aside = home.join("journal-aside");
    fs::create_dir_all(&aside)?;
    move_all(state, &aside)?;
    let restored = command("restore", backup, state)?;
    if !restored {
        // There was no room for it.
        for name in JOURNAL {
            remove(&state.join(name))?;
        }
        move_all(&aside, state)?;
        return Ok(None);
    }
    fs::remove_dir_all(&aside)?;
    fs::remove_file(backup)?;
    let after = journal::stored_results(&state.join(JOURNAL[0]))?;
    Ok(Some(before.saturating_sub(after)))
}

/// `reprise journal`; whether it did what it was asked.
fn command(what: &str, file: &Path, state: &Path) -> io::Result<bool> {
    let mut command = Command::new(program("reprise"));
    command.args(["journal", what]).arg(file);
    let output = command.arg("--state").arg(state).output()?;
    if !output.status.success() && what == "backup" {
        remove(file)?;
    }
    Ok(output.status.success())
}

/// Moves the files of a journal; onto another disk, if need be.
fn move_all(from: &Path, to: &Path) -> io::Result<()> {
    for name in JOURNAL {
        let file = from.join(name);
        if file.exists() {
            fs::copy(&file, to.join(name))?;
            fs::remove_file(file)?;
        }
    }
    Ok(())
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes one file of the artifacts, or flips a bit of it; whether there was one.
pub fn spoil(artifacts: &Path, choice: u64, rotten: bool) -> io::Result<bool> {
    let found = files(artifacts)?;
    let mut random = Random::new(choice, 1);
    let Some(file) = found.get(random.below(found.len())) else {
        return Ok(false);
    };
    if rotten {
        return Ok(in_file(file, |bytes| flip(bytes, &mut random))?.is_some());
    }
    match fs::remove_file(file) {
        // The coordinator has removed it this very moment.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        done => done.map(|()| true),
    }
}
