//! The two published searches over an embedding: a whole run of each, against the
//! baseline's time for the same number of rounds or steps.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use reprise_domain::protocol::{Protocol, Quirks};
use reprise_domain::{
    Accuracy, ArchIndex, BenchmarkRef, Budget, Dataset, Digest, EncodingName, MethodSpec,
    SearchSpec, Seconds, Seed, SpaceName, TaskKey, Trajectory,
};
use reprise_search::method;
use reprise_search::rng::Stream;
use reprise_search::space::{GraphDims, SearchSpace};
use reprise_search::trial::{Guiding, Oracle, OracleError, Reported, run_trial};
use reprise_tests::process::memory_kb;
use serde_json::json;

use crate::baseline::Baseline;
use crate::machine::timed;
use crate::plot::Panel;
use crate::report::{Better, Row, Section};
use crate::samples::Samples;
use crate::setting::{Setting, Table};

/// Queries that the published budget of 1.5 million simulated seconds buys.
const BO_QUERIES: u32 = 766;
const RL_QUERIES: u32 = 750;

/// Rounds of that run, and those whose time stands for all: it grows evenly.
const ROUNDS: f64 = 150.0;
const TIMED_ROUNDS: [u32; 5] = [15, 45, 75, 105, 135];

/// Steps of REINFORCE that the baseline is timed over.
const TIMED_STEPS: u32 = 48;

/// Rows of the smaller table.
pub(crate) const SMALL: usize = 20_000;

/// Measures both searches on 20,000 rows and on the whole space.
pub(crate) fn measure(
    setting: &Setting,
    baseline: &mut Baseline,
    directory: &Path,
    repeats: usize,
) -> anyhow::Result<Section> {
    let mut rows = Vec::new();
    for size in [SMALL, setting.space.len()] {
        let table = setting.table(size)?;
        let file = directory.join(format!("table-{size}"));
        table.write(&file)?;
        let [mut bo, mut their_bo, mut rl, mut their_rl] = [const { Samples::new() }; 4];
        for repeat in 0..repeats as u64 {
            let request = json!({
                "measure": "bo", "table": file, "rows": size, "dims": 16, "rounds": TIMED_ROUNDS,
            });
            let seconds = baseline.number(&request, "seconds")?;
            their_bo.push(seconds / TIMED_ROUNDS.len() as f64 * ROUNDS);
            bo.push(one_run(&table, bayesian(), BO_QUERIES, Seed(repeat))?.0);
            let request = json!({
                "measure": "rl", "table": file, "rows": size, "dims": 16, "steps": TIMED_STEPS,
            });
            let rate = baseline.rate(&request)?;
            their_rl.push(f64::from(RL_QUERIES) / rate);
            rl.push(one_run(&table, reinforce(), RL_QUERIES, Seed(repeat))?.0);
        }
        let row = |what: &str, ours, theirs| {
            let what = format!("{what}, {size} embeddings");
            Row::alone(what, "s a run", Better::Lower, ours).against(theirs)
        };
        rows.push(row("arch2vec-BO", bo, their_bo));
        rows.push(row("arch2vec-RL", rl, their_rl));
        if size > SMALL {
            let memory = (0..repeats).map(|_| peak_of(&file, size, "--one-search"));
            let memory: anyhow::Result<Samples> = memory.collect();
            rows.push(Row::alone(
                format!("process that runs both, {size} embeddings"),
                "MB at most",
                Better::Lower,
                memory?,
            ));
        }
    }
    Ok(Section {
        title: "Search".to_owned(),
        about: format!(
            "Published settings of NAS-Bench-101, one core. BO buys {BO_QUERIES} \
             architectures in 150 rounds, RL {RL_QUERIES}. Ours are whole runs; the baseline \
             is timed over {} rounds spread evenly, and over {TIMED_STEPS} steps.",
            TIMED_ROUNDS.len()
        ),
        rows,
    })
}

/// Seconds of a whole BO run against the size of the table, for the plot.
pub(crate) fn sizes(setting: &Setting, repeats: usize) -> anyhow::Result<Panel> {
    let mut points = Vec::new();
    for size in [5_000, SMALL, 100_000, setting.space.len()] {
        let table = setting.table(size)?;
        let seconds = (0..repeats as u64)
            .map(|seed| Ok(one_run(&table, bayesian(), BO_QUERIES, Seed(seed))?.0));
        points.push((size as f64, seconds.collect::<anyhow::Result<_>>()?));
    }
    Ok(Panel {
        title: "one BO run of 766 queries".to_owned(),
        work: "embeddings in the table".to_owned(),
        cost: "seconds".to_owned(),
        points,
        baseline: None,
    })
}

/// Peak memory of a process that does nothing but what `option` says with a table, in
/// megabytes.
pub(crate) fn peak_of(file: &Path, rows: usize, option: &str) -> anyhow::Result<f64> {
    let output = Command::new(std::env::current_exe()?)
        .arg(option)
        .arg(file)
        .args(["--rows", &rows.to_string()])
        .output()?;
    ensure!(
        output.status.success(),
        "a run in a process of its own failed"
    );
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    answer["memory"]
        .as_f64()
        .context("the run tells its memory")
}

/// A run of each on a table in a file: seconds, and the process's peak memory in
/// megabytes.
pub(crate) fn alone(file: &Path, rows: usize) -> anyhow::Result<serde_json::Value> {
    let table = Table::read(file, rows)?;
    let (bo, _) = one_run(&table, bayesian(), BO_QUERIES, Seed(0))?;
    let (rl, _) = one_run(&table, reinforce(), RL_QUERIES, Seed(0))?;
    let memory = memory_kb(std::process::id(), "VmHWM:")? / 1e3;
    Ok(json!({"bo": bo, "rl": rl, "memory": memory}))
}

/// Runs of BO, each with a seed of its own.
pub(crate) fn bayesian_runs(table: &Table, runs: u64) -> anyhow::Result<()> {
    bayesian_runs_from(table, Seed(0), runs)
}

/// The same with seeds from `first` on.
pub(crate) fn bayesian_runs_from(table: &Table, first: Seed, runs: u64) -> anyhow::Result<()> {
    (first.0..first.0 + runs).try_for_each(|seed| {
        one_run(table, bayesian(), BO_QUERIES, Seed(seed))?;
        Ok(())
    })
}

fn bayesian() -> MethodSpec {
    MethodSpec::Dngo {
        initial: 16,
        batch: 5,
        epochs: 100,
        target: 0.95,
    }
}

fn reinforce() -> MethodSpec {
    MethodSpec::Reinforce {
        episode: 16,
        learning_rate: 0.01,
        baseline: 0.95,
        discount: 0.8,
    }
}

/// Seconds of one run, and the run.
fn one_run(
    table: &Table,
    method: MethodSpec,
    queries: u32,
    seed: Seed,
) -> anyhow::Result<(f64, Trajectory)> {
    let nothing = Digest::from_bytes([0; 32]);
    let spec = SearchSpec {
        space: SpaceName::Nasbench101,
        dataset: Dataset::Cifar10,
        benchmark: BenchmarkRef::Table { digest: nothing },
        method,
        encoding: EncodingName::Embedding {
            pretrain: TaskKey(nothing),
        },
        budget: Budget::Queries(queries),
        quirks: Quirks::of(Protocol::Reference).search,
        seed,
    };
    let space = Arc::new(Rows(table.embedding.len()));
    let mut oracle = TableOracle(Arc::clone(&table.accuracies));
    let (seconds, trajectory) = timed(|| {
        let mut method = method::build(&spec, space, Some(Arc::clone(&table.embedding)))?;
        let run = run_trial(spec.budget, method.as_mut(), &mut oracle, &mut |_| true)?;
        anyhow::Ok(run)
    });
    let trajectory = trajectory?;
    ensure!(
        trajectory.len() == queries as usize,
        "a run of {queries} queries ended after {}",
        trajectory.len()
    );
    Ok((seconds, trajectory))
}

/// Answers from the made-up accuracies.
struct TableOracle(Arc<Vec<f32>>);

impl TableOracle {
    fn accuracy(&self, arch: ArchIndex) -> Result<Accuracy, OracleError> {
        Ok(Accuracy::new(f64::from(self.0[arch.row()]))?)
    }
}

impl Oracle for TableOracle {
    fn guiding(&mut self, arch: ArchIndex) -> Result<Guiding, OracleError> {
        Ok(Guiding {
            validation: self.accuracy(arch)?,
            cost: Seconds::new(1_958.0)?,
        })
    }

    fn reported(&self, arch: ArchIndex) -> Result<Reported, OracleError> {
        let accuracy = self.accuracy(arch)?;
        Ok(Reported {
            validation: accuracy,
            test: accuracy,
        })
    }
}

/// As many architectures of NAS-Bench-101 as a table has rows. A search on an
/// embedding asks a space for nothing but their number.
#[derive(Debug)]
struct Rows(usize);

impl SearchSpace for Rows {
    fn name(&self) -> SpaceName {
        SpaceName::Nasbench101
    }

    fn len(&self) -> usize {
        self.0
    }

    fn dims(&self) -> GraphDims {
        GraphDims {
            nodes: 7,
            operations: 5,
        }
    }

    fn encode(&self, _: ArchIndex, _: &mut [u8], _: &mut [u8]) {}

    fn mutate(&self, parent: ArchIndex, _: &mut Stream) -> ArchIndex {
        parent
    }

    fn is_valid(&self, _: &[u8], _: &[u8], _: bool) -> bool {
        false
    }

    fn identity(&self, _: &[u8], _: &[u8]) -> u128 {
        0
    }

    fn representatives(&self) -> Vec<ArchIndex> {
        Vec::new()
    }
}
