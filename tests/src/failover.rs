//! A coordinator that is killed while its workers pretrain, and comes back later:
//! used by a test with a short absence and by `make chaos` with a long one.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::fleet::{Fleet, START, Standing};
use crate::journal::{self, Journal};
use crate::process::wait_until;

/// Two seeds on two workers for longer than the coordinator is away, after two
/// tasks that are over soon.
fn study(away: Duration) -> String {
    // An epoch takes about a second.
    let epochs = 6 + away.as_secs();
    format!(
        "version: 1
name: failover
space: nasbench201
pretrain:
  - {{model: arch2vec, seeds: 1..2, epochs: 1, batch: 32, latent-points: 100}}
  - {{model: arch2vec-no-kl, seeds: 1..2, epochs: {epochs}, batch: 32, latent-points: 100}}
"
    )
}

/// How long the study may take from the restart on.
const REST: Duration = Duration::from_mins(5);

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Where the study stood when the coordinator was killed.
    pub before: Standing,
    /// Where it stood when the coordinator was back.
    pub after: Standing,
    /// The journal in the end.
    pub journal: Journal,
}

/// Kills the coordinator while two long attempts run, starts it again after
/// `away`, and lets the study end. `meanwhile` disturbs the rest of the fleet
/// while there is no coordinator.
pub fn failover(
    home: &Path,
    away: Duration,
    meanwhile: impl FnOnce(&mut Fleet) -> io::Result<()>,
) -> anyhow::Result<Outcome> {
    let mut fleet = Fleet::local(home, 2)?;
    fleet.serve()?;
    fleet.submit(&study(away))?;
    fleet.work()?;
    let mut before = Standing::default();
    wait_until(START, "two of four tasks are finished, two run", || {
        before = fleet.standing("failover")?;
        Ok(before.finished == 2 && before.running == 2)
    })?;
    fleet.coordinator.kill()?;
    let back = Instant::now() + away;
    meanwhile(&mut fleet)?;
    // The absence itself is what is tested; there is no condition to wait for.
    thread::sleep(back.saturating_duration_since(Instant::now()));
    fleet.serve()?;
    let after = fleet.standing("failover")?;
    fleet.finish("failover", REST)?;
    let out = fleet.export("failover")?;
    let listed = fs::read_to_string(out.join("pretrain.csv")).context("read the results")?;
    let of_a_seed = |line: &&str| {
        let seed = line.split(',').nth(1);
        seed.is_some_and(|seed| seed.parse::<u64>().is_ok())
    };
    ensure!(
        listed.lines().filter(of_a_seed).count() == 4,
        "not every result is listed:\n{listed}"
    );
    fleet.coordinator.kill()?;
    let journal = journal::read(&fleet.journal())?;
    let mistakes = journal.mistakes(None);
    ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    Ok(Outcome {
        before,
        after,
        journal,
    })
}
