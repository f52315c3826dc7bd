//! A table as JSON, numbers in full precision. A missing value is `null`, and the
//! row's `missing` object says why.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::table::{Cell, Column, Table};

/// Writes `table` as indented JSON with a final line end.
///
/// Fields keep the order of the columns, whatever features of the JSON library are
/// on, so that the bytes depend on the table only.
pub fn json(table: &Table) -> String {
    let document = Document {
        title: &table.title,
        columns: table.columns.iter().map(ColumnView::of).collect(),
        rows: table
            .rows
            .iter()
            .map(|cells| RowView {
                columns: &table.columns,
                cells,
            })
            .collect(),
        notes: &table.notes,
    };
    pretty(&document)
}

/// Indented JSON with a final line end.
pub(super) fn pretty(document: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(document)
        .expect("maps with text keys and finite numbers always serialise");
    text.push('\n');
    text
}

#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    columns: Vec<ColumnView<'a>>,
    rows: Vec<RowView<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct ColumnView<'a> {
    key: String,
    name: &'a str,
    group: Option<&'a str>,
    unit: Option<&'a str>,
    precision: usize,
}

impl<'a> ColumnView<'a> {
    fn of(column: &'a Column) -> Self {
        Self {
            key: column.key(),
            name: &column.name,
            group: column.group.as_deref(),
            unit: column.unit.as_deref(),
            precision: column.precision,
        }
    }
}

struct RowView<'a> {
    columns: &'a [Column],
    cells: &'a [Cell],
}

impl Serialize for RowView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (column, cell) in self.columns.iter().zip(self.cells) {
            map.serialize_entry(&column.key(), &CellView(cell))?;
        }
        let reasons = Reasons(self);
        if self
            .cells
            .iter()
            .any(|cell| matches!(cell, Cell::Missing(_)))
        {
            map.serialize_entry("missing", &reasons)?;
        }
        map.end()
    }
}

/// Column keys of the missing cells of a row with the reason of each.
struct Reasons<'a>(&'a RowView<'a>);

impl Serialize for Reasons<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (column, cell) in self.0.columns.iter().zip(self.0.cells) {
            if let Cell::Missing(reason) = cell {
                map.serialize_entry(&column.key(), reason)?;
            }
        }
        map.end()
    }
}

struct CellView<'a>(&'a Cell);

impl Serialize for CellView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Cell::Text(text) => serializer.serialize_str(text),
            Cell::Count(count) => serializer.serialize_u64(*count),
            // The library writes null for a number that is not finite.
            Cell::Number(value) | Cell::Exact(value) | Cell::Probability(value) => {
                serializer.serialize_f64(*value)
            }
            Cell::Estimate(estimate) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("mean", &estimate.mean)?;
                map.serialize_entry("std", &estimate.std)?;
                let interval = estimate.interval.map(|ends| [ends.low, ends.high]);
                map.serialize_entry("interval", &interval)?;
                map.end()
            }
            Cell::Missing(_) => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::table::Estimate;

    #[test]
    fn numbers_keep_their_digits_and_missing_ones_their_reason() {
        let mut table = Table::new("t", vec![Column::percent("x"), Column::percent("y")]);
        table.push(vec![Cell::number(0.1 + 0.2), Cell::missing("no run")]);
        table.push(vec![
            Cell::Estimate(Estimate {
                mean: 1.5,
                std: None,
                interval: None,
            }),
            Cell::Number(f64::NAN),
        ]);
        let text = json(&table);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["rows"][0]["x"], 0.1 + 0.2);
        assert_eq!(value["rows"][0]["y"], Value::Null);
        assert_eq!(value["rows"][0]["missing"]["y"], "no run");
        assert_eq!(value["rows"][1]["x"]["mean"], 1.5);
        assert_eq!(value["rows"][1]["x"]["std"], Value::Null);
        assert_eq!(value["rows"][1]["y"], Value::Null);
        assert_eq!(value["columns"][0]["unit"], "%");
    }
}
