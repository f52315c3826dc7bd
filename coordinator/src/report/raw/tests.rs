//! Tests of raw data: what is in the files, read back as other programs read them.

use std::collections::BTreeMap;
use std::fs;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, TimestampMillisecondType, UInt64Type};
use arrow_array::{Array as _, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use reprise_core::plan::Plan;
use reprise_domain::measure::ArtifactRef;
use reprise_domain::program::ProgramResult;
use reprise_domain::record::{Outcome, Task, TaskState};
use reprise_domain::{
    Accuracy, ArchIndex, BenchmarkRef, Device, EpochMeasures, Failure, FailureClass,
    PretrainResult, SearchResult, Seconds, TaskSpec, Trajectory, Usage,
};
use reprise_study::BenchmarkSource;

use super::column::Kind;
use super::*;

const STUDY: &str = "version: 1
name: raw
space: nasbench201
benchmark: {builtin: nasbench201-digits}
pretrain: [{model: arch2vec, seeds: 4..5}]
search:
  datasets: [digits]
  budget: {queries: 2}
  seeds: 1..2
  methods: [{name: reinforce, encoding: arch2vec}, {name: random}]
experiments:
  - name: port
    command: ['true', '{seed-size}', '{label}']
    grid: {seed-size: [8, 0.5], label: ['=1+1', plain]}
    seeds: 7
    metrics: {loss: {unit: nats}, Test-percent: {}}
";

const PAGE: &str = include_str!("../../../../configs/DATA.md");

fn study() -> StudySpec {
    let file =
        reprise_study::parse("study.yaml", STUDY).unwrap_or_else(|e| panic!("{}", e.report()));
    let digest = Digest::from_bytes([0; 32]);
    let benchmark = match file.benchmark() {
        Some(&BenchmarkSource::Builtin(name)) => Some(BenchmarkRef::Builtin { name, digest }),
        _ => None,
    };
    file.resolve(benchmark).unwrap()
}

fn fraction(value: f64) -> Accuracy {
    Accuracy::new(value).unwrap()
}

fn trajectory() -> Trajectory {
    Trajectory {
        arch: vec![ArchIndex(3), ArchIndex(9)],
        validation: vec![fraction(0.25), fraction(0.5)],
        reported_validation: vec![fraction(0.125), fraction(0.375)],
        test: vec![fraction(0.75), fraction(0.0625)],
        cost: vec![Seconds::new(1.5).unwrap(), Seconds::new(0.25).unwrap()],
    }
}

fn epoch(loss: f64) -> EpochMeasures {
    EpochMeasures {
        loss,
        ops_accuracy: 0.5,
        ops_accuracy_real_nodes: 0.5,
        edge_accuracy: 0.5,
        true_edge_probability: 0.5,
        false_edge_probability: 0.5,
        exact_match: 0.5,
        validity: 0.25,
        uniqueness: 0.5,
    }
}

fn file(byte: u8) -> ArtifactRef {
    ArtifactRef {
        digest: Digest::from_bytes([byte; 32]),
        bytes: 1,
    }
}

fn result(spec: &TaskSpec) -> TaskResult {
    match spec {
        TaskSpec::Pretrain(spec) => TaskResult::Pretrain(PretrainResult {
            epochs: vec![epoch(0.75), epoch(f64::NAN)],
            checkpoint: file(1),
            embedding: file(spec.seed.0 as u8),
        }),
        TaskSpec::Search(_) => TaskResult::Search(SearchResult {
            trajectory: trajectory(),
        }),
        _ => TaskResult::Program(ProgramResult {
            metrics: BTreeMap::from([("loss".to_owned(), 0.1 + 0.2)]),
            steps: 0,
            series: None,
            artifacts: Vec::new(),
        }),
    }
}

/// The seed of the pretraining whose embedding a task searches.
fn pretrain_seed(plan: &Plan, spec: &TaskSpec) -> Option<u64> {
    let input = *spec.inputs().first()?;
    let read = plan.tasks().find(|task| task.key == input)?;
    Some(read.spec.seed().0)
}

/// Every run finished but those of `failed` numbers. The first one tells what all are
/// made with.
fn records(spec: &StudySpec, failed: &[usize]) -> Vec<TaskRecord> {
    let plan = reprise_core::plan::plan(spec, &|_| Vec::new()).unwrap();
    let named = Digest::from_bytes([8; 32]);
    let tasks = plan.tasks().enumerate();
    let records = tasks.map(|(place, planned)| {
        let is_failed = failed.contains(&(place + 1));
        let failure = Failure {
            class: FailureClass::Task,
            message: "no luck".to_owned(),
            log: Vec::new(),
        };
        TaskRecord {
            task: Task {
                key: planned.key,
                title: planned.spec.to_string(),
                stage: planned.stage,
                stage_index: 0,
                seed: planned.spec.seed().0,
                pretrain_seed: pretrain_seed(&plan, &planned.spec),
                state: if is_failed {
                    TaskState::Failed { failure }
                } else {
                    TaskState::Finished
                },
                attempts: 1,
            },
            outcome: (!is_failed).then(|| Outcome {
                result: result(&planned.spec),
                usage: Usage {
                    wall: Seconds::new(2.5).unwrap(),
                    training: None,
                    started_ms: Some(1_700_000_000_123),
                    ended_ms: None,
                },
                host: "den".to_owned(),
                worker: Some("05050505-0505-0505-0505-050505050505".parse().unwrap()),
                provenance: Some(named),
            }),
            made_with: (place == 0).then(|| Capability {
                device: Device::Cpu {
                    model: "a processor".to_owned(),
                },
                ..Capability::default()
            }),
            spec: planned.spec,
        }
    });
    records.collect()
}

/// All files of a study whose runs of `failed` numbers failed.
fn written(failed: &[usize]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let spec = study();
    let mut files = Files::into(directory.path()).unwrap();
    let mut raw = Raw::begin(&spec, &RawFile::of_study(&spec), &mut files).unwrap();
    for record in records(&spec, failed) {
        raw.add(&record).unwrap();
    }
    raw.finish().unwrap();
    files.put_in_place().unwrap();
    directory
}

/// The rows of a CSV file by the names of its columns.
fn rows(directory: &tempfile::TempDir, name: &str) -> Vec<BTreeMap<String, String>> {
    let reader = ::csv::Reader::from_path(directory.path().join(name));
    reader.unwrap().deserialize().map(Result::unwrap).collect()
}

fn parquet(directory: &tempfile::TempDir, name: &str) -> RecordBatch {
    let file = File::open(directory.path().join(name)).unwrap();
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    batch
}

#[test]
fn a_run_has_a_row_with_what_it_found_and_where_it_was_made() {
    let directory = written(&[2]);
    let runs = rows(&directory, "runs.csv");
    assert_eq!(runs.len(), 2 + 4 + 4);
    let check = |run: usize, expected: &[(&str, &str)]| {
        for (name, value) in expected {
            assert_eq!(runs[run][*name], *value, "`{name}` of run {}", run + 1);
        }
    };
    check(
        0,
        &[
            ("run", "1"),
            ("study", "raw"),
            ("kind", "pretrain"),
            ("method", "arch2vec"),
            ("dataset", ""),
            ("seed", "4"),
            ("pretrain_seed", "4"),
            ("embedding", &"04".repeat(32)),
            ("host", "den"),
            ("device", "a processor"),
            ("started", "2023-11-14T22:13:20.123Z"),
            ("seconds", "2.5"),
            ("training_seconds", ""),
            ("queries", ""),
            ("failure", ""),
        ],
    );
    // What has failed has a row, and nothing in it is zero.
    check(
        1,
        &[
            ("seed", "5"),
            ("state", "failed"),
            ("seconds", ""),
            ("embedding", ""),
            ("device", ""),
            ("failure", "task error: no luck"),
        ],
    );
    check(
        2,
        &[
            ("kind", "search"),
            ("method", "arch2vec-reinforce"),
            ("dataset", "digits"),
            ("seed", "1"),
            ("pretrain_seed", "4"),
            ("embedding", &"04".repeat(32)),
            ("queries", "2"),
            ("simulated_seconds", "1.75"),
            ("architecture", "9"),
            ("validation_percent", "37.5"),
            ("test_percent", "6.25"),
            ("loss", ""),
        ],
    );
    // The embedding that the other trial is to search was never made.
    check(3, &[("pretrain_seed", "5"), ("embedding", "")]);
    check(4, &[("method", "random"), ("pretrain_seed", "")]);
    check(
        6,
        &[
            ("method", "port"),
            ("seed_size", "8"),
            ("label", "'=1+1"),
            ("loss", "0.30000000000000004"),
            // A metric of the name of a column that every study has.
            ("test_percent", ""),
            ("test_percent_2", ""),
        ],
    );
    check(8, &[("seed_size", "0.5"), ("label", "'=1+1")]);
}

#[test]
fn queries_and_epochs_have_a_row_each() {
    let directory = written(&[2]);
    let queries = rows(&directory, "queries.csv");
    assert_eq!(queries.len(), 4 * 2);
    let second = &queries[1];
    let expected = [
        ("run", "3"),
        ("query", "2"),
        ("architecture", "9"),
        ("validation_seen_percent", "50"),
        ("validation_percent", "37.5"),
        ("test_percent", "6.25"),
        ("simulated_seconds", "0.25"),
    ];
    for (name, value) in expected {
        assert_eq!(second[name], value, "`{name}`");
    }
    let epochs = rows(&directory, "epochs.csv");
    assert_eq!(epochs.len(), 2, "those of the seed that finished");
    assert_eq!(epochs[0]["loss"], "0.75");
    assert_eq!(epochs[0]["validity_percent"], "25");
    assert_eq!(epochs[1]["epoch"], "2");
    assert_eq!(epochs[1]["loss"], "", "no number is missing, not zero");
}

#[test]
fn parquet_has_types_units_and_nulls() {
    let directory = written(&[2]);
    let runs = parquet(&directory, "runs.parquet");
    assert_eq!(runs.num_rows(), 10);
    let schema = runs.schema();
    let field = |name: &str| schema.field_with_name(name).unwrap().clone();
    assert_eq!(field("seed").data_type(), &DataType::UInt64);
    let utc = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    assert_eq!(field("started").data_type(), &utc);
    assert_eq!(field("seed_size").data_type(), &DataType::Float64);
    assert_eq!(field("seconds").metadata()["unit"], "s");
    assert_eq!(field("seconds").metadata()["varies"], "true");
    assert_eq!(field("loss").metadata()["unit"], "nats");
    assert!(!field("seed").metadata().contains_key("unit"));

    let column = |name: &str| runs.column_by_name(name).unwrap();
    let started = column("started").as_primitive::<TimestampMillisecondType>();
    assert_eq!(started.value(0), 1_700_000_000_123);
    let seconds = column("seconds").as_primitive::<Float64Type>();
    assert!(seconds.is_null(1) && (seconds.value(0) - 2.5).abs() < 1e-12);
    let pretraining = column("pretrain_seed").as_primitive::<UInt64Type>();
    assert!(pretraining.is_null(4));
    assert_eq!(pretraining.value(2), 4);
    // No spreadsheet computes it.
    assert_eq!(column("label").as_string::<i32>().value(6), "=1+1");
    assert_eq!(parquet(&directory, "queries.parquet").num_rows(), 8);
    assert!(
        parquet(&directory, "epochs.parquet")
            .column_by_name("loss")
            .unwrap()
            .is_null(1)
    );
}

#[test]
fn both_forms_have_the_same_columns() {
    let directory = written(&[]);
    for name in ["runs", "queries", "epochs"] {
        let batch = parquet(&directory, &format!("{name}.parquet"));
        let schema = batch.schema();
        let names: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        let text = fs::read_to_string(directory.path().join(format!("{name}.csv"))).unwrap();
        assert_eq!(text.lines().next().unwrap(), names.join(","));
    }
}

/// The name of a type as the page has it.
const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Flag => "flag",
        Kind::Whole => "whole",
        Kind::Signed => "signed",
        Kind::Real => "real",
        Kind::Moment => "time",
    }
}

/// The page that explains the columns says what the program writes.
#[test]
fn every_column_is_explained() {
    for layout in [fields::RUNS, steps::QUERIES, steps::EPOCHS] {
        let fields = [layout.before, layout.after, layout.last].concat();
        let mut table = String::from(
            "| column | type | unit | same in every run | meaning |\n|---|---|---|---|---|\n",
        );
        for field in &fields {
            let same = if field.varies { "no" } else { "yes" };
            let unit = field.unit.unwrap_or_default();
            table.push_str(&format!(
                "| `{}` | {} | {unit} | {same} | {} |\n",
                field.name,
                name(field.kind),
                field.about
            ));
        }
        assert!(PAGE.contains(&table), "`configs/DATA.md` lacks\n{table}");
    }
}
