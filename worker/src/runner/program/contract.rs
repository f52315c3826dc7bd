//! What a program is told: its arguments, its environment and the task file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use reprise_domain::program::{Needs, SEED, Scalar, ShippedFile, TemplateError, expand};
use reprise_domain::{AttemptId, ProgramSpec};
use serde::Serialize;

use super::workspace::Workspace;
use super::{GRACE, ProgramSettings, seeds};

/// Version of the task file; raised when a field changes its meaning.
const VERSION: u32 = 1;

/// Names of the environment that are passed on as the worker has them.
const KEPT: [&str; 3] = ["PATH", "LANG", "LD_LIBRARY_PATH"];

/// Names the cards that a process sees.
const CARDS: &str = "CUDA_VISIBLE_DEVICES";

/// Names by which libraries are told how many threads to use.
const THREADS: [&str; 4] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
];

/// The name that marks every process of an attempt, whose value is the attempt's
/// directory.
pub(super) const MARK: &str = "REPRISE_DIRECTORY";

/// The arguments with all placeholders replaced.
pub(super) fn arguments(
    spec: &ProgramSpec,
    attempt: AttemptId,
) -> Result<Vec<String>, TemplateError> {
    let value = |name: &str| match name.strip_prefix("seed.") {
        Some(name) => Some(seeds::derive(attempt.task, name).to_string()),
        None if name == SEED => Some(spec.seed.to_string()),
        None => spec.parameters.get(name).map(Scalar::to_string),
    };
    let arguments = spec.command.iter();
    arguments.map(|argument| expand(argument, value)).collect()
}

/// The whole environment of a program.
pub(super) fn environment(
    spec: &ProgramSpec,
    attempt: AttemptId,
    workspace: &Workspace,
    settings: &ProgramSettings,
    resumed: Option<&str>,
) -> Vec<(String, OsString)> {
    let mut all: BTreeMap<String, OsString> = BTreeMap::new();
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            all.insert(name.to_owned(), value);
        }
    }
    let mut set = |name: &str, value: OsString| {
        all.insert(name.to_owned(), value);
    };
    set("HOME", workspace.work().into());
    set("TMPDIR", workspace.temporary().into());
    for name in THREADS {
        set(name, spec.needs.cores.to_string().into());
    }
    // The order of sets and dictionaries of a Python program is part of its result.
    set("PYTHONHASHSEED", "0".into());
    let card = settings.card.filter(|_| spec.needs.gpus > 0);
    let card = card.map_or_else(String::new, |index| {
        let offered = std::env::var(CARDS).unwrap_or_default();
        visible_card(&offered, index)
    });
    set(CARDS, card.into());
    set(MARK, workspace.root().into());
    set("REPRISE_TASK", workspace.task().into());
    set("REPRISE_METRICS", workspace.metrics().into());
    set("REPRISE_RESULT", workspace.result().into());
    set("REPRISE_ARTIFACTS", workspace.artifacts().into());
    set("REPRISE_CHECKPOINT", workspace.checkpoint().into());
    set("REPRISE_GRACE_S", GRACE.as_secs().to_string().into());
    set("REPRISE_SEED", spec.seed.to_string().into());
    set("REPRISE_ATTEMPT", attempt.number.to_string().into());
    let resumed = resumed.map(|name| workspace.checkpoint().join(name));
    set("REPRISE_RESUME", resumed.unwrap_or_default().into());
    all.into_iter().collect()
}

/// What names a card that this worker sees under an index. A worker that was given some
/// of the machine's cards sees these alone, and counts them from 0.
fn visible_card(offered: &str, index: u32) -> String {
    let mut names = offered
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let named = names.nth(index as usize);
    named.map_or_else(|| index.to_string(), str::to_owned)
}

/// The task file.
#[derive(Debug, Serialize)]
struct TaskFile<'a> {
    version: u32,
    task: String,
    attempt: u32,
    parameters: &'a BTreeMap<String, Scalar>,
    /// The repetition seed.
    seed: u64,
    /// Seeds that are derived from the task's key.
    seeds: BTreeMap<&'static str, u32>,
    metrics: &'a [String],
    budget: Budget,
    inputs: &'a [ShippedFile],
    devices: Devices,
    /// The generation in `REPRISE_CHECKPOINT` that the attempt goes on from.
    resume: Option<&'a str>,
}

/// What the attempt may use.
#[derive(Debug, Serialize)]
struct Budget {
    cores: u32,
    memory_bytes: Option<u64>,
    output_bytes: Option<u64>,
    open_files: Option<u32>,
    grace_seconds: u64,
}

#[derive(Debug, Serialize)]
struct Devices {
    cores: u32,
    cuda: Vec<u32>,
}

/// Writes the task file.
pub(super) fn write_task(
    path: &Path,
    spec: &ProgramSpec,
    attempt: AttemptId,
    settings: &ProgramSettings,
    resume: Option<&str>,
) -> io::Result<()> {
    let Needs { cores, gpus, .. } = spec.needs;
    let limits = spec.limits;
    let file = TaskFile {
        version: VERSION,
        task: attempt.task.to_string(),
        attempt: attempt.number,
        parameters: &spec.parameters,
        seed: spec.seed.0,
        seeds: seeds::all(attempt.task),
        metrics: &spec.metrics,
        budget: Budget {
            cores,
            memory_bytes: limits.memory_bytes,
            output_bytes: limits.output_bytes,
            open_files: limits.open_files,
            grace_seconds: GRACE.as_secs(),
        },
        inputs: &spec.files,
        devices: Devices {
            cores,
            cuda: settings.card.filter(|_| gpus > 0).into_iter().collect(),
        },
        resume,
    };
    let mut bytes = serde_json::to_vec_pretty(&file)?;
    bytes.push(b'\n');
    std::fs::write(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_the_name_that_the_worker_was_given() {
        let check = |offered, index, expected: &str| {
            assert_eq!(visible_card(offered, index), expected, "{offered}");
        };
        check("", 1, "1");
        check("3", 0, "3");
        check("2, GPU-5ebe", 1, "GPU-5ebe");
        check("2", 1, "1");
    }
}
