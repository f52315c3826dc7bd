//! The benchmark suite: each claim about speed as a ratio against a program that
//! this folder holds or a registry offers, in turns on the same cores.
//!
//! Not here: what is measured (a module a section), and the baselines themselves
//! (`baseline.py`, `orchestrators.py`).

mod baseline;
mod encoding;
mod machine;
mod orchestrator;
mod packs;
mod plot;
mod pretraining;
mod report;
mod samples;
mod search;
mod setting;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use reprise_torch::autoencoder::TorchDevice;
use serde_json::json;

use self::report::{Section, markdown};
use self::setting::{Setting, script};

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
    /// Measure packs of seeds on this device instead, `cpu` or `cuda:INDEX`, and write
    /// what is found to pack.json.
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    packs: Option<TorchDevice>,
    /// Largest pack that is tried.
    #[arg(long, default_value_t = 64, requires = "packs")]
    most: usize,
    /// Pretrain a pack of so many seeds as well, from beginning to end.
    #[arg(long, value_name = "SEEDS", default_value_t = 0, requires = "packs")]
    whole: usize,
    /// Run one search on this table and print the process's peak memory.
    #[arg(long, value_name = "FILE", hide = true, requires = "rows")]
    one_search: Option<PathBuf>,
    /// Rows of that table.
    #[arg(long, hide = true)]
    rows: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Pretraining,
    Encoding,
    Search,
    Orchestrator,
    Plot,
}

fn device(name: &str) -> Result<TorchDevice, String> {
    let index = name.strip_prefix("cuda:").map(str::parse);
    match (name, index) {
        ("cpu", _) => Ok(TorchDevice::Cpu),
        (_, Some(Ok(index))) => Ok(TorchDevice::Cuda(index)),
        _ => Err("expected `cpu` or `cuda:INDEX`".to_owned()),
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let (Some(file), Some(rows)) = (&args.one_search, args.rows) {
        say(&search::alone(file, rows)?.to_string());
        return Ok(());
    }
    let repeats = args.repeats as usize;
    let wanted = |part| args.only.is_empty() || args.only.contains(&part);
    let temporary = tempfile::tempdir()?;
    let directory = temporary.path();
    if let Some(device) = args.packs {
        let sizes = (args.most, args.whole);
        let found = packs::measure(device, &args.python, directory, sizes, repeats)?;
        return save("pack.json", &format!("{found:#}\n"));
    }
    let mut sections = Vec::new();
    let mut panels = Vec::new();
    let mut versions = json!({});

    // First, while this thread may still use every core.
    if wanted(Part::Orchestrator) {
        sections.push(shown(orchestrator::measure(
            &args.python,
            directory,
            repeats,
        )?));
    }
    if wanted(Part::Plot) {
        panels.extend(orchestrator::sizes(directory, repeats)?);
    }
    let numeric = [Part::Pretraining, Part::Encoding, Part::Search];
    if numeric.into_iter().any(wanted) || wanted(Part::Plot) {
        machine::pin([0])?;
        let setting = Setting::prepare()?;
        let mut baseline = setting.baseline(&args.python, directory)?;
        versions = baseline.ask(&json!({"measure": "about"}))?;
        if wanted(Part::Pretraining) {
            sections.push(shown(pretraining::measure(
                &setting,
                &mut baseline,
                repeats,
            )?));
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
    if args.only.is_empty() {
        write(&sections, &versions, &panels, repeats)?;
    }
    Ok(())
}

/// Prints a section as soon as it is there.
fn shown(section: Section) -> Section {
    say(&markdown(&section));
    section
}

/// Writes RESULTS.md, its numbers as JSON, and the figure.
fn write(
    sections: &[Section],
    versions: &serde_json::Value,
    panels: &[plot::Panel],
    repeats: usize,
) -> anyhow::Result<()> {
    let about = json!({
        "processor": machine::processor(),
        "cores": machine::cores(),
        "repeats": repeats,
        "reprise": env!("CARGO_PKG_VERSION"),
        "baseline": versions,
    });
    let mut text = format!(
        "# Benchmarks\n\nWritten by `make bench`; medians, with the range in brackets, of \
         {repeats} repeats that alternate with the baseline. A ratio is taken repeat by repeat, and is \
         above 1 where Reprise is better. Machine: {}, {} cores. Versions: `{}`.\n\n\
         ![cost against work](scaling.svg)\n\n",
        machine::processor(),
        machine::cores(),
        versions
    );
    for section in sections {
        text.push_str(&markdown(section));
        text.push('\n');
    }
    save("RESULTS.md", &text)?;
    let numbers = json!({"machine": about, "sections": sections, "panels": panels});
    save("results.json", &format!("{numbers:#}\n"))?;
    save("scaling.svg", &plot::svg(panels))
}

fn save(name: &str, text: &str) -> anyhow::Result<()> {
    let path: &Path = &script(name);
    fs::write(path, text).with_context(|| format!("write `{}`", path.display()))
}

#[expect(clippy::print_stdout, reason = "the program's report")]
fn say(line: &str) {
    println!("{line}");
}
