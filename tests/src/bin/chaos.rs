//! `make chaos`: hundreds of faults against real programs, and the proof that
//! nothing was lost or counted twice. Exits with 0 only if all of it holds.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use clap::Parser;
use reprise_tests::chaos::LEFT_OUT;
use reprise_tests::chaos::clock::Clock;
use reprise_tests::chaos::disk::Disk;
use reprise_tests::chaos::random::Random;
use reprise_tests::chaos::round::{Round, study};
use reprise_tests::chaos::schedule::{Kind, SHARES, Schedule};
use reprise_tests::chaos::tally::Tally;
use reprise_tests::chaos::verdict::Baseline;
use reprise_tests::failover::failover;
use reprise_tests::{fleet, journal, program};
use tokio::signal::unix::{SignalKind, signal};

/// Faults at random against a coordinator and its workers.
#[derive(Debug, Parser)]
struct Options {
    /// Faults to inject; one that meets nothing does not count.
    #[arg(long, default_value_t = 2000)]
    faults: usize,
    /// Seed of the schedule; the time when not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Workers, each with one slot.
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// Average pause between two faults, in milliseconds.
    #[arg(long, default_value_t = 450)]
    pace_ms: u64,
    /// Minutes after which it has taken too long.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Seconds that the coordinator is away in the failover check; 0 leaves it out.
    #[arg(long, default_value_t = 20)]
    away: u64,
    /// A study of a quarter of the size, for a look in passing.
    #[arg(long)]
    brief: bool,
    /// Where to work; a fresh temporary directory when not given. It is removed
    /// when everything holds.
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// Set when the user has had enough: everything is then taken down in order.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let options = Options::parse();
    std::thread::spawn(watch_for_interrupt);
    let seed = options.seed.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(1, |since| since.as_secs())
    });
    match run(&options, seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!(
                "\nFAILED: {error:#}\nsame schedule again: make chaos CHAOS=\"--seed {seed}\""
            ));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, seed: u64) -> anyhow::Result<()> {
    let started = Instant::now();
    let temporary = tempfile::Builder::new()
        .prefix("reprise-chaos-")
        .tempdir()?;
    // Kept until everything holds.
    let home = match &options.directory {
        Some(directory) => directory.clone(),
        None => temporary.keep(),
    };
    std::fs::create_dir_all(&home)?;
    let work = || -> anyhow::Result<()> {
        say(&format!("seed {seed}"));
        let disks = Disk::can_mount();
        let shares = shares(disks);
        if options.away > 0 {
            away(&home.join("failover"), Duration::from_secs(options.away))?;
        }
        let baseline = baseline(&home.join("baseline"), study(options.brief))?;
        let tally = rounds(options, seed, disks, &shares, &home, &baseline)?;
        let took = started.elapsed();
        say(&format!(
            "\n{tally}\nseed {seed}, {:.0} s",
            took.as_secs_f64()
        ));
        let missing = tally.missing(&shares);
        ensure!(
            missing.is_empty(),
            "these faults never happened: {missing:?}"
        );
        ensure!(
            tally.total() >= options.faults,
            "only {} faults",
            tally.total()
        );
        let limit = Duration::from_secs(60 * options.minutes);
        ensure!(took <= limit, "took {took:?}, more than {limit:?}");
        say("every result is byte-identical to the undisturbed run's; none lost, none twice");
        Ok(())
    };
    work().with_context(|| format!("everything is kept in `{}`", home.display()))?;
    if options.directory.is_none() {
        std::fs::remove_dir_all(&home)?;
    }
    Ok(())
}

/// The kinds that this machine can inject.
fn shares(disks: bool) -> Vec<(Kind, usize)> {
    let clock = Clock::can_jump();
    if !disks {
        say(&format!(
            "{LEFT_OUT}full disks; mounting small ones needs root"
        ));
    }
    if !clock {
        say(&format!(
            "{LEFT_OUT}clock jumps; they need Debian's package `faketime`"
        ));
    }
    let possible = |kind: Kind| match kind {
        Kind::WorkerDiskFull | Kind::CoordinatorDiskFull => disks,
        Kind::ClockJump => clock,
        _ => true,
    };
    let shares = SHARES.iter().copied();
    shares.filter(|(kind, _)| possible(*kind)).collect()
}

/// The coordinator killed during pretraining and away for a while.
fn away(home: &Path, away: Duration) -> anyhow::Result<()> {
    std::fs::create_dir_all(home)?;
    let outcome = failover(home, away, |_| Ok(()))?;
    let (tasks, attempts) = (outcome.journal.tasks.len(), outcome.journal.attempts());
    ensure!(
        outcome.after.finished >= outcome.before.finished,
        "finished results are missing after the restart: {outcome:?}"
    );
    ensure!(
        tasks == attempts,
        "{tasks} tasks took {attempts} attempts: {outcome:?}"
    );
    say(&format!(
        "coordinator killed -9 and away for {} s while 2 seeds pretrained: {} of {} results \
         before, {} after, {tasks} tasks in {attempts} attempts",
        away.as_secs(),
        outcome.before.finished,
        outcome.before.planned,
        outcome.after.finished
    ));
    Ok(())
}

/// The study in peace.
fn baseline(home: &Path, study: String) -> anyhow::Result<Baseline> {
    std::fs::create_dir_all(home)?;
    std::fs::write(home.join("study.yaml"), &study)?;
    let started = Instant::now();
    let mut command = Command::new(program("reprise"));
    command
        .args(["run", "study.yaml", "--out", "out"])
        .env("REPRISE_WORKER", program("reprise-worker"))
        .current_dir(home);
    fleet::said(&mut command).context("run the study undisturbed")?;
    let journal = journal::read(&home.join(".reprise/journal.sqlite"))?;
    let mistakes = journal.mistakes(None);
    ensure!(mistakes.is_empty(), "undisturbed: {}", mistakes.join("\n"));
    say(&format!(
        "undisturbed: {} tasks in {:.0} s",
        journal.tasks.len(),
        started.elapsed().as_secs_f64()
    ));
    Ok(Baseline {
        study,
        out: home.join("out"),
        journal,
    })
}

fn rounds(
    options: &Options,
    seed: u64,
    disks: bool,
    shares: &[(Kind, usize)],
    home: &Path,
    baseline: &Baseline,
) -> anyhow::Result<Tally> {
    let pace = Duration::from_millis(options.pace_ms);
    let mut schedule = Schedule::new(seed, options.faults, shares, options.workers, pace);
    let mut tally = Tally::default();
    for number in 1.. {
        let (started, before) = (Instant::now(), tally.total());
        let place = home.join(format!("round-{number}"));
        let round = Round::new(
            &place,
            options.workers,
            disks,
            &mut schedule,
            &mut tally,
            Random::new(seed, 1000 + number),
            &INTERRUPTED,
        )?;
        round
            .run(baseline)
            .with_context(|| format!("round {number}"))?;
        say(&format!(
            "round {number}: {} faults in {:.0} s, {} left",
            tally.total() - before,
            started.elapsed().as_secs_f64(),
            schedule.left()
        ));
        if schedule.left() == 0 {
            break;
        }
    }
    Ok(tally)
}

fn watch_for_interrupt() -> std::io::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            asked = tokio::signal::ctrl_c() => asked?,
            _ = terminate.recv() => {}
        }
        INTERRUPTED.store(true, Ordering::Relaxed);
        Ok(())
    })
}

#[expect(clippy::print_stdout, reason = "what the program is run for")]
fn say(line: &str) {
    println!("{line}");
}
