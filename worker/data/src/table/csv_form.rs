//! The plain CSV form of the NAS-Bench-201 table: percent, six decimals, one row
//! an architecture. It is what `nasbench201.csv.gz` holds and what the official
//! folder is converted to.

use std::io::{self, Write};

use reprise_domain::ArchIndex;

use super::ARCHITECTURES;
use super::nasbench201::{DatasetRow, Nasbench201Row, Nasbench201Table};
use crate::csv_table::{TableError, TableReader};
use crate::table::EpochTimes;

const COLUMNS: [&str; 19] = [
    "index",
    "arch_str",
    "cifar10_valid_acc_200",
    "cifar10_test_acc_200",
    "cifar100_valid_acc_200",
    "cifar100_test_acc_200",
    "in16_valid_acc_200",
    "in16_test_acc_200",
    "cifar10_valid_acc_12",
    "cifar10_test_acc_12",
    "cifar100_valid_acc_12",
    "cifar100_test_acc_12",
    "in16_valid_acc_12",
    "in16_test_acc_12",
    "cifar10_time12_s",
    "cifar100_time12_s",
    "in16_time12_s",
    "params_cifar10",
    "flops_M_cifar10",
];
/// Column positions of one data set: accuracies at 200 epochs, at 12, time.
struct DatasetColumns {
    first_200: usize,
    first_12: usize,
    time: usize,
}
const CIFAR10: DatasetColumns = DatasetColumns {
    first_200: 2,
    first_12: 8,
    time: 14,
};
const CIFAR100: DatasetColumns = DatasetColumns {
    first_200: 4,
    first_12: 10,
    time: 15,
};
const IMAGENET16: DatasetColumns = DatasetColumns {
    first_200: 6,
    first_12: 12,
    time: 16,
};
const ARCH_STR: usize = 1;
const PARAMETERS: usize = 17;
const FLOPS: usize = 18;

/// A day for 12 epochs: the slowest published architecture takes 1,268 s.
const MAX_TIME: f64 = 86_400.0;
/// The largest published network has 1,531,546 parameters.
const MAX_PARAMETERS: u64 = 1_000_000_000;
/// The largest published network takes 220 million multiply-adds.
const MAX_FLOPS: f64 = 1e6;

impl Nasbench201Table {
    /// Reads uncompressed bytes; `file` names them in errors. `expected` gives the
    /// architecture string of an index, e.g.
    /// `|none~0|+|none~0|none~1|+|none~0|none~1|none~2|`.
    pub fn read(
        file: &str,
        bytes: &[u8],
        expected: &dyn Fn(u32) -> String,
    ) -> Result<Self, TableError> {
        let mut table = TableReader::open(file, bytes, &COLUMNS, ARCHITECTURES)?;
        let mut rows = Vec::with_capacity(ARCHITECTURES);
        while let Some(arch) = table.next_row()? {
            table.require(ARCH_STR, &expected(arch.0))?;
            let row = Nasbench201Row {
                cifar10: read_dataset(&table, &CIFAR10)?,
                cifar100: read_dataset(&table, &CIFAR100)?,
                imagenet16_120: read_dataset(&table, &IMAGENET16)?,
                parameters: table.count(PARAMETERS, MAX_PARAMETERS)?,
                flops_millions: table.number(FLOPS, 0.0..=MAX_FLOPS, "millions")?,
            };
            // Checked here as well, where the line is known.
            EpochTimes::solve(&row).map_err(|error| {
                table.wrong(IMAGENET16.time, format!("times that fit: {error}"))
            })?;
            rows.push(row);
        }
        Ok(Self::new(rows).expect("the reader counted the rows and solved their times"))
    }

    /// Writes the plain form, uncompressed.
    pub fn write_csv(
        &self,
        mut writer: impl Write,
        arch_str: &dyn Fn(u32) -> String,
    ) -> io::Result<()> {
        writeln!(writer, "{}", COLUMNS.join(","))?;
        for (index, row) in self.rows().iter().enumerate() {
            let arch = ArchIndex(index as u32);
            write!(writer, "{arch},{}", arch_str(arch.0))?;
            let datasets = [&row.cifar10, &row.cifar100, &row.imagenet16_120];
            let full = datasets.map(|part| [part.valid_200, part.test_200]);
            let short = datasets.map(|part| [part.valid_12, part.test_12]);
            for accuracy in full.into_iter().chain(short).flatten() {
                write!(writer, ",{:.6}", accuracy.percent())?;
            }
            for part in datasets {
                write!(writer, ",{:.6}", part.time_12.get())?;
            }
            writeln!(writer, ",{},{:.6}", row.parameters, row.flops_millions)?;
        }
        writer.flush()
    }
}

fn read_dataset(
    table: &TableReader<'_>,
    columns: &DatasetColumns,
) -> Result<DatasetRow, TableError> {
    Ok(DatasetRow {
        valid_200: table.percent(columns.first_200)?,
        test_200: table.percent(columns.first_200 + 1)?,
        valid_12: table.percent(columns.first_12)?,
        test_12: table.percent(columns.first_12 + 1)?,
        time_12: table.seconds(columns.time, MAX_TIME)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::nasbench201::tests::uniform_table;
    use super::*;

    fn name(index: u32) -> String {
        format!("arch{index}")
    }

    fn written() -> String {
        let mut bytes = Vec::new();
        uniform_table().write_csv(&mut bytes, &name).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_is_written_reads_back_to_the_same_text() {
        let text = written();
        let table = Nasbench201Table::read("t.csv", text.as_bytes(), &name).unwrap();
        let mut again = Vec::new();
        table.write_csv(&mut again, &name).unwrap();
        assert_eq!(String::from_utf8(again).unwrap(), text);
        assert_eq!(table.rows()[9].cifar100, uniform_table().rows()[9].cifar100);
    }

    #[test]
    fn a_wrong_row_is_named() {
        let text = written();
        let check = |from: &str, to: &str, message: &str| {
            let wrong = text.replacen(from, to, 1);
            assert_ne!(wrong, text, "{from}");
            let error = Nasbench201Table::read("t.csv", wrong.as_bytes(), &name).unwrap_err();
            assert!(error.to_string().starts_with(message), "{error}");
        };
        check(
            "\n4,arch4,",
            "\n4,arch5,",
            "`t.csv`, line 6, column `arch_str`: expected `arch4`, found `arch5`",
        );
        check(
            "\n4,arch4,",
            "\n4,arch4,9",
            "`t.csv`, line 6, column `cifar10_valid_acc_200`: expected percent from 0 to 100, found `910.000000`",
        );
        check(
            "529.481638",
            "52.948164",
            "`t.csv`, line 2, column `in16_time12_s`: expected times that fit",
        );
        check(
            "flops_M_cifar10",
            "flops_cifar10",
            "`t.csv`, line 1: unknown column `flops_cifar10`, did you mean `flops_M_cifar10`?",
        );
    }
}
