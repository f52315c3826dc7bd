//! One coordinator under more load than it should ever meet: many tasks, many workers,
//! many studies, many results. What is measured is told; limits are the caller's.

pub mod export;
pub mod load;
pub mod measure;
pub mod studies;

use std::fmt;

/// A line of the report.
#[derive(Debug)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// How much it is.
    pub value: f64,
    /// In which unit.
    pub unit: &'static str,
    /// The most that it may be, if it has a limit.
    pub most: Option<f64>,
}

impl Figure {
    /// A figure without a limit.
    pub fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            value,
            unit,
            most: None,
        }
    }

    /// The same with a limit.
    #[must_use]
    pub fn at_most(self, most: f64) -> Self {
        Self {
            most: Some(most),
            ..self
        }
    }

    /// Whether it keeps its limit.
    pub fn holds(&self) -> bool {
        self.most.is_none_or(|most| self.value <= most)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what, value, unit, ..
        } = self;
        write!(f, "{what:<58} {value:>12.2} {unit}")?;
        match self.most {
            Some(most) if self.holds() => write!(f, " (at most {most})"),
            Some(most) => write!(f, " EXCEEDS {most}"),
            None => Ok(()),
        }
    }
}
