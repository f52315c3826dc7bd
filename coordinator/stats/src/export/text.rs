//! What the two exporters for people have in common: a cell as text.

use crate::format::{exact, fixed, probability};
use crate::table::{Cell, Column, Estimate};

/// How an exporter writes what is not a plain number.
pub(super) struct Notation {
    /// Between a mean and its standard deviation.
    pub(super) plus_minus: &'static str,
    /// Joins an estimate and its interval, which may go on a line of its own.
    pub(super) join_interval: fn(&str, &str) -> String,
    /// In place of a missing value.
    pub(super) missing: &'static str,
    /// Makes words harmless.
    pub(super) escape: fn(&str) -> String,
}

impl Notation {
    /// The cell as this exporter writes it.
    pub(super) fn cell(&self, cell: &Cell, column: &Column) -> String {
        let precision = column.precision;
        let number = |text: Option<String>| text.unwrap_or_else(|| self.missing.to_owned());
        match cell {
            Cell::Text(text) => (self.escape)(text),
            Cell::Count(count) => count.to_string(),
            Cell::Number(value) => number(fixed(*value, precision)),
            Cell::Exact(value) => number(exact(*value)),
            Cell::Probability(p) => {
                number(probability(*p, precision).map(|text| (self.escape)(&text)))
            }
            Cell::Estimate(estimate) => number(self.estimate(estimate, precision)),
            Cell::Missing(_) => self.missing.to_owned(),
        }
    }

    /// `mean ± std [low, high]`, without the parts that are not known.
    fn estimate(&self, estimate: &Estimate, precision: usize) -> Option<String> {
        let mut text = fixed(estimate.mean, precision)?;
        if let Some(std) = estimate.std.and_then(|std| fixed(std, precision)) {
            text = format!("{text} {} {std}", self.plus_minus);
        }
        let ends = estimate
            .interval
            .and_then(|ends| fixed(ends.low, precision).zip(fixed(ends.high, precision)));
        if let Some((low, high)) = ends {
            text = (self.join_interval)(&text, &format!("[{low}, {high}]"));
        }
        Some(text)
    }
}

/// Whether the column holds numbers and is set flush right: a column with any
/// cell that is neither text nor missing.
pub(super) fn is_numeric(rows: &[Vec<Cell>], column: usize) -> bool {
    let mut cells = rows.iter().filter_map(|row| row.get(column));
    cells.any(|cell| !matches!(cell, Cell::Text(_) | Cell::Missing(_)))
}

/// The heading of a column with its unit.
pub(super) fn heading(column: &Column) -> String {
    match &column.unit {
        Some(unit) => format!("{} ({unit})", column.name),
        None => column.name.clone(),
    }
}
