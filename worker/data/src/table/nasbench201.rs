//! The NAS-Bench-201 table in memory and its answers.
//!
//! Not here: file forms (`csv_form`, [`crate::nats`]) and the sums behind a
//! charge (`charge`).

use reprise_domain::protocol::SearchQuirks;
use reprise_domain::{Accuracy, ArchIndex, Dataset, Seconds};

use super::ARCHITECTURES;
use super::charge::{EpochTimes, TimesError};
use crate::benchmark::{Benchmark, Guiding, QueryError, Reported};

/// One architecture on one data set; accuracies are means over the published
/// training seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DatasetRow {
    /// Validation accuracy after the 200-epoch training.
    pub valid_200: Accuracy,
    /// Test accuracy after the 200-epoch training.
    pub test_200: Accuracy,
    /// Validation accuracy after the 12-epoch training.
    pub valid_12: Accuracy,
    /// Test accuracy after the 12-epoch training.
    pub test_12: Accuracy,
    /// Seconds for 12 epochs of training and validation.
    pub time_12: Seconds,
}

/// One architecture on all data sets.
///
/// On CIFAR-10 the validation accuracies and the time are of the training on
/// half of the training images, the test accuracies of the training on all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nasbench201Row {
    /// CIFAR-10.
    pub cifar10: DatasetRow,
    /// CIFAR-100.
    pub cifar100: DatasetRow,
    /// ImageNet16-120.
    pub imagenet16_120: DatasetRow,
    /// Trainable parameters of the CIFAR-10 network.
    pub parameters: u64,
    /// Millions of multiply-adds of the CIFAR-10 network.
    pub flops_millions: f64,
}

impl Nasbench201Row {
    /// The row's part for a data set, if it has one.
    pub fn dataset(&self, dataset: Dataset) -> Option<&DatasetRow> {
        match dataset {
            Dataset::Cifar10 => Some(&self.cifar10),
            Dataset::Cifar100 => Some(&self.cifar100),
            Dataset::ImageNet16_120 => Some(&self.imagenet16_120),
            Dataset::Digits => None,
        }
    }
}

/// All 15,625 architectures in the official order.
#[derive(Debug, Clone, PartialEq)]
pub struct Nasbench201Table {
    rows: Vec<Nasbench201Row>,
    /// Solved from `rows` once; same length.
    times: Vec<EpochTimes>,
}

/// Rows that make no table.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum RowsError {
    /// There are too few or too many.
    #[error("expected {ARCHITECTURES} architectures, found {found}")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// A row's times contradict each other.
    #[error("the times of architecture {arch} do not fit together")]
    Times {
        /// The architecture.
        arch: ArchIndex,
        /// How.
        source: TimesError,
    },
}

impl Nasbench201Table {
    /// Makes a table of all rows, in index order.
    pub fn new(rows: Vec<Nasbench201Row>) -> Result<Self, RowsError> {
        if rows.len() != ARCHITECTURES {
            return Err(RowsError::Count { found: rows.len() });
        }
        let times = rows.iter().enumerate().map(|(index, row)| {
            EpochTimes::solve(row).map_err(|source| RowsError::Times {
                arch: ArchIndex(index as u32),
                source,
            })
        });
        let times = times.collect::<Result<_, _>>()?;
        Ok(Self { rows, times })
    }

    /// The rows in index order.
    pub fn rows(&self) -> &[Nasbench201Row] {
        &self.rows
    }

    fn row(&self, dataset: Dataset, arch: ArchIndex) -> Result<&DatasetRow, QueryError> {
        let row = self.rows.get(arch.row()).ok_or(QueryError::Architecture {
            arch,
            last: ARCHITECTURES as u32 - 1,
        })?;
        row.dataset(dataset).ok_or(QueryError::Dataset {
            dataset,
            available: "`cifar10`, `cifar100` and `imagenet16-120`",
        })
    }
}

impl Benchmark for Nasbench201Table {
    fn datasets(&self) -> Vec<Dataset> {
        vec![Dataset::Cifar10, Dataset::Cifar100, Dataset::ImageNet16_120]
    }

    fn architectures(&self) -> usize {
        self.rows.len()
    }

    /// The validation accuracy of the 12-epoch training on CIFAR-10 and of the
    /// 200-epoch training on the others (protocol notes, section 6).
    fn guiding(
        &self,
        dataset: Dataset,
        arch: ArchIndex,
        quirks: SearchQuirks,
    ) -> Result<Guiding, QueryError> {
        let row = self.row(dataset, arch)?;
        let validation = match dataset {
            Dataset::Cifar10 => row.valid_12,
            _ => row.valid_200,
        };
        let cost = self.times[arch.row()]
            .charge(dataset, quirks.charges_199_epochs)
            .expect("every data set of a row has a charge");
        Ok(Guiding { validation, cost })
    }

    fn reported(&self, dataset: Dataset, arch: ArchIndex) -> Result<Reported, QueryError> {
        let row = self.row(dataset, arch)?;
        Ok(Reported {
            validation: row.valid_200,
            test: row.test_200,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use reprise_domain::Protocol;

    use super::*;

    /// A row whose accuracies all differ, with the given 12-epoch times.
    pub(crate) fn row_with_times(cifar10: f64, cifar100: f64, imagenet16: f64) -> Nasbench201Row {
        let part = |first: f64, time: f64| DatasetRow {
            valid_200: Accuracy::from_percent(first).unwrap(),
            test_200: Accuracy::from_percent(first + 1.0).unwrap(),
            valid_12: Accuracy::from_percent(first + 2.0).unwrap(),
            test_12: Accuracy::from_percent(first + 3.0).unwrap(),
            time_12: Seconds::new(time).unwrap(),
        };
        Nasbench201Row {
            cifar10: part(10.0, cifar10),
            cifar100: part(20.0, cifar100),
            imagenet16_120: part(30.0, imagenet16),
            parameters: 73_306,
            flops_millions: 7.783_05,
        }
    }

    /// A whole table of the same row.
    pub(crate) fn uniform_table() -> Nasbench201Table {
        let row = row_with_times(117.240_867, 179.423_782, 529.481_638);
        Nasbench201Table::new(vec![row; ARCHITECTURES]).unwrap()
    }

    #[test]
    fn each_question_reads_its_own_column() {
        let table = uniform_table();
        let quirks = SearchQuirks::of(Protocol::Reference);
        let check = |dataset, guiding: f64, validation: f64, test: f64| {
            let close =
                |accuracy: Accuracy, percent: f64| (accuracy.percent() - percent).abs() < 1e-9;
            let answer = table.guiding(dataset, ArchIndex(7), quirks).unwrap();
            let reported = table.reported(dataset, ArchIndex(7)).unwrap();
            assert!(close(answer.validation, guiding), "{dataset}");
            assert!(close(reported.validation, validation), "{dataset}");
            assert!(close(reported.test, test), "{dataset}");
        };
        check(Dataset::Cifar10, 12.0, 10.0, 11.0);
        check(Dataset::Cifar100, 20.0, 20.0, 21.0);
        check(Dataset::ImageNet16_120, 30.0, 30.0, 31.0);
    }

    #[test]
    fn questions_outside_the_table_are_errors() {
        let table = uniform_table();
        let quirks = SearchQuirks::of(Protocol::Reference);
        let dataset = table.guiding(Dataset::Digits, ArchIndex(0), quirks);
        assert_eq!(
            dataset.unwrap_err().to_string(),
            "the benchmark has no data set `digits`, it has `cifar10`, `cifar100` and `imagenet16-120`"
        );
        let arch = table.reported(Dataset::Cifar10, ArchIndex(15_625));
        assert_eq!(
            arch.unwrap_err().to_string(),
            "the benchmark has no architecture 15625, it has 0 to 15624"
        );
    }

    #[test]
    fn a_table_has_all_architectures() {
        let row = row_with_times(117.240_867, 179.423_782, 529.481_638);
        let short = Nasbench201Table::new(vec![row; 3]);
        assert_eq!(short, Err(RowsError::Count { found: 3 }));
    }
}
