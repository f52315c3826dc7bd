//! Reading of a CSV table with known columns, one row an architecture in index
//! order. Every error names the file, the line, the column, what was expected
//! and what was found.
//!
//! Not here: what the columns mean.

use std::ops::RangeInclusive;

use csv::StringRecord;
use reprise_domain::{Accuracy, ArchIndex, Seconds};

/// Texts of a file are quoted in errors up to this many characters.
const QUOTED: usize = 80;
/// A word this similar (Jaro and Winkler, 0 to 1) is offered as what was meant.
const SIMILAR: f64 = 0.8;

/// A table that is not as expected.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A column nobody knows.
    #[error("`{file}`, line 1: unknown column `{found}`{}", hint(*nearest, columns))]
    UnknownColumn {
        /// The file.
        file: String,
        /// The column's name.
        found: String,
        /// The known name most like it.
        nearest: Option<&'static str>,
        /// All known names.
        columns: &'static [&'static str],
    },
    /// A column is there twice.
    #[error("`{file}`, line 1: column `{column}` appears twice")]
    RepeatedColumn {
        /// The file.
        file: String,
        /// The column's name.
        column: &'static str,
    },
    /// A column is not there.
    #[error("`{file}`, line 1: column `{column}` is missing")]
    MissingColumn {
        /// The file.
        file: String,
        /// The column's name.
        column: &'static str,
    },
    /// The text is not CSV with equally long rows.
    #[error("`{file}`, line {line}: not a row of {columns} comma-separated values")]
    Malformed {
        /// The file.
        file: String,
        /// Line of the row, from 1.
        line: u64,
        /// How many values a row has.
        columns: usize,
        /// What the CSV parser said.
        source: csv::Error,
    },
    /// A value is not what its column holds.
    #[error("`{file}`, line {line}, column `{column}`: expected {expected}, found `{found}`")]
    Cell {
        /// The file.
        file: String,
        /// Line of the row, from 1.
        line: u64,
        /// The column's name.
        column: &'static str,
        /// What the value should be, in words.
        expected: String,
        /// The text that is there.
        found: String,
    },
    /// The table ends early.
    #[error("`{file}`: expected {expected} rows, found {found}")]
    Rows {
        /// The file.
        file: String,
        /// How many rows there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
}

/// What was probably meant; else all that is known, since the header may be none.
fn hint(nearest: Option<&str>, columns: &[&str]) -> String {
    match nearest {
        Some(name) => format!(", did you mean `{name}`?"),
        None => format!(", expected a header `{}`", columns.join(",")),
    }
}

/// An open table: a cursor over its rows.
#[derive(Debug)]
pub(crate) struct TableReader<'a> {
    file: &'a str,
    columns: &'static [&'static str],
    /// Position in the file of each known column.
    positions: Vec<usize>,
    rows: csv::Reader<&'a [u8]>,
    record: StringRecord,
    line: u64,
    seen: usize,
    expected: usize,
}

impl<'a> TableReader<'a> {
    /// Opens uncompressed `bytes` and checks the header: `columns` in any order,
    /// no more and no less, the first of them the index.
    pub(crate) fn open(
        file: &'a str,
        bytes: &'a [u8],
        columns: &'static [&'static str],
        expected: usize,
    ) -> Result<Self, TableError> {
        let mut rows = csv::Reader::from_reader(bytes);
        let header = rows.headers().map_err(|source| TableError::Malformed {
            file: file.to_owned(),
            line: 1,
            columns: columns.len(),
            source,
        })?;
        let positions = positions(file, header, columns)?;
        Ok(Self {
            file,
            columns,
            positions,
            rows,
            record: StringRecord::new(),
            line: 1,
            seen: 0,
            expected,
        })
    }

    /// Moves to the next row and returns its index, or nothing after the last.
    /// Indices must count up from 0 without a gap to the expected number.
    pub(crate) fn next_row(&mut self) -> Result<Option<ArchIndex>, TableError> {
        let more = self.rows.read_record(&mut self.record).map_err(|source| {
            let line = source.position().map_or(self.line, csv::Position::line);
            TableError::Malformed {
                file: self.file.to_owned(),
                line,
                columns: self.columns.len(),
                source,
            }
        })?;
        if !more {
            return if self.seen == self.expected {
                Ok(None)
            } else {
                Err(TableError::Rows {
                    file: self.file.to_owned(),
                    expected: self.expected,
                    found: self.seen,
                })
            };
        }
        self.line = self.record.position().map_or(0, csv::Position::line);
        if self.seen == self.expected {
            return Err(self.wrong(0, format!("no more than {} rows", self.expected)));
        }
        let index = self.seen as u32;
        if self.text(0) != index.to_string() {
            return Err(self.wrong(0, format!("the index {index}")));
        }
        self.seen += 1;
        Ok(Some(ArchIndex(index)))
    }

    /// The text in a column, by its position in the list of columns.
    pub(crate) fn text(&self, column: usize) -> &str {
        &self.record[self.positions[column]]
    }

    /// Checks that a column holds exactly `expected`.
    pub(crate) fn require(&self, column: usize, expected: &str) -> Result<(), TableError> {
        if self.text(column) == expected {
            Ok(())
        } else {
            Err(self.wrong(column, format!("`{expected}`")))
        }
    }

    /// A finite number within `range`; `unit` completes "a number of …".
    pub(crate) fn number(
        &self,
        column: usize,
        range: RangeInclusive<f64>,
        unit: &str,
    ) -> Result<f64, TableError> {
        let value = self.text(column).parse::<f64>().ok();
        value.filter(|value| range.contains(value)).ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            self.wrong(column, format!("{unit} from {low} to {high}"))
        })
    }

    /// A whole number up to `max`.
    pub(crate) fn count(&self, column: usize, max: u64) -> Result<u64, TableError> {
        let value = self.text(column).parse::<u64>().ok();
        value
            .filter(|value| *value <= max)
            .ok_or_else(|| self.wrong(column, format!("a whole number from 0 to {max}")))
    }

    /// An accuracy written as a fraction.
    pub(crate) fn fraction(&self, column: usize) -> Result<Accuracy, TableError> {
        let fraction = self.number(column, 0.0..=1.0, "a fraction")?;
        Ok(Accuracy::new(fraction).expect("the range is an accuracy's"))
    }

    /// An accuracy written in percent.
    pub(crate) fn percent(&self, column: usize) -> Result<Accuracy, TableError> {
        let percent = self.number(column, 0.0..=100.0, "percent")?;
        Ok(Accuracy::from_percent(percent).expect("the range is a percentage's"))
    }

    /// A duration of at most `max` seconds.
    pub(crate) fn seconds(&self, column: usize, max: f64) -> Result<Seconds, TableError> {
        let seconds = self.number(column, 0.0..=max, "seconds")?;
        Ok(Seconds::new(seconds).expect("the range is finite and not negative"))
    }

    /// The error for a value that is not `expected`.
    pub(crate) fn wrong(&self, column: usize, expected: String) -> TableError {
        TableError::Cell {
            file: self.file.to_owned(),
            line: self.line,
            column: self.columns[column],
            expected,
            found: self.text(column).chars().take(QUOTED).collect(),
        }
    }
}

/// Where in the file each known column is.
fn positions(
    file: &str,
    header: &StringRecord,
    columns: &'static [&'static str],
) -> Result<Vec<usize>, TableError> {
    let mut positions = vec![None; columns.len()];
    for (position, name) in header.iter().enumerate() {
        let Some(column) = columns.iter().position(|known| *known == name) else {
            let found: String = name.chars().take(QUOTED).collect();
            return Err(TableError::UnknownColumn {
                file: file.to_owned(),
                nearest: nearest(&found, columns),
                found,
                columns,
            });
        };
        if positions[column].replace(position).is_some() {
            return Err(TableError::RepeatedColumn {
                file: file.to_owned(),
                column: columns[column],
            });
        }
    }
    let found = positions.into_iter().zip(columns);
    found
        .map(|(position, column)| {
            position.ok_or_else(|| TableError::MissingColumn {
                file: file.to_owned(),
                column,
            })
        })
        .collect()
}

fn nearest(name: &str, columns: &[&'static str]) -> Option<&'static str> {
    let scored = columns
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), *known));
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (best.0 >= SIMILAR).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 2] = ["index", "accuracy"];

    fn read(text: &str) -> Result<Vec<f64>, TableError> {
        let mut table = TableReader::open("t.csv", text.as_bytes(), &COLUMNS, 2)?;
        let mut values = Vec::new();
        while table.next_row()?.is_some() {
            values.push(table.percent(1)?.percent());
        }
        Ok(values)
    }

    fn check(text: &str, message: &str) {
        assert_eq!(read(text).unwrap_err().to_string(), message);
    }

    #[test]
    fn columns_may_come_in_any_order() {
        assert_eq!(read("accuracy,index\n50,0\n75,1\n").unwrap(), [50.0, 75.0]);
    }

    #[test]
    fn errors_name_file_line_column_expected_and_found() {
        check(
            "index,acuracy\n",
            "`t.csv`, line 1: unknown column `acuracy`, did you mean `accuracy`?",
        );
        check(
            "index,zzz\n",
            "`t.csv`, line 1: unknown column `zzz`, expected a header `index,accuracy`",
        );
        check(
            "0;50\n1;75\n",
            "`t.csv`, line 1: unknown column `0;50`, expected a header `index,accuracy`",
        );
        check("index\n", "`t.csv`, line 1: column `accuracy` is missing");
        check(
            "index,index\n",
            "`t.csv`, line 1: column `index` appears twice",
        );
        check(
            "index,accuracy\n0,50\n2,50\n",
            "`t.csv`, line 3, column `index`: expected the index 1, found `2`",
        );
        check(
            "index,accuracy\n0,50\n",
            "`t.csv`: expected 2 rows, found 1",
        );
        check(
            "index,accuracy\n0,1\n1,1\n2,1\n",
            "`t.csv`, line 4, column `index`: expected no more than 2 rows, found `2`",
        );
        check(
            "index,accuracy\n0,50,7\n",
            "`t.csv`, line 2: not a row of 2 comma-separated values",
        );
        for wrong in ["", "nan", "-1", "100.5", "inf", "x"] {
            check(
                &format!("index,accuracy\n0,{wrong}\n"),
                &format!(
                    "`t.csv`, line 2, column `accuracy`: expected percent from 0 to 100, found `{wrong}`"
                ),
            );
        }
    }
}
