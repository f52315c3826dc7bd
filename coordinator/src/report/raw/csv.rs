//! Raw data as CSV: a header row, CRLF line ends, empty cells for missing values.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};

use reprise_stats::export::csv::push_text;
use reprise_stats::format::exact;
use time::OffsetDateTime;

use super::column::{Column, Value};
use super::sink::Sink;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Csv {
    out: BufWriter<File>,
    line: String,
}

impl Csv {
    /// A file that begins with the names of its columns.
    pub(super) fn new(out: BufWriter<File>, columns: &[Column]) -> io::Result<Self> {
        let mut csv = Self {
            out,
            line: String::new(),
        };
        let names = columns.iter().map(|column| column.name.as_str().into());
        csv.write(names.map(Value::Text))?;
        Ok(csv)
    }

    fn write<'a>(&mut self, values: impl Iterator<Item = Value<'a>>) -> io::Result<()> {
        self.line.clear();
        for (place, value) in values.enumerate() {
            if place > 0 {
                self.line.push(',');
            }
            push(&mut self.line, &value);
        }
        self.line.push_str("\r\n");
        self.out.write_all(self.line.as_bytes())
    }
}

impl Sink for Csv {
    fn push(&mut self, row: &[Value<'_>]) -> io::Result<()> {
        self.write(row.iter().cloned())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

fn push(line: &mut String, value: &Value<'_>) {
    match value {
        Value::Missing => {}
        Value::Text(text) => push_text(line, text),
        Value::Real(number) => line.push_str(&exact(*number).unwrap_or_default()),
        Value::Moment(at_ms) => line.push_str(&moment(*at_ms)),
        // Memory takes what it is given.
        Value::Flag(flag) => drop(write!(line, "{flag}")),
        Value::Whole(number) => drop(write!(line, "{number}")),
        Value::Signed(number) => drop(write!(line, "{number}")),
    }
}

/// A moment after ISO 8601, in UTC; nothing where no calendar has it.
fn moment(at_ms: u64) -> String {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    let nanos = i128::from(at_ms) * 1_000_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    at.and_then(|at| at.format(format).ok()).unwrap_or_default()
}
