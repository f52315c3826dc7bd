//! What commands print: tables for people, JSON for programs.
//!
//! JSON is that of the domain types of `reprise_domain::{status, record}`: one
//! object on one line for a command that tells of one thing, and one object a line
//! (JSON lines) for a command that tells of several. Keys are added over time and
//! neither renamed nor removed.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::print_block;

/// How something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Form {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON object a line.
    Json,
}

/// How a command prints.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct OutputArgs {
    /// How to print: `json` prints one object a line.
    #[arg(long, value_enum, value_name = "FORM", default_value_t)]
    pub(super) output: Form,
}

impl OutputArgs {
    pub(super) fn is_json(self) -> bool {
        self.output == Form::Json
    }
}

/// Prints a value as a line of JSON.
pub(super) fn print_json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    print_block(&serde_json::to_string(value)?);
    Ok(())
}

/// A table for people. Numbers stand to the right; where it goes to a terminal, its
/// widest text column gives way so that lines fit, and says so with `…`.
#[derive(Debug, Default)]
pub(super) struct Table {
    titles: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// Space between two columns.
const GAP: usize = 2;

/// Narrower than this no column is made.
const NARROWEST: usize = 12;

impl Table {
    /// An empty table. A title that begins with `#` is of a column of numbers.
    pub(super) fn new(titles: &[&'static str]) -> Self {
        Self {
            titles: titles.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.titles.len());
        self.rows.push(row);
    }

    /// The table as text for the terminal, or for a file where there is none.
    pub(super) fn text(&self, with_titles: bool) -> String {
        let terminal = console::Term::stdout();
        let width = terminal.is_term().then(|| usize::from(terminal.size().1));
        self.fitted(width, with_titles)
    }

    fn fitted(&self, width: Option<usize>, with_titles: bool) -> String {
        let titles: Vec<_> = self
            .titles
            .iter()
            .map(|title| title.trim_start_matches('#'))
            .collect();
        let mut widths: Vec<_> = (0..titles.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| row[column].chars().count());
                cells
                    .chain([titles[column].chars().count()])
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        let whole = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let excess = width.map_or(0, |width| whole.saturating_sub(width));
        if excess > 0 {
            let texts = (0..widths.len()).filter(|column| !self.is_number(*column));
            if let Some(widest) = texts.max_by_key(|column| widths[*column]) {
                widths[widest] = widths[widest].saturating_sub(excess).max(NARROWEST);
            }
        }
        let head: Vec<_> = titles.iter().map(|title| (*title).to_owned()).collect();
        let head = with_titles.then_some(&head);
        let lines = head
            .into_iter()
            .chain(&self.rows)
            .map(|row| self.line(row, &widths));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(widths).enumerate() {
            if column > 0 {
                line.push_str(&" ".repeat(GAP));
            }
            let cell = shortened(cell, width);
            if self.is_number(column) {
                let _ = write!(line, "{cell:>width$}");
            } else {
                let _ = write!(line, "{cell:<width$}");
            }
        }
        line.trim_end().to_owned()
    }

    fn is_number(&self, column: usize) -> bool {
        self.titles[column].starts_with('#')
    }
}

/// A text of at most so many characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// How long ago a moment was.
pub(super) fn ago(at_ms: u64) -> String {
    format!("{} ago", span(now_ms().saturating_sub(at_ms)))
}

/// A span of time, for people.
pub(super) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A moment as it is written, in UTC.
pub(super) fn moment(at_ms: u64) -> String {
    let nanos = i128::from(at_ms) * 1_000_000;
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let written = time::OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    let written = written.and_then(|at| at.format(format).ok());
    written.unwrap_or_else(|| "-".to_owned())
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["stage", "#finished"]);
        table.push(vec!["a long name of a stage".to_owned(), "7".to_owned()]);
        table
    }

    #[test]
    fn a_table_lines_up_and_fits() {
        let whole = "stage                   finished\na long name of a stage         7";
        assert_eq!(table().fitted(None, true), whole);
        assert_eq!(table().fitted(Some(80), true), whole);
        let narrow = "stage         finished\na long name…         7";
        assert_eq!(table().fitted(Some(22), true), narrow);
        assert_eq!(table().fitted(None, false).lines().count(), 1);
    }

    #[test]
    fn spans_and_moments_are_for_people() {
        assert_eq!(span(59_999), "59 s");
        assert_eq!(span(3_600_000), "1 h");
        assert_eq!(span(200_000_000), "2 d");
        assert_eq!(moment(1_000), "1970-01-01 00:00:01");
    }
}
