//! The factors and metrics of a study as columns.

use reprise_domain::study::StudySpec;
use reprise_domain::{Scalar, Stage};

use super::column::{Column, Kind, Source, Value};

/// Every factor of a study with a value of it, in the order of the study.
fn of_study(study: &StudySpec) -> impl Iterator<Item = (&str, &Scalar)> {
    let entries = study.pretrain.iter().flat_map(|plan| &plan.level);
    let methods = study.search.iter().flat_map(|search| &search.methods);
    let levels = entries.chain(methods.flat_map(|plan| &plan.level));
    let levels = levels.map(|factor| (factor.name.as_str(), &factor.value));
    let grids = study.experiments.iter().flat_map(|plan| &plan.grid);
    levels.chain(grids.flat_map(|factor| {
        let values = factor.values.iter();
        values.map(|value| (factor.name.as_str(), value))
    }))
}

/// A column for each factor. Its type is the one that all of its values have.
pub(super) fn columns(study: &StudySpec) -> Vec<Column> {
    let mut found: Vec<(&str, Kind)> = Vec::new();
    for (name, value) in of_study(study) {
        let kind = kind(value);
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = common(*known, kind),
            None => found.push((name, kind)),
        }
    }
    let columns = found.into_iter().map(|(name, kind)| Column {
        name: key(name, "factor"),
        kind,
        unit: None,
        about: format!("value of the factor `{name}`").into(),
        varies: false,
        source: Source::Factor(name.to_owned()),
    });
    columns.collect()
}

/// A column for each metric.
pub(super) fn metrics(study: &StudySpec) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for metric in study.experiments.iter().flat_map(|plan| &plan.metrics) {
        let is_known = columns
            .iter()
            .any(|column| matches!(&column.source, Source::Metric(name) if *name == metric.name));
        if !is_known {
            columns.push(Column {
                name: key(&metric.name, "metric"),
                kind: Kind::Real,
                unit: metric.unit.clone().map(Into::into),
                about: format!("metric `{}`", metric.name).into(),
                varies: false,
                source: Source::Metric(metric.name.clone()),
            });
        }
    }
    columns
}

/// A name for machines.
fn key(name: &str, otherwise: &str) -> String {
    let key = reprise_stats::table::Column::new(name).key();
    if key.is_empty() {
        otherwise.to_owned()
    } else {
        key
    }
}

/// The value of a stage's factor, as its column has it.
pub(super) fn value<'a>(stage: &'a Stage, name: &str, kind: Kind) -> Value<'a> {
    let mut factors = stage.level().iter();
    let Some(factor) = factors.find(|factor| factor.name == name) else {
        return Value::Missing;
    };
    match (&factor.value, kind) {
        (Scalar::Flag(flag), Kind::Flag) => Value::Flag(*flag),
        (Scalar::Whole(number), Kind::Signed) => Value::Signed(*number),
        (Scalar::Whole(number), Kind::Real) => Value::real(*number as f64),
        (Scalar::Real(number), Kind::Real) => Value::real(*number),
        (Scalar::Text(text), _) => Value::text(text.as_str()),
        (value, _) => Value::text(value.to_string()),
    }
}

const fn kind(value: &Scalar) -> Kind {
    match value {
        Scalar::Flag(_) => Kind::Flag,
        Scalar::Whole(_) => Kind::Signed,
        Scalar::Real(_) => Kind::Real,
        Scalar::Text(_) => Kind::Text,
    }
}

/// The type of a column with values of both types.
fn common(one: Kind, other: Kind) -> Kind {
    match (one, other) {
        _ if one == other => one,
        (Kind::Signed, Kind::Real) | (Kind::Real, Kind::Signed) => Kind::Real,
        _ => Kind::Text,
    }
}
