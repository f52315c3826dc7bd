//! From a study's records to its files: tables, curves, runs, manifest.

mod digits_table;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use reprise_core::plan::{Stage, plan, study_digest};
use reprise_data::DigitsTable;
use reprise_domain::status::{TaskFate, TaskRecord};
use reprise_domain::study::StudySpec;
use reprise_domain::{TaskResult, TaskSpec};
use reprise_stats::curve::panels;
use reprise_stats::export::{csv, json, latex, markdown, results_json, svg};
use reprise_stats::table::{PretrainRow, pretrain_table, search_overview, search_table};
use reprise_stats::{Run, RunSet, Table};
use serde_json::json;

use crate::architectures;

/// What a study found.
#[derive(Debug)]
pub struct Report {
    sets: Vec<RunSet>,
    pretrained: Vec<PretrainRow>,
    evaluations: Vec<String>,
    benchmark: Option<DigitsTable>,
    manifest: serde_json::Value,
}

impl Report {
    /// Gathers the records of a study. Records come in any order.
    pub fn new(spec: &StudySpec, records: &[TaskRecord]) -> anyhow::Result<Self> {
        let plan = plan(spec, &|selection| {
            architectures::select(spec.space, selection)
        })?;
        let by_key: std::collections::HashMap<_, _> =
            records.iter().map(|record| (record.key, record)).collect();
        let mut stages: Vec<(Stage, Vec<&TaskRecord>)> = Vec::new();
        for task in plan.tasks() {
            let Some(record) = by_key.get(&task.key) else {
                continue;
            };
            match stages.iter_mut().find(|(stage, _)| *stage == task.stage) {
                Some((_, members)) => members.push(record),
                None => stages.push((task.stage.clone(), vec![record])),
            }
        }
        let mut report = Self {
            sets: Vec::new(),
            pretrained: Vec::new(),
            evaluations: Vec::new(),
            benchmark: None,
            manifest: manifest(spec, records),
        };
        for (stage, members) in stages {
            report.stage(&stage, &members)?;
        }
        Ok(report)
    }

    /// The main table for people: search results, else pretraining.
    pub fn overview(&self) -> Option<Table> {
        if !self.sets.is_empty() {
            Some(search_overview(&self.sets))
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
            let full = if self.sets.is_empty() {
                pretrain_table(&self.pretrained)
            } else {
                search_table(&self.sets)
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

    fn stage(&mut self, stage: &Stage, members: &[&TaskRecord]) -> anyhow::Result<()> {
        match stage {
            Stage::Search { method, dataset } => {
                let runs = members.iter().filter_map(|record| match &record.fate {
                    TaskFate::Finished {
                        result: TaskResult::Search(result),
                        ..
                    } => Some(Run {
                        seed: record.spec.seed(),
                        trajectory: result.trajectory.clone(),
                    }),
                    _ => None,
                });
                let failed = members
                    .iter()
                    .filter(|record| matches!(record.fate, TaskFate::Failed(_)))
                    .count();
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
                    .extend(members.iter().filter_map(|record| match &record.fate {
                        TaskFate::Finished {
                            result: TaskResult::Pretrain(result),
                            ..
                        } => Some(PretrainRow {
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
        }
        Ok(())
    }
}

fn evaluation(record: &TaskRecord) -> Option<String> {
    let (
        TaskSpec::Evaluate(spec),
        TaskFate::Finished {
            result: TaskResult::Evaluate(result),
            usage,
            ..
        },
    ) = (&record.spec, &record.fate)
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
    let (mut finished, mut failed, mut attempts, mut seconds) = (0, 0, 0, 0.0);
    for record in records {
        attempts += record.attempts;
        match &record.fate {
            TaskFate::Finished { usage, host, .. } => {
                finished += 1;
                seconds += usage.wall.get();
                hosts.insert(host.as_str());
            }
            TaskFate::Failed(_) => failed += 1,
            TaskFate::Unfinished => {}
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
