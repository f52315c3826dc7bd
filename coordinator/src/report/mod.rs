//! From a study's records to its files: tables, curves, runs, manifest.

mod digits_table;
mod experiment;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use reprise_core::plan::study_digest;
use reprise_data::DigitsTable;
use reprise_domain::record::{Outcome, TaskRecord, TaskStateKind};
use reprise_domain::study::StudySpec;
use reprise_domain::{Stage, TaskResult, TaskSpec};
use reprise_stats::curve::panels;
use reprise_stats::export::{csv, json, latex, markdown, results_json, svg};
use reprise_stats::table::{
    PretrainRow, experiment_overview, experiment_runs, experiment_table, pretrain_table,
    search_overview, search_table,
};
use reprise_stats::{LevelSet, Run, RunSet, Table};
use serde_json::json;

/// What a study found.
#[derive(Debug)]
pub struct Report {
    sets: Vec<RunSet>,
    pretrained: Vec<PretrainRow>,
    levels: Vec<LevelSet>,
    evaluations: Vec<String>,
    benchmark: Option<DigitsTable>,
    manifest: serde_json::Value,
}

impl Report {
    /// Gathers the records of a study, each stage's in the order of the plan.
    pub fn new(spec: &StudySpec, records: &[TaskRecord]) -> anyhow::Result<Self> {
        // By the stage that a record names: planning again would give the tasks of
        // this version of the program, and not those that were run.
        let mut stages: BTreeMap<u32, (&Stage, Vec<&TaskRecord>)> = BTreeMap::new();
        for record in records {
            let task = &record.task;
            let stage = stages.entry(task.stage_index);
            let (_, members) = stage.or_insert_with(|| (&task.stage, Vec::new()));
            members.push(record);
        }
        let mut report = Self {
            sets: Vec::new(),
            pretrained: Vec::new(),
            levels: Vec::new(),
            evaluations: Vec::new(),
            benchmark: None,
            manifest: manifest(spec, records),
        };
        for (stage, members) in stages.into_values() {
            report.stage(spec, stage, &members)?;
        }
        Ok(report)
    }

    /// The main table for people: search results, else experiments, else pretraining.
    pub fn overview(&self) -> Option<Table> {
        if !self.sets.is_empty() {
            Some(search_overview(&self.sets))
        } else if !self.levels.is_empty() {
            Some(experiment_overview(&self.levels))
        } else if !self.pretrained.is_empty() {
            Some(pretrain_table(&self.pretrained))
        } else {
            None
        }
    }

    /// Writes every file into `directory`, each renamed into place.
    pub fn write(&self, directory: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(directory).with_context(|| format!("make `{}`", directory.display()))?;
        let write = |name: &str, content: String| {
            let path = directory.join(name);
            let fresh = directory.join(format!(".{name}.new"));
            fs::write(&fresh, content)
                .and_then(|()| fs::rename(&fresh, &path))
                .with_context(|| format!("write `{}`", path.display()))
        };
        if let Some(overview) = self.overview() {
            let full = if !self.sets.is_empty() {
                search_table(&self.sets)
            } else if !self.levels.is_empty() {
                experiment_table(&self.levels)
            } else {
                pretrain_table(&self.pretrained)
            };
            write("table.csv", csv(&full))?;
            write("table.json", json(&full))?;
            write("table.md", markdown(&overview))?;
            write("table.tex", latex(&overview))?;
        }
        if !self.pretrained.is_empty() {
            write("pretrain.csv", csv(&pretrain_table(&self.pretrained)))?;
            write("pretrain.md", markdown(&pretrain_table(&self.pretrained)))?;
        }
        if !self.levels.is_empty() {
            write("experiments.csv", csv(&experiment_table(&self.levels)))?;
            write("experiments.json", json(&experiment_table(&self.levels)))?;
            write(
                "experiments.md",
                markdown(&experiment_overview(&self.levels)),
            )?;
            write("runs.csv", csv(&experiment_runs(&self.levels)))?;
        }
        if !self.sets.is_empty() {
            write("results.json", results_json(&self.sets))?;
            write("curves.svg", svg(&panels(&self.sets)))?;
        }
        if !self.evaluations.is_empty() {
            let header = "architecture,seed,validation,test,training_seconds,parameters,flops\n";
            write(
                "evaluations.csv",
                format!("{header}{}\n", self.evaluations.join("\n")),
            )?;
        }
        if let Some(benchmark) = &self.benchmark {
            let mut bytes = Vec::new();
            benchmark
                .write_csv(&mut bytes)
                .context("write the benchmark table")?;
            write("benchmark.csv", String::from_utf8(bytes)?)?;
        }
        write("manifest.json", format!("{:#}\n", self.manifest))
    }

    fn stage(
        &mut self,
        spec: &StudySpec,
        stage: &Stage,
        members: &[&TaskRecord],
    ) -> anyhow::Result<()> {
        match stage {
            Stage::Search { method, dataset } => {
                let runs = members.iter().filter_map(|record| match result(record) {
                    Some(TaskResult::Search(result)) => Some(Run {
                        seed: record.spec.seed(),
                        trajectory: result.trajectory.clone(),
                    }),
                    _ => None,
                });
                let failed = members.iter().filter(|record| is_failed(record)).count();
                self.sets.push(RunSet::new(
                    method.clone(),
                    *dataset,
                    members.len(),
                    failed,
                    runs.collect(),
                )?);
            }
            Stage::Pretrain { model, .. } => {
                self.pretrained
                    .extend(members.iter().filter_map(|record| match result(record) {
                        Some(TaskResult::Pretrain(result)) => Some(PretrainRow {
                            label: model.to_string(),
                            seed: record.spec.seed(),
                            epochs: result.epochs.clone(),
                        }),
                        _ => None,
                    }));
            }
            Stage::Evaluate => {
                self.evaluations
                    .extend(members.iter().filter_map(|record| evaluation(record)));
                self.benchmark = digits_table::digits_table(members);
            }
            Stage::Noop => {}
            Stage::Experiment { experiment, level } => {
                let found = experiment::level_set(spec, experiment, level, members)?;
                self.levels.push(found);
            }
        }
        Ok(())
    }
}

fn result(record: &TaskRecord) -> Option<&TaskResult> {
    record.outcome.as_ref().map(|outcome| &outcome.result)
}

/// Whether it will not finish unless it is tried again.
fn is_failed(record: &TaskRecord) -> bool {
    let state = record.task.state.kind();
    matches!(state, TaskStateKind::Failed | TaskStateKind::Blocked)
}

fn evaluation(record: &TaskRecord) -> Option<String> {
    let (
        TaskSpec::Evaluate(spec),
        Some(Outcome {
            result: TaskResult::Evaluate(result),
            usage,
            ..
        }),
    ) = (&record.spec, &record.outcome)
    else {
        return None;
    };
    let training = usage
        .training
        .map_or_else(String::new, |seconds| format!("{:.4}", seconds.get()));
    Some(format!(
        "{},{},{},{},{training},{},{}",
        spec.arch,
        spec.seed,
        result.validation.fraction(),
        result.test.fraction(),
        result.parameters,
        result.flops
    ))
}

/// Every input, seed, digest, version and host behind the tables.
fn manifest(spec: &StudySpec, records: &[TaskRecord]) -> serde_json::Value {
    let mut hosts = BTreeSet::new();
    let (mut finished, mut failed, mut attempts, mut seconds) = (0_u64, 0, 0, 0.0);
    for record in records {
        attempts += u64::from(record.task.attempts);
        failed += u64::from(is_failed(record));
        if let Some(Outcome { usage, host, .. }) = &record.outcome {
            finished += 1;
            seconds += usage.wall.get();
            hosts.insert(host.as_str());
        }
    }
    json!({
        "study": spec.name,
        "spec_digest": study_digest(spec),
        "spec": spec,
        "version": env!("CARGO_PKG_VERSION"),
        "tasks": {
            "planned": records.len(),
            "finished": finished,
            "failed": failed,
            "attempts": attempts,
            "slot_seconds": seconds,
        },
        "hosts": hosts,
    })
}

#[cfg(test)]
mod tests {
    use reprise_domain::record::{Task, TaskState};
    use reprise_domain::{
        Accuracy, ArchIndex, BenchmarkRef, Digest, SearchResult, Seconds, TaskKey, Trajectory,
        Usage,
    };
    use reprise_study::BenchmarkSource;

    use super::*;

    const STUDY: &str = "version: 1
name: old
space: nasbench201
benchmark: {builtin: nasbench201-digits}
search: {datasets: [digits], budget: {queries: 1}, seeds: 1..3, methods: [{name: random}]}
";

    /// The plan of a study with keys that no plan of this version has, as a task has
    /// whose algorithm was changed since.
    fn records(spec: &StudySpec) -> Vec<TaskRecord> {
        let plan = reprise_core::plan::plan(spec, &|_| Vec::new()).unwrap();
        let half = Accuracy::new(0.5).unwrap();
        let trajectory = Trajectory {
            arch: vec![ArchIndex(3)],
            validation: vec![half],
            reported_validation: vec![half],
            test: vec![half],
            cost: vec![Seconds::ZERO],
        };
        let tasks = plan.tasks().enumerate();
        let records = tasks.map(|(place, planned)| TaskRecord {
            task: Task {
                key: TaskKey(Digest::from_bytes([place as u8; 32])),
                title: planned.spec.to_string(),
                stage: planned.stage,
                stage_index: 0,
                seed: planned.spec.seed().0,
                state: TaskState::Finished,
                attempts: 1,
            },
            spec: planned.spec,
            outcome: Some(Outcome {
                result: TaskResult::Search(SearchResult {
                    trajectory: trajectory.clone(),
                }),
                usage: Usage::default(),
                host: "den".to_owned(),
            }),
        });
        records.collect()
    }

    #[test]
    fn results_of_an_older_algorithm_are_in_the_tables() {
        let file = reprise_study::parse("study.yaml", STUDY).unwrap();
        let digest = Digest::from_bytes([0; 32]);
        let benchmark = match file.benchmark() {
            Some(&BenchmarkSource::Builtin(name)) => Some(BenchmarkRef::Builtin { name, digest }),
            _ => None,
        };
        let spec = file.resolve(benchmark).unwrap();
        let report = Report::new(&spec, &records(&spec)).unwrap();
        assert_eq!(report.sets.len(), 1);
        assert_eq!(report.manifest["tasks"]["finished"], 3);
    }
}
