//! A table as GitHub-flavoured Markdown with aligned pipes.

use super::text::{Notation, heading, is_numeric};
use crate::table::{Column, Table};

/// Stands for a missing value; the reasons follow below the table.
const MISSING: &str = "—";

const NOTATION: Notation = Notation {
    plus_minus: "±",
    join_interval: |estimate, interval| format!("{estimate} {interval}"),
    missing: MISSING,
    escape,
};

/// Writes `table` as Markdown: title, table, notes.
pub fn markdown(table: &Table) -> String {
    let headings: Vec<String> = table.columns.iter().map(full_heading).collect();
    let rows: Vec<Vec<String>> = table
        .rows
        .iter()
        .map(|row| {
            row.iter()
                .zip(&table.columns)
                .map(|(cell, column)| NOTATION.cell(cell, column))
                .collect()
        })
        .collect();
    let numeric: Vec<bool> = (0..headings.len())
        .map(|column| is_numeric(&table.rows, column))
        .collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            let widest = cells.chain([&headings[column]]).map(|text| width(text));
            // Three is the shortest rule that every Markdown reader takes.
            widest.fold(3, usize::max)
        })
        .collect();

    let mut text = format!("### {}\n\n", escape(&table.title));
    push_row(&mut text, &headings, &widths, &numeric);
    for (&width, &numeric) in widths.iter().zip(&numeric) {
        let (dashes, end) = if numeric {
            (width + 1, ":")
        } else {
            (width + 2, "")
        };
        text.push('|');
        text.push_str(&"-".repeat(dashes));
        text.push_str(end);
    }
    text.push_str("|\n");
    for row in &rows {
        push_row(&mut text, row, &widths, &numeric);
    }
    let reasons = table.reasons().join("; ");
    let missing = (!reasons.is_empty()).then(|| format!("{MISSING}: {reasons}"));
    let notes: Vec<&str> = table
        .notes
        .iter()
        .chain(&missing)
        .map(String::as_str)
        .collect();
    if !notes.is_empty() {
        text.push('\n');
    }
    for note in notes {
        text.push_str("* ");
        // Notes quote values in backticks.
        text.push_str(&escape(note).replace("\\`", "`"));
        text.push('\n');
    }
    text
}

/// Group, name and unit of a column: Markdown has no headings over several
/// columns.
fn full_heading(column: &Column) -> String {
    let group = column.group.iter().map(|group| format!("{group} "));
    escape(&(group.collect::<String>() + &heading(column)))
}

fn push_row(text: &mut String, cells: &[String], widths: &[usize], numeric: &[bool]) {
    for ((cell, &column), &numeric) in cells.iter().zip(widths).zip(numeric) {
        let fill = " ".repeat(column.saturating_sub(width(cell)));
        let (before, after) = if numeric {
            (fill.as_str(), "")
        } else {
            ("", fill.as_str())
        };
        text.push_str("| ");
        text.push_str(before);
        text.push_str(cell);
        text.push_str(after);
        text.push(' ');
    }
    text.push_str("|\n");
}

/// Characters, which in a fixed-width font are columns for the scripts expected.
fn width(text: &str) -> usize {
    text.chars().count()
}

/// Makes words plain: no cell end, no markup, no line end.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '\\' | '*' | '_' | '`' | '#' => escaped.extend(['\\', character]),
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Cell, Estimate};

    #[test]
    fn columns_line_up_and_reasons_follow() {
        let mut table = Table::new(
            "Results",
            vec![
                Column::new("method"),
                Column::percent("test").group("cifar10"),
            ],
        );
        table.push(vec![
            Cell::text("a|b"),
            Cell::Estimate(Estimate {
                mean: 94.176,
                std: Some(0.238),
                interval: None,
            }),
        ]);
        table.push(vec![Cell::text("c"), Cell::missing("no run")]);
        table.notes.push("500 runs".to_owned());
        assert_eq!(
            markdown(&table),
            "### Results\n\n\
             | method | cifar10 test (%) |\n\
             |--------|-----------------:|\n\
             | a\\|b   |     94.18 ± 0.24 |\n\
             | c      |                — |\n\
             \n\
             * 500 runs\n\
             * —: no run\n"
        );
    }
}
