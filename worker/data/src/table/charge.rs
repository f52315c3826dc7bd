//! What the released code charges for a query on NAS-Bench-201, in simulated
//! seconds (protocol notes, section 11, "Time charged on NB201").
//!
//! The table has the time of 12 epochs on each data set. Behind all three stand
//! two numbers measured on the CIFAR-10 training half: `t` seconds of training
//! and `v` seconds of validation an epoch. Everything else is scaled from them
//! by numbers of images.

use reprise_domain::{Dataset, Seconds};

use super::nasbench201::Nasbench201Row;

/// CIFAR-100 trains on 50,000 images where `t` was measured on 25,000.
const CIFAR100_TRAIN: f64 = 50_000.0 / 25_000.0;
/// CIFAR-100 validates on 5,000 images where `v` was measured on 25,000.
const CIFAR100_VALID: f64 = 5_000.0 / 25_000.0;
/// ImageNet16-120 trains on 151,700 images.
const IMAGENET16_TRAIN: f64 = 151_700.0 / 25_000.0;
/// ImageNet16-120 validates on 3,000 images.
const IMAGENET16_VALID: f64 = 3_000.0 / 25_000.0;
/// Epochs behind a time column.
const TIMED_EPOCHS: f64 = 12.0;
/// Relative error allowed between the ImageNet16-120 column and what the other
/// two say it is. On the published table it stays below 1e-8 (rounding); a swapped
/// or foreign column is off by far more than this.
const AGREEMENT: f64 = 1e-3;

/// Seconds an epoch on the CIFAR-10 training half (25,000 images).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochTimes {
    /// Training, `t`.
    pub train: Seconds,
    /// One validation pass, `v`.
    pub valid: Seconds,
}

/// Time columns that no `t` and `v` explain.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum TimesError {
    /// A solution is negative or zero.
    #[error(
        "the 12-epoch times `{cifar10}` s (CIFAR-10) and `{cifar100}` s (CIFAR-100) give {train} s of training and {valid} s of validation an epoch, expected both above 0"
    )]
    NotPositive {
        /// 12 epochs on CIFAR-10.
        cifar10: f64,
        /// 12 epochs on CIFAR-100.
        cifar100: f64,
        /// The solution `t`.
        train: f64,
        /// The solution `v`.
        valid: f64,
    },
    /// The third column contradicts the first two.
    #[error(
        "the 12-epoch time on ImageNet16-120 is `{found}` s, expected {expected} s by the other two data sets"
    )]
    Contradiction {
        /// What the other columns say.
        expected: f64,
        /// What the column says.
        found: f64,
    },
}

impl EpochTimes {
    /// Solves a row's columns, each of which is 12 times `t + v` (CIFAR-10),
    /// `2t + v/5` (CIFAR-100) and `6.068t + 0.12v` (ImageNet16-120). The first
    /// two give the solution, the third must agree with it.
    pub fn solve(row: &Nasbench201Row) -> Result<Self, TimesError> {
        let (cifar10, cifar100) = (row.cifar10.time_12.get(), row.cifar100.time_12.get());
        let train = (cifar100 - CIFAR100_VALID * cifar10)
            / (TIMED_EPOCHS * (CIFAR100_TRAIN - CIFAR100_VALID));
        let valid = cifar10 / TIMED_EPOCHS - train;
        let positive = |value| {
            Seconds::new(value)
                .ok()
                .filter(|seconds| seconds.get() > 0.0)
        };
        let (Some(train), Some(valid)) = (positive(train), positive(valid)) else {
            return Err(TimesError::NotPositive {
                cifar10,
                cifar100,
                train,
                valid,
            });
        };
        let times = Self { train, valid };
        let found = row.imagenet16_120.time_12.get();
        let expected = TIMED_EPOCHS * times.scaled(IMAGENET16_TRAIN, IMAGENET16_VALID);
        if (found - expected).abs() > AGREEMENT * expected {
            return Err(TimesError::Contradiction { expected, found });
        }
        Ok(times)
    }

    /// What a query is charged: 12 epochs and one validation pass on CIFAR-10,
    /// 199 or 200 epochs and one pass on the other two. `epochs_199` is quirk
    /// Q12 (`charges_199_epochs`). Nothing for a data set that is not in the
    /// table.
    pub fn charge(self, dataset: Dataset, epochs_199: bool) -> Option<Seconds> {
        let full = if epochs_199 { 199.0 } else { 200.0 };
        let seconds = match dataset {
            Dataset::Cifar10 => self.scaled(TIMED_EPOCHS, 1.0),
            Dataset::Cifar100 => self.scaled(full * CIFAR100_TRAIN, CIFAR100_VALID),
            Dataset::ImageNet16_120 => self.scaled(full * IMAGENET16_TRAIN, IMAGENET16_VALID),
            Dataset::Digits => return None,
        };
        Seconds::new(seconds).ok()
    }

    fn scaled(self, train: f64, valid: f64) -> f64 {
        train * self.train.get() + valid * self.valid.get()
    }
}

#[cfg(test)]
mod tests {
    use super::super::nasbench201::tests::row_with_times;
    use super::*;

    #[test]
    fn times_are_solved_to_the_published_record() {
        // Architecture 0: the official record has 7.221092998981476 s and
        // 2.5489792369660877 s; the columns are printed to 1e-6.
        let times = EpochTimes::solve(&row_with_times(117.240_867, 179.423_782, 529.481_638));
        let times = times.unwrap();
        assert!((times.train.get() - 7.221_092_998_981_476).abs() < 1e-6);
        assert!((times.valid.get() - 2.548_979_236_966_087_7).abs() < 1e-6);
    }

    #[test]
    fn charges_follow_the_documented_sums() {
        let times = EpochTimes {
            train: Seconds::new(10.0).unwrap(),
            valid: Seconds::new(5.0).unwrap(),
        };
        let check = |dataset, quirk, expected: f64| {
            let charged = times.charge(dataset, quirk).unwrap().get();
            assert!((charged - expected).abs() < 1e-9, "{dataset}: {charged}");
        };
        for quirk in [true, false] {
            check(Dataset::Cifar10, quirk, 125.0);
        }
        check(Dataset::Cifar100, true, 3_981.0);
        check(Dataset::Cifar100, false, 4_001.0);
        check(Dataset::ImageNet16_120, true, 12_075.92);
        check(Dataset::ImageNet16_120, false, 12_136.6);
        assert_eq!(times.charge(Dataset::Digits, true), None);
    }

    #[test]
    fn impossible_times_are_refused() {
        let swapped = EpochTimes::solve(&row_with_times(179.423_782, 117.240_867, 529.481_638));
        assert!(matches!(swapped, Err(TimesError::Contradiction { .. })));
        let negative = EpochTimes::solve(&row_with_times(117.0, 10.0, 529.0));
        assert!(matches!(negative, Err(TimesError::NotPositive { .. })));
    }
}
