//! The benchmark that Reprise makes itself: NAS-Bench-201 cells trained on the
//! handwritten digits, three seeds each, as `nasbench201-digits.csv.gz`. Its
//! accuracies are fractions.
//!
//! Cells that compute the same function are trained once: `representative` is
//! the index of the one that was trained.

use std::io::{self, Write};

use reprise_domain::protocol::SearchQuirks;
use reprise_domain::{Accuracy, ArchIndex, Dataset, Seconds};

use crate::benchmark::{Benchmark, Guiding, QueryError, Reported};
use crate::csv_table::{TableError, TableReader};
use crate::table::ARCHITECTURES;

const COLUMNS: [&str; 13] = [
    "index",
    "representative",
    "validation_1",
    "validation_2",
    "validation_3",
    "test_1",
    "test_2",
    "test_3",
    "validation_mean",
    "test_mean",
    "training_seconds",
    "parameters",
    "flops",
];
const REPRESENTATIVE: usize = 1;
const VALIDATION: usize = 2;
const TEST: usize = 5;
const VALIDATION_MEAN: usize = 8;
const TEST_MEAN: usize = 9;
const SECONDS: usize = 10;
const PARAMETERS: usize = 11;
const FLOPS: usize = 12;

/// Training seeds of an architecture.
pub const SEEDS: usize = 3;
/// Six decimals are printed: three rounded seeds and their rounded mean agree to
/// one unit of the last decimal, and a little for the sum's own rounding.
const MEAN_AGREEMENT: f64 = 1.001e-6;
const MAX_SECONDS: f64 = 86_400.0;
const MAX_COUNT: u64 = 1_000_000_000_000;

/// One architecture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DigitsRow {
    /// The architecture that was trained in its place; often itself.
    pub representative: ArchIndex,
    /// Validation accuracy of each seed.
    pub validation: [Accuracy; SEEDS],
    /// Test accuracy of each seed.
    pub test: [Accuracy; SEEDS],
    /// Training time, mean over the seeds.
    pub training: Seconds,
    /// Trainable parameters.
    pub parameters: u64,
    /// Multiply-adds of one image.
    pub flops: u64,
}

/// All 15,625 architectures in the official order.
#[derive(Debug, Clone, PartialEq)]
pub struct DigitsTable {
    rows: Vec<DigitsRow>,
}

/// Rows that make no table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigitsRowsError {
    /// There are too few or too many.
    #[error("expected {ARCHITECTURES} architectures, found {found}")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// An architecture is represented by one that does not represent itself.
    #[error(
        "architecture {arch} is represented by {representative}, which does not represent itself"
    )]
    Representative {
        /// The architecture.
        arch: ArchIndex,
        /// Its representative.
        representative: ArchIndex,
    },
}

/// Whether `bytes` begin with this table's first two columns, which no other
/// table has.
pub(crate) fn is_header(bytes: &[u8]) -> bool {
    bytes.starts_with(format!("{},{},", COLUMNS[0], COLUMNS[REPRESENTATIVE]).as_bytes())
}

impl DigitsTable {
    /// Makes a table of all rows, in index order.
    pub fn new(rows: Vec<DigitsRow>) -> Result<Self, DigitsRowsError> {
        if rows.len() != ARCHITECTURES {
            return Err(DigitsRowsError::Count { found: rows.len() });
        }
        match wrong_representative(&rows) {
            Some(arch) => Err(DigitsRowsError::Representative {
                arch,
                representative: rows[arch.row()].representative,
            }),
            None => Ok(Self { rows }),
        }
    }

    /// Reads uncompressed bytes; `file` names them in errors.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Self, TableError> {
        let mut table = TableReader::open(file, bytes, &COLUMNS, ARCHITECTURES)?;
        let mut rows = Vec::with_capacity(ARCHITECTURES);
        while table.next_row()?.is_some() {
            rows.push(read_row(&table)?);
        }
        match wrong_representative(&rows) {
            // The header is line 1, so row 0 is line 2.
            Some(arch) => Err(TableError::Cell {
                file: file.to_owned(),
                line: u64::from(arch.0) + 2,
                column: COLUMNS[REPRESENTATIVE],
                expected: "an architecture that represents itself".to_owned(),
                found: rows[arch.row()].representative.to_string(),
            }),
            None => Ok(Self { rows }),
        }
    }

    /// Writes the table, uncompressed: fractions and seconds with six decimals.
    pub fn write_csv(&self, mut writer: impl Write) -> io::Result<()> {
        writeln!(writer, "{}", COLUMNS.join(","))?;
        for (index, row) in self.rows.iter().enumerate() {
            write!(writer, "{index},{}", row.representative)?;
            let means = [mean(&row.validation), mean(&row.test)];
            for accuracy in row.validation.iter().chain(&row.test).chain(&means) {
                write!(writer, ",{:.6}", accuracy.fraction())?;
            }
            let seconds = row.training.get();
            writeln!(writer, ",{seconds:.6},{},{}", row.parameters, row.flops)?;
        }
        writer.flush()
    }

    /// The rows in index order.
    pub fn rows(&self) -> &[DigitsRow] {
        &self.rows
    }

    fn row(&self, dataset: Dataset, arch: ArchIndex) -> Result<&DigitsRow, QueryError> {
        if dataset != Dataset::Digits {
            return Err(QueryError::Dataset {
                dataset,
                available: "`digits`",
            });
        }
        self.rows.get(arch.row()).ok_or(QueryError::Architecture {
            arch,
            last: ARCHITECTURES as u32 - 1,
        })
    }
}

impl Benchmark for DigitsTable {
    fn datasets(&self) -> Vec<Dataset> {
        vec![Dataset::Digits]
    }

    fn architectures(&self) -> usize {
        self.rows.len()
    }

    /// The mean validation accuracy and the mean training time; no quirk of the
    /// released code is about this table.
    fn guiding(
        &self,
        dataset: Dataset,
        arch: ArchIndex,
        _quirks: SearchQuirks,
    ) -> Result<Guiding, QueryError> {
        let row = self.row(dataset, arch)?;
        Ok(Guiding {
            validation: mean(&row.validation),
            cost: row.training,
        })
    }

    fn reported(&self, dataset: Dataset, arch: ArchIndex) -> Result<Reported, QueryError> {
        let row = self.row(dataset, arch)?;
        Ok(Reported {
            validation: mean(&row.validation),
            test: mean(&row.test),
        })
    }
}

fn read_row(table: &TableReader<'_>) -> Result<DigitsRow, TableError> {
    let last = ARCHITECTURES as u64 - 1;
    let representative = table.count(REPRESENTATIVE, last)?;
    Ok(DigitsRow {
        representative: ArchIndex(representative as u32),
        validation: read_seeds(table, VALIDATION, VALIDATION_MEAN)?,
        test: read_seeds(table, TEST, TEST_MEAN)?,
        training: table.seconds(SECONDS, MAX_SECONDS)?,
        parameters: table.count(PARAMETERS, MAX_COUNT)?,
        flops: table.count(FLOPS, MAX_COUNT)?,
    })
}

/// Reads the seeds' columns and checks the mean's.
fn read_seeds(
    table: &TableReader<'_>,
    first: usize,
    mean_column: usize,
) -> Result<[Accuracy; SEEDS], TableError> {
    let seeds = [
        table.fraction(first)?,
        table.fraction(first + 1)?,
        table.fraction(first + 2)?,
    ];
    let expected = mean(&seeds).fraction();
    let found = table.fraction(mean_column)?.fraction();
    if (found - expected).abs() > MEAN_AGREEMENT {
        return Err(table.wrong(mean_column, format!("the seeds' mean {expected:.6}")));
    }
    Ok(seeds)
}

fn mean(seeds: &[Accuracy; SEEDS]) -> Accuracy {
    let sum: f64 = seeds.iter().map(|accuracy| accuracy.fraction()).sum();
    // Three ones sum to exactly three, so rounding cannot leave the range.
    Accuracy::new(sum / SEEDS as f64).expect("a mean of accuracies is one")
}

/// The first architecture whose representative is represented by another.
fn wrong_representative(rows: &[DigitsRow]) -> Option<ArchIndex> {
    let stands_for_itself = |arch: ArchIndex| {
        let row = rows.get(arch.row());
        row.is_some_and(|row| row.representative == arch)
    };
    let mut rows = rows.iter();
    let wrong = rows.position(|row| !stands_for_itself(row.representative))?;
    Some(ArchIndex(wrong as u32))
}

#[cfg(test)]
mod tests {
    use reprise_domain::Protocol;

    use super::*;

    fn accuracy(fraction: f64) -> Accuracy {
        Accuracy::new(fraction).unwrap()
    }

    fn table() -> DigitsTable {
        let rows = (0..ARCHITECTURES as u32).map(|index| DigitsRow {
            // Odd architectures stand behind the even one before them.
            representative: ArchIndex(index & !1),
            validation: [0.9, 0.8, 0.7 + f64::from(index & !1) / 1e6].map(accuracy),
            test: [0.5, 0.6, 1.0 / 3.0].map(accuracy),
            training: Seconds::new(1.5).unwrap(),
            parameters: 1000,
            flops: 2000,
        });
        DigitsTable::new(rows.collect()).unwrap()
    }

    fn written() -> String {
        let mut bytes = Vec::new();
        table().write_csv(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_is_written_reads_back_to_the_same_text() {
        let text = written();
        let read = DigitsTable::read("d.csv", text.as_bytes()).unwrap();
        let mut again = Vec::new();
        read.write_csv(&mut again).unwrap();
        assert!(String::from_utf8(again).unwrap() == text);
    }

    #[test]
    fn queries_see_the_means_of_their_own_split() {
        let table = table();
        let quirks = SearchQuirks::of(Protocol::Reference);
        let guiding = table
            .guiding(Dataset::Digits, ArchIndex(0), quirks)
            .unwrap();
        assert!((guiding.validation.fraction() - 0.8).abs() < 1e-12);
        assert_eq!(guiding.cost, Seconds::new(1.5).unwrap());
        let reported = table.reported(Dataset::Digits, ArchIndex(0)).unwrap();
        assert_eq!(reported.validation, guiding.validation);
        assert!((reported.test.fraction() - 43.0 / 90.0).abs() < 1e-12);
        assert!(table.reported(Dataset::Cifar10, ArchIndex(0)).is_err());
        assert!(table.reported(Dataset::Digits, ArchIndex(15_625)).is_err());
    }

    #[test]
    fn a_wrong_row_is_named() {
        let text = written();
        let check = |from: &str, to: &str, message: &str| {
            let wrong = text.replacen(from, to, 1);
            assert_ne!(wrong, text, "{from}");
            let error = DigitsTable::read("d.csv", wrong.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), message);
        };
        check(
            "\n5,4,",
            "\n5,3,",
            "`d.csv`, line 7, column `representative`: expected an architecture that represents itself, found `3`",
        );
        check(
            "\n5,4,",
            "\n5,15625,",
            "`d.csv`, line 7, column `representative`: expected a whole number from 0 to 15624, found `15625`",
        );
        check(
            ",0.800000,0.477778,",
            ",0.800002,0.477778,",
            "`d.csv`, line 2, column `validation_mean`: expected the seeds' mean 0.800000, found `0.800002`",
        );
    }

    #[test]
    fn rows_of_a_chain_of_representatives_are_refused() {
        let mut rows = table().rows;
        rows[7].representative = ArchIndex(9);
        let error = DigitsTable::new(rows).unwrap_err();
        assert_eq!(
            error,
            DigitsRowsError::Representative {
                arch: ArchIndex(7),
                representative: ArchIndex(9)
            }
        );
    }
}
