//! Comma-separated values after RFC 4180: one header row of machine names, CRLF
//! line ends, empty cells for missing values.
//!
//! A column with estimates becomes several: the mean under the column's own name,
//! then `_std` and, where there are intervals, `_ci_low` and `_ci_high`. Title and
//! notes are left out, they are not data.
//!
//! A spreadsheet computes a cell that begins with `=`, `+`, `-` or `@`. Text that
//! begins so, or with a tab or a carriage return, gets a `'` before it, by which
//! spreadsheets know text. Numbers stay as they are.

use std::borrow::Cow;

use crate::format::{exact, fixed};
use crate::table::{Cell, Column, Table};

/// Writes `table` as CSV.
pub fn csv(table: &Table) -> String {
    let shapes: Vec<Shape> = (0..table.columns.len())
        .map(|column| Shape::of(table, column))
        .collect();
    let mut text = String::new();
    let header = table
        .columns
        .iter()
        .zip(&shapes)
        .flat_map(|(column, shape)| shape.names(&column.key()));
    push_record(&mut text, header);
    for row in &table.rows {
        let fields = row
            .iter()
            .zip(&table.columns)
            .zip(&shapes)
            .flat_map(|((cell, column), shape)| shape.fields(cell, column));
        push_record(&mut text, fields);
    }
    text
}

/// How many fields a column takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    WithStd,
    WithInterval,
}

impl Shape {
    fn of(table: &Table, column: usize) -> Self {
        let mut shape = Self::Plain;
        for row in &table.rows {
            if let Some(Cell::Estimate(estimate)) = row.get(column) {
                if estimate.interval.is_some() {
                    return Self::WithInterval;
                }
                shape = Self::WithStd;
            }
        }
        shape
    }

    const fn width(self) -> usize {
        match self {
            Self::Plain => 1,
            Self::WithStd => 2,
            Self::WithInterval => 4,
        }
    }

    fn names(self, key: &str) -> Vec<String> {
        ["", "_std", "_ci_low", "_ci_high"][..self.width()]
            .iter()
            .map(|ending| inert(&format!("{key}{ending}")).into_owned())
            .collect()
    }

    /// The fields of one cell; those that are not known stay empty.
    fn fields(self, cell: &Cell, column: &Column) -> Vec<String> {
        let number = |value: Option<f64>| {
            value
                .and_then(|value| fixed(value, column.precision))
                .unwrap_or_default()
        };
        let mut fields = match cell {
            Cell::Text(text) => vec![inert(text).into_owned()],
            Cell::Count(count) => vec![count.to_string()],
            Cell::Number(value) => vec![number(Some(*value))],
            Cell::Probability(value) | Cell::Exact(value) => {
                vec![exact(*value).unwrap_or_default()]
            }
            Cell::Estimate(estimate) => vec![
                number(Some(estimate.mean)),
                number(estimate.std),
                number(estimate.interval.map(|interval| interval.low)),
                number(estimate.interval.map(|interval| interval.high)),
            ],
            Cell::Missing(_) => Vec::new(),
        };
        fields.resize(self.width(), String::new());
        fields
    }
}

/// Text that a spreadsheet does not compute.
fn inert(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}").into()
    } else {
        text.into()
    }
}

/// Appends a field of text to a line of CSV, marked and quoted where it needs to be.
pub fn push_text(line: &mut String, text: &str) {
    push_field(line, &inert(text));
}

fn push_field(text: &mut String, field: &str) {
    if field.contains(['"', ',', '\r', '\n']) {
        text.push('"');
        text.push_str(&field.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(field);
    }
}

fn push_record(text: &mut String, fields: impl Iterator<Item = String>) {
    for (position, field) in fields.enumerate() {
        if position > 0 {
            text.push(',');
        }
        push_field(text, &field);
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::interval::Interval;
    use crate::table::Estimate;

    #[test]
    fn estimates_take_a_field_a_number_and_missing_ones_stay_empty() {
        let mut table = Table::new(
            "t",
            vec![
                Column::new("method"),
                Column::percent("test"),
                Column::new("p").precision(4),
            ],
        );
        table.push(vec![
            Cell::text("a, \"b\""),
            Cell::Estimate(Estimate {
                mean: 94.176,
                std: None,
                interval: Some(Interval {
                    low: 94.1,
                    high: 94.2,
                }),
            }),
            Cell::Probability(3.5e-47),
        ]);
        table.push(vec![
            Cell::text("c"),
            Cell::missing("no run"),
            Cell::missing("no run"),
        ]);
        assert_eq!(
            csv(&table),
            "method,test,test_std,test_ci_low,test_ci_high,p\r\n\
             \"a, \"\"b\"\"\",94.18,,94.10,94.20,3.5e-47\r\n\
             c,,,,,\r\n"
        );
    }

    #[test]
    fn text_that_a_spreadsheet_would_compute_is_marked_as_text() {
        let mut table = Table::new(
            "t",
            vec![Column::new("method"), Column::new("delta").precision(1)],
        );
        for label in ["=1+1", "+a", "-a", "@a", "\ta", "a=b", "'a"] {
            table.push(vec![Cell::text(label), Cell::Number(-1.5)]);
        }
        assert_eq!(
            csv(&table),
            "method,delta\r\n'=1+1,-1.5\r\n'+a,-1.5\r\n'-a,-1.5\r\n'@a,-1.5\r\n\
             '\ta,-1.5\r\na=b,-1.5\r\n'a,-1.5\r\n"
        );
    }

    proptest! {
        #[test]
        fn any_text_reads_back(texts in prop::collection::vec("(?s).{0,12}", 6)) {
            let mut table = Table::new("t", vec![Column::new("a"), Column::new("b")]);
            for pair in texts.chunks(2) {
                table.push(pair.iter().map(Cell::text).collect());
            }
            let text = csv(&table);
            let mut reader = ::csv::Reader::from_reader(text.as_bytes());
            let read: Vec<String> = reader
                .records()
                .flat_map(|record| record.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
                .collect();
            let marked: Vec<String> = texts.iter().map(|text| inert(text).into_owned()).collect();
            prop_assert_eq!(read, marked);
        }
    }
}
