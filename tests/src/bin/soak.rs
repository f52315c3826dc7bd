//! `make soak`: one coordinator under more tasks, workers, results and studies than it
//! should ever meet, with simulated workers. Prints what was measured; fails when a
//! task is missing or a limit is exceeded.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use reprise_tests::soak::export::Export;
use reprise_tests::soak::load::Load;
use reprise_tests::soak::{Figure, export, load, studies};

/// Measurements of one coordinator under load.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure; everything when not given.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Empty tasks of the soak, and finished trials that are exported.
    #[arg(long, default_value_t = 1_000_000)]
    tasks: u64,
    /// Simulated workers of the soak.
    #[arg(long, default_value_t = 200)]
    workers: usize,
    /// Slots that each of them offers.
    #[arg(long, default_value_t = 4)]
    slots: u32,
    /// How long a slot holds a task, in milliseconds. With 0 the coordinator is
    /// flooded, and what is measured is its rate, not its latency.
    #[arg(long, default_value_t = 200)]
    hold_ms: u64,
    /// Workers of one slot with tasks of a second.
    #[arg(long, default_value_t = 10_000)]
    crowd: usize,
    /// Seconds that the crowd works.
    #[arg(long, default_value_t = 60)]
    crowd_seconds: u64,
    /// Studies that are listed.
    #[arg(long, default_value_t = 10_000)]
    studies: u64,
    /// Keep the states in this directory instead of a temporary one.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Longest restart that passes, in seconds.
    #[arg(long, default_value_t = 3.0)]
    restart: f64,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Many tasks.
    Tasks,
    /// Many workers.
    Workers,
    /// The export of many trials.
    Export,
    /// Many studies.
    Studies,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let temporary = tempfile::tempdir()?;
    let home = args
        .directory
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    let mut holds = true;
    for part in Part::value_variants() {
        if !args.only.is_empty() && !args.only.contains(part) {
            continue;
        }
        let name = format!("{part:?}").to_lowercase();
        let place = home.join(&name);
        std::fs::create_dir_all(&place)?;
        say(&format!("{name}:"));
        let figures = match part {
            Part::Tasks => load::run(tasks(&args), &place).await?,
            Part::Workers => load::run(workers(&args), &place).await?,
            Part::Export => export::run(exported(&args), &place).await?,
            Part::Studies => {
                tokio::task::block_in_place(|| studies::run(args.studies, 100.0, &place))?
            }
        };
        for figure in &figures {
            say(&format!("  {figure}"));
        }
        holds &= figures.iter().all(Figure::holds);
    }
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        say("a limit is exceeded");
        ExitCode::FAILURE
    })
}

fn tasks(args: &Args) -> Load {
    Load {
        tasks: args.tasks,
        workers: args.workers,
        slots: args.slots,
        hold: Duration::from_millis(args.hold_ms),
        latency_ms: 100.0,
        restart: args.restart,
    }
}

fn workers(args: &Args) -> Load {
    Load {
        tasks: args.crowd as u64 * args.crowd_seconds,
        workers: args.crowd,
        slots: 1,
        hold: Duration::from_secs(1),
        // What is wanted of so many is not known before it is measured.
        latency_ms: f64::INFINITY,
        restart: args.restart,
    }
}

fn exported(args: &Args) -> Export {
    Export {
        trials: args.tasks,
        seconds: 60.0,
        megabytes: 300.0,
        latency_ms: 50.0,
    }
}

#[expect(clippy::print_stdout, reason = "the program's report")]
fn say(line: &str) {
    println!("{line}");
}
