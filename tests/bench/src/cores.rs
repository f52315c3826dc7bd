//! What one process gains by several cores: searches side by side on one embedding, and
//! an embedding made by several threads. The baseline is the same on one core.
//!
//! Not here: several processes, and programs of others.

use std::thread;

use anyhow::Context as _;
use reprise_domain::Seed;
use reprise_model::embed;
use reprise_tests::process::memory_kb;

use crate::machine::timed;
use crate::report::{Better, Row, Section};
use crate::samples::Samples;
use crate::search::{bayesian_runs_from, peak_of};
use crate::setting::{Setting, Table};

/// Slots of the process whose memory is measured.
const SLOTS: u64 = 16;

/// Most memory that it may take, in megabytes.
const MEMORY: f64 = 300.0;

/// Measures on all cores of this thread.
pub(crate) fn measure(
    setting: &Setting,
    directory: &std::path::Path,
    repeats: usize,
) -> anyhow::Result<Section> {
    let cores = thread::available_parallelism()?.get();
    let size = setting.space.len();
    let table = setting.table(size)?;
    let file = directory.join("table-of-all");
    table.write(&file)?;
    let [mut side_by_side, mut one_run, mut embedded, mut by_one] = [const { Samples::new() }; 4];
    for repeat in 0..repeats as u64 {
        let first = repeat * cores as u64;
        let (seconds, done) = timed(|| bayesian_runs_from(&table, Seed(first), 1));
        done?;
        one_run.push(60.0 / seconds);
        let (seconds, done) = timed(|| together(&table, first, cores as u64, cores));
        done?;
        side_by_side.push(60.0 * cores as f64 / seconds);

        let (seconds, found) = timed(|| embed::embed(&setting.params, &setting.graphs));
        by_one.push(found?.len() as f64 / seconds);
        let (seconds, found) = timed(|| embed::embed_on(cores, &setting.params, &setting.graphs));
        embedded.push(found?.len() as f64 / seconds);
    }
    let memory = (0..repeats).map(|_| peak_of(&file, size, "--many-searches"));
    let memory: anyhow::Result<Samples> = memory.collect();
    Ok(Section {
        title: "One process, all cores".to_owned(),
        about: format!(
            "{cores} cores against one, in turns, on the {size} embeddings of NAS-Bench-101. \
             Memory: {SLOTS} BO runs of 766 queries at once on one embedding in one process."
        ),
        rows: vec![
            Row::alone(
                "arch2vec-BO, a run on each core",
                "runs/min",
                Better::Higher,
                side_by_side,
            )
            .against(one_run),
            Row::alone("embedding", "graphs/s", Better::Higher, embedded).against(by_one),
            Row::alone(
                format!("process of {SLOTS} such runs at once"),
                "MB at most",
                Better::Lower,
                memory?,
            )
            .within(MEMORY),
        ],
    })
}

/// So many BO runs on one table, `cores` at once.
fn together(table: &Table, first: u64, runs: u64, cores: usize) -> anyhow::Result<()> {
    let each = runs.div_ceil(cores as u64);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores as u64)
            .map(|core| {
                let from = first + core * each;
                let runs = each.min((first + runs).saturating_sub(from));
                scope.spawn(move || bayesian_runs_from(table, Seed(from), runs))
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            let ended = thread.join().map_err(|_| anyhow::anyhow!("a run panicked"));
            ended?
        })
    })
}

/// The runs of [`SLOTS`] slots on a table in a file: the process's peak memory in
/// megabytes.
pub(crate) fn alone(file: &std::path::Path, rows: usize) -> anyhow::Result<serde_json::Value> {
    let table = Table::read(file, rows)?;
    together(&table, 0, SLOTS, SLOTS as usize)?;
    let memory = memory_kb(std::process::id(), "VmHWM:").context("ask for the peak memory")?;
    Ok(serde_json::json!({"memory": memory / 1e3}))
}
