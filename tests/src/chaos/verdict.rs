//! After a round: everything comes to rest, then files and journal are compared
//! with those of the undisturbed run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;

use super::site::Site;
use crate::journal::{self, Journal};
use crate::process::wait_until;
use crate::spool;

/// Files that must not differ by a byte. `manifest.json` counts attempts and names
/// hosts, so it is left out.
pub const FILES: [&str; 8] = [
    "results.json",
    "table.csv",
    "table.json",
    "table.md",
    "table.tex",
    "pretrain.csv",
    "pretrain.md",
    "curves.svg",
];

/// How long workers may take to deliver what they still have.
const DELIVERY: Duration = Duration::from_mins(1);

/// A worker that was asked to leave is gone by then, or does not leave.
pub const LEAVING: Duration = Duration::from_secs(30);

/// The study in peace.
#[derive(Debug)]
pub struct Baseline {
    /// The study.
    pub study: String,
    /// Where its files are.
    pub out: PathBuf,
    /// Its journal.
    pub journal: Journal,
}

/// Lets a finished study come to rest and exports it. The coordinator is killed
/// and started once more, so that everything must come from the journal.
pub fn settle(site: &mut Site) -> anyhow::Result<PathBuf> {
    site.kill_coordinator()?;
    site.fleet.serve()?;
    // What workers still have reaches the coordinator now, and changes nothing.
    let spools = site.spools();
    wait_until(DELIVERY, "every worker has delivered what it had", || {
        let mut empty = true;
        for (worker, spool) in site.fleet.workers.iter_mut().zip(&spools) {
            if spool::waiting(spool)? > 0 {
                empty = false;
                if !worker.is_running()? {
                    worker.start()?;
                }
            }
        }
        Ok(empty)
    })?;
    for worker in &mut site.fleet.workers {
        if worker.signal(Signal::SIGTERM)? {
            worker.wait(LEAVING)?;
        }
    }
    let out = site.fleet.export("chaos")?;
    site.stop()?;
    Ok(out)
}

/// Compares a settled study with the undisturbed one.
pub fn compare(site: &Site, out: &Path, baseline: &Baseline) -> anyhow::Result<Journal> {
    let journal = journal::read(&site.fleet.journal())?;
    let mut mistakes = journal.mistakes(Some(&baseline.journal));
    for name in FILES {
        if read(&baseline.out.join(name))? != read(&out.join(name))? {
            mistakes.push(format!("`{name}` differs from the undisturbed run's"));
        }
    }
    ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    Ok(journal)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read `{}`", path.display()))
}
