//! `make damage`: thousands of random damages to the state directory of a study, each
//! followed by `reprise run`. Exits with 0 only if none of them gave another table, an
//! error without a name, a panic or no end.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Parser;
use reprise_tests::damage::stand::Stand;
use reprise_tests::damage::tally::Tally;
use reprise_tests::damage::trial::{Trial, attempt};

/// Failing cases that are shown and kept.
const SHOWN: usize = 30;

/// Random damage to the state of a study.
#[derive(Debug, Parser)]
struct Options {
    /// Cases.
    #[arg(long, default_value_t = 10_000)]
    cases: usize,
    /// Seed of all cases.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of the first case: with `--cases 1`, that case alone.
    #[arg(long, default_value_t = 1)]
    first: usize,
    /// Cases at once; one a core when not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Minutes after which no further case is begun, and the run fails.
    #[arg(long, default_value_t = 120)]
    minutes: u64,
    /// Where to work; a fresh temporary directory when not given. It is removed when
    /// everything holds.
    #[arg(long)]
    directory: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("\nFAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    let temporary = tempfile::Builder::new()
        .prefix("reprise-damage-")
        .tempdir()?;
    let home = match &options.directory {
        Some(directory) => directory.clone(),
        None => temporary.keep(),
    };
    say(&format!("seed {}, in `{}`", options.seed, home.display()));
    let started = Instant::now();
    let stand = Stand::new(&home.join("originals"))?;
    say(&format!(
        "the study is ready after {:.0} s",
        started.elapsed().as_secs_f64()
    ));
    let (tally, failed) = all(options, &stand, &home)?;
    say(&format!(
        "\n{tally}\n{} cases in {:.0} s",
        tally.total(),
        started.elapsed().as_secs_f64()
    ));
    ensure!(
        tally.total() == options.cases,
        "only {} of {} cases within {} min",
        tally.total(),
        options.cases,
        options.minutes
    );
    ensure!(
        failed == 0 && tally.bad() == 0,
        "{} cases went wrong; the first are kept in `{}`; one again: \
         make damage DAMAGE=\"--seed {} --cases 1 --first NUMBER\"",
        tally.bad(),
        home.display(),
        options.seed
    );
    say("every table is the undisturbed run's, or the damage was named");
    std::fs::remove_dir_all(&home)?;
    Ok(())
}

/// Does all cases; returns the counts, and how many could not be done at all.
fn all(options: &Options, stand: &Stand, home: &Path) -> anyhow::Result<(Tally, usize)> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = options.jobs.unwrap_or(cores).max(1);
    let deadline = Instant::now() + Duration::from_secs(60 * options.minutes);
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    let failed = AtomicUsize::new(0);
    let work = || -> anyhow::Result<()> {
        while Instant::now() < deadline {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= options.cases {
                break;
            }
            let number = options.first + place;
            let directory = home.join(format!("case-{number}"));
            let trial = attempt(stand, &directory, options.seed, number)?;
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.add(&trial);
            let done = tally.total();
            let keep = !trial.outcome.is_good() && tally.bad() <= SHOWN;
            drop(tally);
            if keep {
                say(&describe(&trial));
            } else {
                std::fs::remove_dir_all(&directory)?;
            }
            if done.is_multiple_of(500) {
                say(&format!("{done} cases"));
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                    say(&format!("a case could not be done: {error:#}"));
                }
                Err(_) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((tally, failed.into_inner()))
}

fn describe(trial: &Trial) -> String {
    let last = trial.said.lines().rev().find(|line| !line.is_empty());
    format!(
        "case {} ({}, {}): {}\n    {}\n    said: {}",
        trial.number,
        trial.origin,
        trial.kind,
        trial.outcome,
        trial.damage,
        last.unwrap_or("nothing")
    )
}

#[expect(clippy::print_stdout, reason = "what the program is run for")]
fn say(line: &str) {
    println!("{line}");
}
