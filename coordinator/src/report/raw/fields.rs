//! The columns of runs, each with its meaning. Some of them are of queries and epochs
//! too, whose own columns are in `steps`.

use reprise_domain::{Accuracy, Capability, Seconds, Stage, TaskResult, TaskSpec, Trajectory};

use super::column::{Field, Kind, Value};
use super::row::Row;

pub(super) const PERCENT: &str = "%";
pub(super) const SECONDS: &str = "s";

pub(super) const RUN: Field = Field::new(
    "run",
    Kind::Whole,
    |row| Value::Whole(row.number),
    "number of the run in the order of the plan, from 1; the key that joins the files of one export",
);

pub(super) const STUDY: Field = Field::new(
    "study",
    Kind::Text,
    |row| Value::text(row.study.name.as_str()),
    "name of the study",
);

const KIND: Field = Field::new(
    "kind",
    Kind::Text,
    |row| Value::text(row.record.spec.kind()),
    "`pretrain`, `search`, `evaluate`, `program` or `noop`",
);

const STAGE: Field = Field::new(
    "stage",
    Kind::Text,
    |row| Value::text(row.record.task.stage.to_string()),
    "part of the study, as `reprise status` names it",
);

pub(super) const METHOD: Field = Field::new(
    "method",
    Kind::Text,
    |row| match &row.record.task.stage {
        Stage::Pretrain { model, label, .. } => {
            Value::text(label.as_deref().unwrap_or_else(|| model.as_str()))
        }
        stage => Value::known(stage.method(), Value::text),
    },
    "label of the search method, name of the pretraining entry (its model, where it has none), or name of the experiment",
);

pub(super) const DATASET: Field = Field::new(
    "dataset",
    Kind::Text,
    |row| match &row.record.spec {
        TaskSpec::Search(spec) => Value::text(spec.dataset.as_str()),
        TaskSpec::Evaluate(spec) => Value::text(spec.dataset.as_str()),
        TaskSpec::Pretrain(_) | TaskSpec::Noop(_) | TaskSpec::Program(_) => Value::Missing,
    },
    "data set whose accuracies count",
);

pub(super) const SEED: Field = Field::new(
    "seed",
    Kind::Whole,
    |row| Value::Whole(row.record.task.seed),
    "repetition seed of the run",
);

pub(super) const PRETRAIN_SEED: Field = Field::new(
    "pretrain_seed",
    Kind::Whole,
    |row| match row.record.spec {
        TaskSpec::Pretrain(spec) => Value::Whole(spec.seed.0),
        _ => Value::known(row.record.task.pretrain_seed, Value::Whole),
    },
    "seed of the pretraining whose embedding is searched, or that the run is",
);

const EMBEDDING: Field = Field::new(
    "embedding",
    Kind::Text,
    |row| Value::known(row.embedding, |made| Value::text(made.to_string())),
    "BLAKE3 digest of the embedding that is searched, or that the run made, as it is stored now; processors and graphics cards make different ones",
)
.varying();

const TASK: Field = Field::new(
    "task",
    Kind::Text,
    |row| Value::text(row.record.task.key.to_string()),
    "key of the task, the same in every export and on every coordinator; `reprise task KEY` tells more",
);

const STATE: Field = Field::new(
    "state",
    Kind::Text,
    |row| Value::text(row.record.task.state.kind().as_str()),
    "`finished`, `failed`, `blocked`, `cancelled`, or where an unfinished run stands; results are there in the state `finished` only",
)
.varying();

const ATTEMPTS: Field = Field::new(
    "attempts",
    Kind::Whole,
    |row| Value::Whole(row.record.task.attempts.into()),
    "attempts made",
)
.varying();

const WORKER: Field = Field::new(
    "worker",
    Kind::Text,
    |row| {
        let worker = row.outcome().and_then(|outcome| outcome.worker);
        Value::known(worker, |worker| Value::text(worker.to_string()))
    },
    "id of the worker that finished the run",
)
.varying();

const HOST: Field = Field::new(
    "host",
    Kind::Text,
    |row| {
        let host = row.outcome().map(|outcome| outcome.host.as_str());
        Value::known(host.filter(|host| !host.is_empty()), Value::text)
    },
    "host of that worker",
)
.varying();

const DEVICE: Field = Field::new(
    "device",
    Kind::Text,
    |row| Value::known(row.made_with, |made| Value::text(made.device.to_string())),
    "processor or graphics card of that worker",
)
.varying();

const VERSION: Field = Field::new(
    "version",
    Kind::Text,
    |row| described(row, |made| &made.version),
    "version of that worker's program",
)
.varying();

const COMMIT: Field = Field::new(
    "commit",
    Kind::Text,
    |row| described(row, |made| &made.commit),
    "commit that it was built from, where the build knew it",
)
.varying();

const LIBTORCH: Field = Field::new(
    "libtorch",
    Kind::Text,
    |row| described(row, |made| &made.libtorch),
    "version of libtorch that the worker had, or `none`",
)
.varying();

const STARTED: Field = Field::new(
    "started",
    Kind::Moment,
    |row| {
        let started = row.outcome().and_then(|outcome| outcome.usage.started_ms);
        Value::known(started, Value::Moment)
    },
    "when the attempt began that finished the run, by its worker's clock, in UTC",
)
.varying();

const WALL: Field = Field::new(
    "seconds",
    Kind::Real,
    |row| {
        let wall = row.outcome().map(|outcome| outcome.usage.wall);
        Value::known(wall, seconds)
    },
    "wall-clock time of that attempt",
)
.unit(SECONDS)
.varying();

const TRAINING: Field = Field::new(
    "training_seconds",
    Kind::Real,
    |row| {
        let training = row.outcome().and_then(|outcome| outcome.usage.training);
        Value::known(training, seconds)
    },
    "wall-clock time of the training loop in that attempt, where there is one",
)
.unit(SECONDS)
.varying();

const QUERIES_MADE: Field = Field::new(
    "queries",
    Kind::Whole,
    |row| {
        Value::known(row.trajectory(), |queries| {
            Value::Whole(queries.len() as u64)
        })
    },
    "charged queries of a search",
);

const SIMULATED: Field = Field::new(
    "simulated_seconds",
    Kind::Real,
    |row| {
        let spent = row
            .trajectory()
            .map(|queries| queries.cost.iter().copied().sum::<Seconds>());
        Value::known(spent, seconds)
    },
    "time that the benchmark charged for the queries of a search",
)
.unit(SECONDS);

const ARCHITECTURE: Field = Field::new(
    "architecture",
    Kind::Whole,
    |row| {
        if let TaskSpec::Evaluate(spec) = &row.record.spec {
            return Value::Whole(spec.arch.0.into());
        }
        let arch = row
            .trajectory()
            .and_then(|queries| queries.arch.get(row.incumbent?));
        Value::known(arch, |arch| Value::Whole(arch.0.into()))
    },
    "index in the space of the architecture that a search ended with (the best by the validation accuracy that it saw), or that was trained",
);

const VALIDATION: Field = Field::new(
    "validation_percent",
    Kind::Real,
    |row| {
        if let Some(TaskResult::Evaluate(result)) = row.result() {
            return percent(result.validation);
        }
        at_incumbent(row, |queries| &queries.reported_validation)
    },
    "validation accuracy of that architecture as tables report it, the mean over its trainings",
)
.unit(PERCENT);

const TEST: Field = Field::new(
    "test_percent",
    Kind::Real,
    |row| {
        if let Some(TaskResult::Evaluate(result)) = row.result() {
            return percent(result.test);
        }
        at_incumbent(row, |queries| &queries.test)
    },
    "test accuracy of that architecture, the same",
)
.unit(PERCENT);

const FAILURE: Field = Field::new(
    "failure",
    Kind::Text,
    |row| {
        let failure = row.record.task.state.failure();
        Value::known(failure, |failure| {
            Value::text(format!("{}: {}", failure.class.as_str(), failure.message))
        })
    },
    "why a run will not finish",
)
.varying();

/// Columns of a table: those before a study's factors, those after them, and those
/// after its metrics.
pub(super) struct Layout {
    pub(super) before: &'static [Field],
    pub(super) after: &'static [Field],
    /// The metrics of programs stand before these.
    pub(super) last: &'static [Field],
}

pub(super) const RUNS: Layout = Layout {
    before: &[RUN, STUDY, KIND, STAGE, METHOD, DATASET],
    after: &[
        SEED,
        PRETRAIN_SEED,
        EMBEDDING,
        TASK,
        STATE,
        ATTEMPTS,
        WORKER,
        HOST,
        DEVICE,
        VERSION,
        COMMIT,
        LIBTORCH,
        STARTED,
        WALL,
        TRAINING,
        QUERIES_MADE,
        SIMULATED,
        ARCHITECTURE,
        VALIDATION,
        TEST,
    ],
    last: &[FAILURE],
};

/// What a result was made with; a text that is empty was not known.
fn described<'a>(row: &'a Row<'_>, of: fn(&Capability) -> &String) -> Value<'a> {
    let text = row.made_with.map(of).filter(|text| !text.is_empty());
    Value::known(text, |text| Value::text(text.as_str()))
}

pub(super) fn seconds<'a>(seconds: Seconds) -> Value<'a> {
    Value::real(seconds.get())
}

pub(super) fn percent<'a>(accuracy: Accuracy) -> Value<'a> {
    Value::real(accuracy.percent())
}

fn at_incumbent<'a>(row: &Row<'_>, of: fn(&Trajectory) -> &[Accuracy]) -> Value<'a> {
    let accuracy = row
        .trajectory()
        .and_then(|queries| of(queries).get(row.incumbent?));
    Value::known(accuracy.copied(), percent)
}
