//! The benchmark suite: each claim about speed as a ratio against a program that
//! this folder holds or a registry offers, in turns on the same cores.
//!
//! Not here: what is measured (a module a section), what bounds it (`profile`), and the
//! baselines themselves (`baseline.py`, `orchestrators.py`).

mod baseline;
mod claims;
mod cores;
mod encoding;
mod machine;
mod orchestrator;
mod pack;
mod pack_run;
mod perf;
mod plot;
mod pretraining;
mod profile;
mod report;
mod results;
mod samples;
mod search;
mod setting;
mod stand;
mod startup;
mod symbols;
mod versions;
mod workload;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use reprise_child::TorchDevice;
use serde_json::json;

use self::profile::Subject;
use self::report::{Section, markdown};
use self::results::{Results, save};
use self::setting::Setting;
use self::versions::Versions;

/// Measures this program against its baselines.
#[derive(Debug, Parser)]
struct Args {
    /// Only these sections; none are written to RESULTS.md then.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Interleaved repeats of every measurement.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    repeats: u32,
    /// Python with the packages of requirements.txt.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Measure packs of seeds on this device instead, `cpu`, `cuda` or `cuda:INDEX`, and
    /// write what is found to pack.json.
    #[arg(long, value_name = "DEVICE")]
    packs: Option<TorchDevice>,
    /// Largest pack that is tried.
    #[arg(long, default_value_t = 64, requires = "packs")]
    most: usize,
    /// Pretrain packs of so many seeds as well, from beginning to end.
    #[arg(long, value_name = "SEEDS", value_delimiter = ',', requires = "packs")]
    whole: Vec<usize>,
    /// Epochs of these.
    #[arg(long, default_value_t = 8, requires = "packs")]
    epochs: u32,
    /// Measure nothing: write RESULTS.md and the figure again from results.json and
    /// pack.json.
    #[arg(long, conflicts_with = "only")]
    rewrite: bool,
    /// Measure nothing: say where the time goes, by function, with `perf`; of all
    /// subjects into PROFILES.md when none is named.
    #[arg(long, value_enum, value_name = "SUBJECT", num_args = 0.., conflicts_with = "only")]
    profile: Option<Vec<Subject>>,
    /// Do the work of a profile, with what an earlier step left in `files`.
    #[arg(long, value_enum, hide = true, requires = "files")]
    workload: Option<Subject>,
    /// Directory of those files.
    #[arg(long, hide = true)]
    files: Option<PathBuf>,
    /// Run one search on this table and print the process's peak memory.
    #[arg(long, value_name = "FILE", hide = true, requires = "rows")]
    one_search: Option<PathBuf>,
    /// Run many searches on this table and print the same.
    #[arg(long, value_name = "FILE", hide = true, requires = "rows")]
    many_searches: Option<PathBuf>,
    /// Rows of that table.
    #[arg(long, hide = true)]
    rows: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Pretraining,
    Encoding,
    Search,
    Cores,
    Orchestrator,
    Startup,
    Plot,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let (Some(file), Some(rows)) = (&args.one_search, args.rows) {
        say(&search::alone(file, rows)?.to_string());
        return Ok(());
    }
    if let (Some(file), Some(rows)) = (&args.many_searches, args.rows) {
        say(&cores::alone(file, rows)?.to_string());
        return Ok(());
    }
    if let (Some(subject), Some(files)) = (args.workload, &args.files) {
        return workload::run(subject, files);
    }
    if let Some(subjects) = &args.profile {
        return profile::measure(subjects);
    }
    if let Some(device) = args.packs {
        let found = pack_run::measure(&pack_run::Plan {
            device,
            python: &args.python,
            repeats: args.repeats as usize,
            most: args.most,
            whole: &args.whole,
            epochs: args.epochs,
        })?;
        let found = serde_json::to_value(found)?;
        return save("pack.json", &format!("{found:#}\n"));
    }
    if args.rewrite {
        return Results::read()?.write();
    }
    let results = measure(&args)?;
    if args.only.is_empty() {
        results.write()?;
    }
    Ok(())
}

/// Measures what is wanted, and prints each section as soon as it is there.
fn measure(args: &Args) -> anyhow::Result<Results> {
    let repeats = args.repeats as usize;
    let wanted = |part| args.only.is_empty() || args.only.contains(&part);
    let temporary = tempfile::tempdir()?;
    let directory = temporary.path();
    let mut sections = Vec::new();
    let mut panels = Vec::new();
    let mut versions = Versions::default();

    // First, while this thread may still use every core.
    if wanted(Part::Orchestrator) {
        let section = orchestrator::measure(&args.python, directory, repeats, &mut versions)?;
        sections.push(shown(section));
    }
    if wanted(Part::Startup) {
        sections.push(shown(startup::measure(directory, repeats)?));
    }
    if wanted(Part::Plot) {
        panels.extend(orchestrator::sizes(directory, repeats)?);
    }
    if wanted(Part::Cores) {
        let setting = Setting::prepare()?;
        sections.push(shown(cores::measure(&setting, directory, repeats)?));
    }
    let numeric = [Part::Pretraining, Part::Encoding, Part::Search];
    if numeric.into_iter().any(wanted) || wanted(Part::Plot) {
        machine::pin([0])?;
        let setting = Setting::prepare()?;
        let mut baseline = setting.baseline(&args.python, directory)?;
        versions.note_all(&baseline.ask(&json!({"measure": "about"}))?);
        if wanted(Part::Pretraining) {
            let section = pretraining::measure(&setting, &mut baseline, repeats)?;
            sections.push(shown(section));
        }
        if wanted(Part::Encoding) {
            sections.push(shown(encoding::measure(&setting, &mut baseline, repeats)?));
        }
        if wanted(Part::Search) {
            let section = search::measure(&setting, &mut baseline, directory, repeats)?;
            sections.push(shown(section));
        }
        if wanted(Part::Plot) {
            panels.push(search::sizes(&setting, repeats)?);
        }
    }
    Ok(Results::of_this_machine(
        repeats, versions, sections, panels,
    ))
}

fn shown(section: Section) -> Section {
    say(&markdown(&section));
    section
}

#[expect(clippy::print_stdout, reason = "the program's report")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
