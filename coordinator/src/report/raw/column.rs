//! What a column of raw data is: a name, a type, a unit, and where its value comes
//! from. How values are written is decided by the forms of files.

use std::borrow::Cow;

use reprise_domain::TaskResult;

use super::factors;
use super::row::Row;

/// The type of a column. Every column may miss values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Flag,
    /// A count, a seed or a number of something.
    Whole,
    /// A whole number that may be negative.
    Signed,
    Real,
    /// A moment, in milliseconds since the Unix epoch.
    Moment,
}

/// A value, or that there is none.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Missing,
    Text(Cow<'a, str>),
    Flag(bool),
    Whole(u64),
    Signed(i64),
    Real(f64),
    Moment(u64),
}

impl<'a> Value<'a> {
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// A number; missing where it is not finite.
    pub(super) const fn real(number: f64) -> Self {
        if number.is_finite() {
            Self::Real(number)
        } else {
            Self::Missing
        }
    }

    /// What is known.
    pub(super) fn known<T>(value: Option<T>, of: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Missing, of)
    }
}

/// A column that every study has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Option<&'static str>,
    pub(super) of: for<'a> fn(&'a Row<'_>) -> Value<'a>,
    /// Whether another run of the same study may give another value.
    pub(super) varies: bool,
    pub(super) about: &'static str,
}

impl Field {
    /// A column without a unit whose values are the same whenever a study is run.
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        of: for<'a> fn(&'a Row<'_>) -> Value<'a>,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            unit: None,
            of,
            varies: false,
            about,
        }
    }

    pub(super) const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    pub(super) const fn varying(mut self) -> Self {
        self.varies = true;
        self
    }
}

/// A column of one study's table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) unit: Option<Cow<'static, str>>,
    pub(super) about: Cow<'static, str>,
    pub(super) varies: bool,
    pub(super) source: Source,
}

/// Where a value comes from.
#[derive(Debug)]
pub(super) enum Source {
    Field(for<'a> fn(&'a Row<'_>) -> Value<'a>),
    /// The value of the factor of this name.
    Factor(String),
    /// The metric of this name.
    Metric(String),
}

impl Column {
    /// The value of a row.
    pub(super) fn value<'a>(&'a self, row: &'a Row<'_>) -> Value<'a> {
        match &self.source {
            Source::Field(of) => of(row),
            Source::Factor(name) => factors::value(&row.record.task.stage, name, self.kind),
            Source::Metric(name) => match row.result() {
                Some(TaskResult::Program(result)) => {
                    let metric = result.metrics.get(name).copied();
                    Value::known(metric, Value::real)
                }
                _ => Value::Missing,
            },
        }
    }
}

impl From<&Field> for Column {
    fn from(field: &Field) -> Self {
        Self {
            name: field.name.to_owned(),
            kind: field.kind,
            unit: field.unit.map(Cow::Borrowed),
            about: Cow::Borrowed(field.about),
            varies: field.varies,
            source: Source::Field(field.of),
        }
    }
}
