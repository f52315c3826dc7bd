//! From a study's records to its files: tables, curves, runs, manifest.
//!
//! A study may have a million records. Each is looked at once, as it comes; what
//! statistics need of it is kept.

mod digits_table;
mod experiment;
mod files;
mod provenance;
pub mod raw;
mod stages;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use anyhow::Context as _;
use reprise_core::plan::study_digest;
use reprise_data::DigitsTable;
use reprise_domain::record::{Outcome, TaskRecord, TaskStateKind};
use reprise_domain::study::StudySpec;
use reprise_stats::curve::panels;
use reprise_stats::export::{csv, json, latex, markdown, results_json, svg};
use reprise_stats::table::{
    PretrainSet, experiment_overview, experiment_table, pretrain_table, search_overview,
    search_table,
};
use reprise_stats::{LevelSet, RunSet, Table};
use serde_json::json;

use provenance::Provenance;
use stages::Members;

pub use files::Files;

/// What a study found.
#[derive(Debug)]
pub struct Report {
    sets: Vec<RunSet>,
    pretrained: Vec<PretrainSet>,
    levels: Vec<LevelSet>,
    evaluations: Vec<String>,
    benchmark: Option<DigitsTable>,
    manifest: serde_json::Value,
}

/// A report in the making.
#[derive(Debug)]
pub struct Gathering<'a> {
    spec: &'a StudySpec,
    tells_embeddings: bool,
    /// By the stage that a record names: planning again would give the tasks of this
    /// version of the program, and not those that were run.
    stages: BTreeMap<u32, Members>,
    hosts: BTreeSet<String>,
    provenance: Provenance,
    planned: u64,
    finished: u64,
    failed: u64,
    blocked: u64,
    attempts: u64,
    seconds: f64,
}

impl<'a> Gathering<'a> {
    /// A report of a study without records yet.
    pub fn new(spec: &'a StudySpec) -> Self {
        Self {
            spec,
            tells_embeddings: spec.tells_embeddings(),
            stages: BTreeMap::new(),
            hosts: BTreeSet::new(),
            provenance: Provenance::default(),
            planned: 0,
            finished: 0,
            failed: 0,
            blocked: 0,
            attempts: 0,
            seconds: 0.0,
        }
    }

    /// Takes the next record in the order of the plan.
    pub fn add(&mut self, record: &TaskRecord) -> anyhow::Result<()> {
        self.planned += 1;
        self.attempts += u64::from(record.task.attempts);
        self.failed += u64::from(is_failed(record));
        self.blocked += u64::from(is_blocked(record));
        self.provenance.add(record);
        if let Some(Outcome { usage, host, .. }) = &record.outcome {
            self.finished += 1;
            self.seconds += usage.wall.get();
            if !self.hosts.contains(host) {
                self.hosts.insert(host.clone());
            }
        }
        let members = self.stages.entry(record.task.stage_index);
        let members = members.or_insert_with(|| Members::of(&record.task.stage));
        members
            .add(record, self.tells_embeddings)
            .with_context(|| format!("read the result of `{}`", record.task.title))
    }

    /// The report of all records.
    pub fn finish(self) -> anyhow::Result<Report> {
        let mut report = Report {
            manifest: self.manifest(),
            sets: Vec::new(),
            pretrained: Vec::new(),
            levels: Vec::new(),
            evaluations: Vec::new(),
            benchmark: None,
        };
        for members in self.stages.into_values() {
            members.report(self.spec, &mut report)?;
        }
        Ok(report)
    }

    /// Every input, seed, digest, version and host behind the tables.
    fn manifest(&self) -> serde_json::Value {
        json!({
            "study": self.spec.name,
            "spec_digest": study_digest(self.spec),
            "spec": self.spec,
            "version": env!("CARGO_PKG_VERSION"),
            "tasks": {
                "planned": self.planned,
                "finished": self.finished,
                "failed": self.failed,
                "blocked": self.blocked,
                "attempts": self.attempts,
                "slot_seconds": self.seconds,
            },
            "hosts": self.hosts,
            "provenance": self.provenance.counts(),
        })
    }
}

impl Report {
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

    /// Writes every file.
    pub fn write(&self, files: &mut Files) -> anyhow::Result<()> {
        if let Some(overview) = self.overview() {
            let full = if !self.sets.is_empty() {
                search_table(&self.sets)
            } else if !self.levels.is_empty() {
                experiment_table(&self.levels)
            } else {
                pretrain_table(&self.pretrained)
            };
            files.text("table.csv", &csv(&full))?;
            files.text("table.json", &json(&full))?;
            files.text("table.md", &markdown(&overview))?;
            files.text("table.tex", &latex(&overview))?;
        }
        if !self.pretrained.is_empty() {
            let table = pretrain_table(&self.pretrained);
            files.text("pretrain.csv", &csv(&table))?;
            files.text("pretrain.md", &markdown(&table))?;
        }
        if !self.levels.is_empty() {
            let table = experiment_table(&self.levels);
            files.text("experiments.csv", &csv(&table))?;
            files.text("experiments.json", &json(&table))?;
            files.text(
                "experiments.md",
                &markdown(&experiment_overview(&self.levels)),
            )?;
        }
        if !self.sets.is_empty() {
            files.write("results.json", |out| results_json(&self.sets, out))?;
            files.text("curves.svg", &svg(&panels(&self.sets)))?;
        }
        if !self.evaluations.is_empty() {
            let header = "architecture,seed,validation,test,training_seconds,parameters,flops\n";
            let lines = self.evaluations.join("\n");
            files.text("evaluations.csv", &format!("{header}{lines}\n"))?;
        }
        if let Some(benchmark) = &self.benchmark {
            files.write("benchmark.csv", |out| {
                benchmark.write_csv(out).map_err(io::Error::other)
            })?;
        }
        files.text("manifest.json", &format!("{:#}\n", self.manifest))
    }
}

/// Whether it was given up.
fn is_failed(record: &TaskRecord) -> bool {
    record.task.state.kind() == TaskStateKind::Failed
}

/// Whether it cannot begin, because what it reads was given up.
fn is_blocked(record: &TaskRecord) -> bool {
    record.task.state.kind() == TaskStateKind::Blocked
}

#[cfg(test)]
mod tests {
    use reprise_domain::record::{Task, TaskState};
    use reprise_domain::{
        Accuracy, ArchIndex, BenchmarkRef, Digest, Failure, FailureClass, SearchResult, Seconds,
        TaskKey, TaskResult, Trajectory, Usage,
    };
    use reprise_study::BenchmarkSource;

    use super::*;

    const STUDY: &str = "version: 1
name: old
space: nasbench201
benchmark: {builtin: nasbench201-digits}
search: {datasets: [digits], budget: {queries: 1}, seeds: 1..3, methods: [{name: random}]}
";

    fn spec() -> StudySpec {
        let file = reprise_study::parse("study.yaml", STUDY).unwrap();
        let digest = Digest::from_bytes([0; 32]);
        let benchmark = match file.benchmark() {
            Some(&BenchmarkSource::Builtin(name)) => Some(BenchmarkRef::Builtin { name, digest }),
            _ => None,
        };
        file.resolve(benchmark).unwrap()
    }

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
                pretrain_seed: None,
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
                worker: None,
                provenance: None,
            }),
            made_with: None,
        });
        records.collect()
    }

    #[test]
    fn results_of_an_older_algorithm_are_in_the_tables() {
        let spec = spec();
        let mut gathering = Gathering::new(&spec);
        for record in records(&spec) {
            gathering.add(&record).unwrap();
        }
        let report = gathering.finish().unwrap();
        assert_eq!(report.sets.len(), 1);
        assert_eq!(report.manifest["tasks"]["finished"], 3);
    }

    #[test]
    fn a_run_that_cannot_begin_has_not_failed() {
        let spec = spec();
        let mut records = records(&spec);
        records[1].task.state = TaskState::Blocked {
            by: records[0].task.key,
            failure: Failure {
                class: FailureClass::Task,
                message: "it broke".to_owned(),
                log: Vec::new(),
            },
        };
        records[1].outcome = None;
        let mut gathering = Gathering::new(&spec);
        for record in &records {
            gathering.add(record).unwrap();
        }
        let report = gathering.finish().unwrap();
        let set = &report.sets[0];
        assert_eq!((set.failed(), set.blocked(), set.missing()), (0, 1, 1));
        assert_eq!(report.manifest["tasks"]["failed"], 0);
        assert_eq!(report.manifest["tasks"]["blocked"], 1);
    }
}
