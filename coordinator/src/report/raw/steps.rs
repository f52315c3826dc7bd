//! The columns of queries and of epochs, each with its meaning.

use reprise_domain::{Accuracy, EpochMeasures, Trajectory};

use super::column::{Field, Kind, Value};
use super::fields::{
    DATASET, Layout, METHOD, PERCENT, PRETRAIN_SEED, RUN, SECONDS, SEED, STUDY, percent, seconds,
};
use super::row::Row;

const QUERY: Field = Field::new(
    "query",
    Kind::Whole,
    |row| Value::Whole(row.place as u64 + 1),
    "number of the query in its search, from 1",
);

const BOUGHT: Field = Field::new(
    "architecture",
    Kind::Whole,
    |row| {
        let arch = row
            .trajectory()
            .and_then(|queries| queries.arch.get(row.place));
        Value::known(arch, |arch| Value::Whole(arch.0.into()))
    },
    "index in the space of the architecture that was asked for",
);

const SEEN: Field = Field::new(
    "validation_seen_percent",
    Kind::Real,
    |row| at_query(row, |queries| &queries.validation),
    "validation accuracy that the search was told and went by",
)
.unit(PERCENT);

const REPORTED: Field = Field::new(
    "validation_percent",
    Kind::Real,
    |row| at_query(row, |queries| &queries.reported_validation),
    "validation accuracy as tables report it, the mean over its trainings; the search did not see it",
)
.unit(PERCENT);

const TESTED: Field = Field::new(
    "test_percent",
    Kind::Real,
    |row| at_query(row, |queries| &queries.test),
    "test accuracy, the mean over its trainings; the search did not see it",
)
.unit(PERCENT);

const CHARGED: Field = Field::new(
    "simulated_seconds",
    Kind::Real,
    |row| {
        let cost = row
            .trajectory()
            .and_then(|queries| queries.cost.get(row.place));
        Value::known(cost, |cost| seconds(*cost))
    },
    "time that the benchmark charged for this query alone",
)
.unit(SECONDS);

const EPOCH: Field = Field::new(
    "epoch",
    Kind::Whole,
    |row| Value::Whole(row.place as u64 + 1),
    "number of the epoch, from 1",
);

const LOSS: Field = Field::new(
    "loss",
    Kind::Real,
    |row| measure(row, |epoch| epoch.loss),
    "mean of the epoch's batch losses",
);

const OPS: Field = Field::new(
    "ops_accuracy_percent",
    Kind::Real,
    |row| measure(row, |epoch| 100.0 * epoch.ops_accuracy),
    "held-out nodes whose operation is reconstructed, padded nodes counted as the released code counts them",
)
.unit(PERCENT);

const REAL_OPS: Field = Field::new(
    "ops_accuracy_real_nodes_percent",
    Kind::Real,
    |row| measure(row, |epoch| 100.0 * epoch.ops_accuracy_real_nodes),
    "the same over real nodes only",
)
.unit(PERCENT);

const EDGES: Field = Field::new(
    "edge_accuracy_percent",
    Kind::Real,
    |row| measure(row, |epoch| 100.0 * epoch.edge_accuracy),
    "held-out pairs of nodes whose edge, or its absence, is reconstructed",
)
.unit(PERCENT);

const TRUE_EDGES: Field = Field::new(
    "true_edge_probability",
    Kind::Real,
    |row| measure(row, |epoch| epoch.true_edge_probability),
    "mean decoded probability of edges that are there, from 0 to 1",
);

const FALSE_EDGES: Field = Field::new(
    "false_edge_probability",
    Kind::Real,
    |row| measure(row, |epoch| epoch.false_edge_probability),
    "mean decoded probability of edges that are not there, from 0 to 1",
);

const EXACT: Field = Field::new(
    "exact_match_percent",
    Kind::Real,
    |row| measure(row, |epoch| 100.0 * epoch.exact_match),
    "held-out graphs that are reconstructed exactly",
)
.unit(PERCENT);

const VALIDITY: Field = Field::new(
    "validity_percent",
    Kind::Real,
    |row| measure(row, |epoch| 100.0 * epoch.validity),
    "latent points that decode to a valid architecture",
)
.unit(PERCENT);

const UNIQUENESS: Field = Field::new(
    "uniqueness_percent",
    Kind::Real,
    |row| measure(row, |epoch| 100.0 * epoch.uniqueness),
    "distinct architectures among the valid ones",
)
.unit(PERCENT);

pub(super) const QUERIES: Layout = Layout {
    before: &[RUN, STUDY, METHOD, DATASET],
    after: &[
        SEED,
        PRETRAIN_SEED,
        QUERY,
        BOUGHT,
        SEEN,
        REPORTED,
        TESTED,
        CHARGED,
    ],
    last: &[],
};

pub(super) const EPOCHS: Layout = Layout {
    before: &[RUN, STUDY, METHOD],
    after: &[
        SEED,
        EPOCH,
        LOSS,
        OPS,
        REAL_OPS,
        EDGES,
        TRUE_EDGES,
        FALSE_EDGES,
        EXACT,
        VALIDITY,
        UNIQUENESS,
    ],
    last: &[],
};

fn at_query<'a>(row: &Row<'_>, of: fn(&Trajectory) -> &[Accuracy]) -> Value<'a> {
    let accuracy = row
        .trajectory()
        .and_then(|queries| of(queries).get(row.place));
    Value::known(accuracy.copied(), percent)
}

fn measure<'a>(row: &Row<'_>, of: fn(&EpochMeasures) -> f64) -> Value<'a> {
    Value::known(row.epoch(), |epoch| Value::real(of(epoch)))
}
