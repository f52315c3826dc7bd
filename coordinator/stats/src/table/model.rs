//! The form that every table has. A cell holds a value or the reason why there is
//! none; nothing is ever replaced by zero.

use std::borrow::Cow;

use crate::interval::Interval;

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows, each with one cell a column.
    pub rows: Vec<Vec<Cell>>,
    /// Remarks below it: what the numbers are, and which runs are not in them.
    pub notes: Vec<String>,
}

impl Table {
    /// A table without rows.
    pub fn new(title: impl Into<String>, columns: Vec<Column>) -> Self {
        Self {
            title: title.into(),
            columns,
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When the row has not one cell a column, in builds with debug assertions.
    pub fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len(), "one cell a column");
        self.rows.push(row);
    }

    /// The distinct reasons for missing cells, in order of appearance.
    pub fn reasons(&self) -> Vec<&str> {
        let mut reasons: Vec<&str> = Vec::new();
        for cell in self.rows.iter().flatten() {
            if let Cell::Missing(reason) = cell
                && !reasons.contains(&reason.as_str())
            {
                reasons.push(reason);
            }
        }
        reasons
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Heading over several neighbouring columns, for instance a data set.
    pub group: Option<String>,
    /// Its own heading.
    pub name: String,
    /// Unit of its numbers.
    pub unit: Option<Cow<'static, str>>,
    /// Decimals of its numbers.
    pub precision: usize,
}

impl Column {
    /// A column of text or of numbers without unit and decimals.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            group: None,
            name: name.into(),
            unit: None,
            precision: 0,
        }
    }

    /// A column of percentages, two decimals as in the published tables.
    pub fn percent(name: impl Into<String>) -> Self {
        Self::new(name).unit("%").precision(2)
    }

    /// The same with a unit.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<Cow<'static, str>>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// The same with so many decimals.
    #[must_use]
    pub fn precision(mut self, decimals: usize) -> Self {
        self.precision = decimals;
        self
    }

    /// The same below a common heading.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Name for machines: group and name in lowercase, all but letters and digits
    /// as underscores.
    pub fn key(&self) -> String {
        let group = self.group.iter().map(String::as_str);
        let words: Vec<&str> = group
            .chain([self.name.as_str()])
            .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
            .filter(|word| !word.is_empty())
            .collect();
        words.join("_").to_lowercase()
    }
}

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number in the unit of its column.
    Number(f64),
    /// A number with all its digits.
    Exact(f64),
    /// A p-value.
    Probability(f64),
    /// A mean with its spread.
    Estimate(Estimate),
    /// Nothing, and why.
    Missing(String),
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A whole number.
    pub const fn count(count: usize) -> Self {
        Self::Count(count as u64)
    }

    /// A number, missing when it is not finite.
    pub fn number(value: f64) -> Self {
        if value.is_finite() {
            Self::Number(value)
        } else {
            Self::missing("not a finite number")
        }
    }

    /// A number that may be absent for `reason`.
    pub fn optional(value: Option<f64>, reason: &str) -> Self {
        value.map_or_else(|| Self::missing(reason), Self::number)
    }

    /// A p-value that may be absent for a reason.
    pub fn probability<E: ToString>(p: Result<f64, E>) -> Self {
        match p {
            Ok(p) if p.is_finite() => Self::Probability(p),
            Ok(_) => Self::missing("not a finite number"),
            Err(error) => Self::missing(error.to_string()),
        }
    }

    /// Nothing, and why.
    pub fn missing(reason: impl Into<String>) -> Self {
        Self::Missing(reason.into())
    }
}

/// A mean with its spread, printed as `mean ± std [low, high]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Sample standard deviation, where there are two values.
    pub std: Option<f64>,
    /// Confidence interval of the mean, where there is one.
    pub interval: Option<Interval>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_words_joined_by_underscores() {
        let check = |column: Column, expected: &str| assert_eq!(column.key(), expected);
        check(Column::percent("test mean"), "test_mean");
        check(
            Column::percent("test").group("imagenet16-120"),
            "imagenet16_120_test",
        );
        check(Column::new("P(X > Y)"), "p_x_y");
    }

    #[test]
    fn what_is_not_finite_is_missing() {
        for value in [f64::NAN, f64::INFINITY] {
            assert!(matches!(Cell::number(value), Cell::Missing(_)));
            assert!(matches!(
                Cell::probability::<String>(Ok(value)),
                Cell::Missing(_)
            ));
        }
        assert_eq!(Cell::optional(None, "no run"), Cell::missing("no run"));
    }
}
