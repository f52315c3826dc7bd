//! What bounds each measured speed: where the time goes, by function, as PROFILES.md.
//!
//! Not here: how it is sampled, which is `perf`, and what is claimed, which is `claims`.

use std::ffi::OsStr;
use std::fmt::{Arguments, Write as _};
use std::path::Path;
use std::time::Instant;

use clap::ValueEnum;

use crate::claims::{self, Claim};
use crate::machine::{cores, kernel, processor, timed};
use crate::perf::{self, RATE, Recording, Samples};
use crate::results::save;
use crate::say;
use crate::stand::Stand;
use crate::workload;

/// Functions that are listed.
const LISTED: usize = 10;
/// Kinds of work below this share are not named.
const NAMED: f64 = 0.005;
/// Tasks of the orchestrator's run: some seconds.
const TASKS: u32 = 200_000;

/// What is profiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// Training the autoencoder.
    Pretraining,
    /// Embedding the whole space.
    Embedding,
    /// BO on 20,000 embeddings.
    BoSmall,
    /// BO on all 423,624 embeddings.
    BoLarge,
    /// No-op tasks, in the coordinator and in its worker.
    Orchestrator,
}

/// The samples of a process, and seconds from the first to the last.
type Profile = (Samples, f64);

/// Profiles the subjects and prints each; none stands for all, which are written to
/// PROFILES.md.
pub(crate) fn measure(subjects: &[Subject]) -> anyhow::Result<()> {
    let all = subjects.is_empty();
    let subjects = if all {
        Subject::value_variants()
    } else {
        subjects
    };
    let temporary = tempfile::tempdir()?;
    let directory = temporary.path();
    let numeric = |&subject: &Subject| subject != Subject::Orchestrator;
    if subjects.iter().any(numeric) {
        workload::prepare(directory)?;
    }
    let mut sections = Vec::new();
    for &subject in subjects {
        for (claim, profile) in profiles(subject, directory)? {
            let section = markdown(claim, &profile);
            say(&section);
            sections.push(section);
        }
    }
    if !all {
        return Ok(());
    }
    let head = format!(
        "# Profiles\n\nWritten by `make bench-profile`: {RATE} samples of each second of \
         processor time (`perf record -e cpu-clock`), by the function that ran. What is \
         inlined into vector code goes by the function that it is part of, with the module \
         whose lines ran; a function of the kernel comes with its system call. Machine: {}, \
         {} cores, Linux {}.\n\n",
        processor(),
        cores(),
        kernel()
    );
    save("PROFILES.md", &(head + &sections.join("\n")))
}

fn profiles(subject: Subject, directory: &Path) -> anyhow::Result<Vec<(&'static Claim, Profile)>> {
    let numeric = |claim| anyhow::Ok(vec![(claim, work(subject, directory)?)]);
    match subject {
        Subject::Pretraining => numeric(&claims::PRETRAINING),
        Subject::Embedding => numeric(&claims::EMBEDDING),
        Subject::BoSmall => numeric(&claims::BO_SMALL),
        Subject::BoLarge => numeric(&claims::BO_LARGE),
        Subject::Orchestrator => {
            let [coordinator, worker] = orchestrator(directory)?;
            Ok(vec![
                (&claims::COORDINATOR, coordinator),
                (&claims::WORKER, worker),
            ])
        }
    }
}

/// This program in a process of its own, at the work of a subject.
fn work(subject: Subject, directory: &Path) -> anyhow::Result<Profile> {
    let name = subject.to_possible_value();
    let name = name.as_ref().map_or("", |value| value.get_name());
    let program = std::env::current_exe()?;
    let arguments = ["--workload", name, "--files"].map(OsStr::new);
    let arguments = [&arguments[..], &[directory.as_os_str()]].concat();
    let file = directory.join("perf.data");
    let (seconds, recorded) = timed(|| perf::record(&program, &arguments, &file));
    recorded?;
    Ok((perf::read(&file)?, seconds))
}

/// The coordinator and its one worker while tasks run through them.
fn orchestrator(directory: &Path) -> anyhow::Result<[Profile; 2]> {
    let mut stand = Stand::start(&directory.join("stand"), 1)?;
    let [coordinator, worker] = stand.processes()?;
    let coordinator = Recording::of(coordinator, &directory.join("coordinator.data"))?;
    let worker = Recording::of(worker, &directory.join("worker.data"))?;
    let started = Instant::now();
    stand.rate("profiled", TASKS)?;
    let seconds = started.elapsed().as_secs_f64();
    Ok([
        (perf::read(&coordinator.stop()?)?, seconds),
        (perf::read(&worker.stop()?)?, seconds),
    ])
}

fn markdown(claim: &Claim, (samples, seconds): &Profile) -> String {
    let mut text = format!("## {}\n\n{}\n\n", claim.title, claim.text);
    let mut write = |line: Arguments<'_>| text.write_fmt(line).expect("a string takes every write");
    let busy = samples.total() as f64 / f64::from(RATE);
    write(format_args!(
        "{busy:.1} s of processor time in {seconds:.1} s. By kind of work: {}. By whose code \
         ran: {}.\n\n",
        listed(&claims::kinds(claim, samples)),
        listed(&samples.places())
    ));
    write(format_args!("| % | function | of |\n|---|---|---|\n"));
    for (named, place, number) in samples.functions.iter().take(LISTED) {
        let share = 100.0 * *number as f64 / samples.total() as f64;
        write(format_args!(
            "| {share:.1} | {named} | {} |\n",
            place.name()
        ));
    }
    text
}

/// Shares with their names, as a sentence has them.
fn listed(shares: &[(&str, f64)]) -> String {
    let named = shares.iter().filter(|(_, share)| *share >= NAMED);
    let named: Vec<String> = named
        .map(|(what, share)| format!("{what} {:.1} %", 100.0 * share))
        .collect();
    named.join(", ")
}
