//! One case: a copy, its damage, `reprise run`, and what came of it.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use super::bytes::copy;
use super::injury::injure;
use super::kind::{Kind, Origin};
use super::stand::{Stand, kill_group, run};
use super::tally::Outcome;
use crate::chaos::random::Random;

/// Every so many cases one goes on with a study that was killed, which takes seconds,
/// where a finished one takes a fraction of one.
pub const KILLED_EVERY: usize = 10;

/// How long a run may take: many times what it needs.
const LIMIT: Duration = Duration::from_mins(3);

/// Between two looks at a run.
const GLANCE: Duration = Duration::from_millis(3);

/// What was done in a case, and what came of it.
#[derive(Debug)]
pub struct Trial {
    /// Its number.
    pub number: usize,
    /// What the state was copied from.
    pub origin: Origin,
    /// The kind of damage.
    pub kind: Kind,
    /// The damage in words.
    pub damage: String,
    /// What came of it.
    pub outcome: Outcome,
    /// What the program said.
    pub said: String,
}

/// The origin of a case.
fn origin(number: usize) -> Origin {
    if number.is_multiple_of(KILLED_EVERY) {
        Origin::Killed
    } else if number.is_multiple_of(2) {
        Origin::Compacted
    } else {
        Origin::Finished
    }
}

/// Does a case in `place`, which is made and stays.
pub fn attempt(stand: &Stand, place: &Path, seed: u64, number: usize) -> anyhow::Result<Trial> {
    let origin = origin(number);
    let mut random = Random::new(seed, number as u64);
    copy(&stand.original(origin), place)?;
    // What is compared must have been written now.
    let _ = fs::remove_dir_all(place.join("out"));
    let (kind, damage) = injure(&place.join("state"), origin, &stand.backup(), &mut random)?;

    let log = place.join("said");
    let output = File::create(&log)?;
    let mut child = run(place, 1)
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if started.elapsed() > LIMIT {
            kill_group(&mut child)?;
            break None;
        }
        std::thread::sleep(GLANCE);
    };
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let outcome = match status.map(|status| status.code()) {
        None => Outcome::Stuck,
        Some(None | Some(101)) => Outcome::Crashed,
        Some(Some(0)) => {
            if !stand.different(&place.join("out")).is_empty() {
                Outcome::Different
            } else if kind.loses_history() && !said.contains("journal") {
                Outcome::Silent
            } else {
                Outcome::Same
            }
        }
        Some(Some(_)) if said.contains("panicked at") => Outcome::Crashed,
        Some(Some(_)) if names_the_damage(&said) => Outcome::Refused,
        Some(Some(_)) => Outcome::Unnamed,
    };
    Ok(Trial {
        number,
        origin,
        kind,
        damage,
        outcome,
        said,
    })
}

/// Whether an error says which file or which part of the state is damaged.
fn names_the_damage(said: &str) -> bool {
    let error = said
        .split_once("error: ")
        .or_else(|| said.split_once("failed: "));
    let Some((_, error)) = error else {
        return false;
    };
    [
        "journal",
        "artifact",
        "spool",
        "snapshot",
        "differs from the one",
    ]
    .iter()
    .any(|name| error.contains(name))
}
