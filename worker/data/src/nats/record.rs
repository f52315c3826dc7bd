//! One architecture's record: from the pickle to the table's row.
//!
//! A record has two trainings, `"12"` and `"200"` epochs, each with one result
//! for every (data set, seed). The table takes means over the seeds that are
//! there, of the last epoch's accuracies in percent, and for the time the seconds
//! of 12 epochs of training and validation.

use reprise_domain::{Accuracy, ArchIndex, Seconds};

use super::error::RecordError;
use crate::pickle::{Global, Value};
use crate::table::{DatasetRow, Nasbench201Row};

const SCALAR: Global = Global {
    module: "numpy.core.multiarray",
    name: "scalar",
};
const DTYPE: Global = Global {
    module: "numpy",
    name: "dtype",
};
/// The only names that the published files import.
pub(super) const GLOBALS: [Global; 3] = [Global::ORDERED_DICT, SCALAR, DTYPE];

/// Epochs of the short training.
const SHORT_EPOCHS: i64 = 12;

/// Results of one training that are looked into: four data sets, at most three
/// published seeds each. A hostile file could name one huge result many times.
const MAX_RESULTS: usize = 64;

/// Where a column comes from: the data set of the record and the split.
struct Source {
    dataset: &'static str,
    split: &'static str,
}

/// Validation (with its time) and test of one data set of the table.
struct Sources {
    valid: Source,
    test: Source,
}

const fn sources(valid: &'static str, test: &'static str, test_split: &'static str) -> Sources {
    Sources {
        valid: Source {
            dataset: valid,
            split: "x-valid",
        },
        test: Source {
            dataset: test,
            split: test_split,
        },
    }
}

const CIFAR10: Sources = sources("cifar10-valid", "cifar10", "ori-test");
const CIFAR100: Sources = sources("cifar100", "cifar100", "x-test");
const IMAGENET16: Sources = sources("ImageNet16-120", "ImageNet16-120", "x-test");

/// Reads the architecture strings of `meta.pickle.pbz2`, in index order.
pub(super) fn read_meta(root: Value<'_>) -> Result<Vec<&str>, RecordError> {
    let root = Field::root(root);
    let archs = root.get("meta_archs")?;
    let items = archs.value.items();
    let items = items.ok_or_else(|| archs.wrong("a list of architecture strings"))?;
    items
        .enumerate()
        .map(|(index, value)| {
            let text = value.as_text();
            text.ok_or_else(|| archs.child(&index.to_string(), value).wrong("a text"))
        })
        .collect()
}

/// Reads the record of `arch`, whose string must be `arch_str`.
pub(super) fn read_record(
    root: Value<'_>,
    arch: ArchIndex,
    arch_str: &str,
) -> Result<Nasbench201Row, RecordError> {
    let root = Field::root(root);
    let short = Training::open(&root, "12", "11", arch, arch_str)?;
    let full = Training::open(&root, "200", "199", arch, arch_str)?;
    let dataset = |sources: &Sources| {
        Ok(DatasetRow {
            valid_200: full.accuracy(&sources.valid)?,
            test_200: full.accuracy(&sources.test)?,
            valid_12: short.accuracy(&sources.valid)?,
            test_12: short.accuracy(&sources.test)?,
            time_12: short.time(&sources.valid)?,
        })
    };
    let (parameters, flops_millions) = full.size(CIFAR10.test.dataset)?;
    Ok(Nasbench201Row {
        cifar10: dataset(&CIFAR10)?,
        cifar100: dataset(&CIFAR100)?,
        imagenet16_120: dataset(&IMAGENET16)?,
        parameters,
        flops_millions,
    })
}

/// A value and where it is in the record.
#[derive(Clone)]
struct Field<'p> {
    at: String,
    value: Value<'p>,
}

impl<'p> Field<'p> {
    fn root(value: Value<'p>) -> Self {
        Self {
            at: "the top".to_owned(),
            value,
        }
    }

    fn child(&self, name: &str, value: Value<'p>) -> Self {
        let name: String = name.chars().take(80).collect();
        let at = match self.at.as_str() {
            "the top" => name,
            at => format!("{at}/{name}"),
        };
        Self { at, value }
    }

    fn get(&self, key: &str) -> Result<Self, RecordError> {
        match self.value.get(key) {
            Some(value) => Ok(self.child(key, value)),
            None => Err(self.wrong(&format!("a dictionary with `{key}`"))),
        }
    }

    fn get_int(&self, key: i64) -> Result<Self, RecordError> {
        match self.value.get_int(key) {
            Some(value) => Ok(self.child(&key.to_string(), value)),
            None => Err(self.wrong(&format!("a dictionary with {key}"))),
        }
    }

    /// A number, as Python's or as a `numpy` scalar.
    fn number(&self) -> Result<f64, RecordError> {
        let number = self.value.as_float().or_else(|| numpy_scalar(self.value));
        let finite = number.filter(|number| number.is_finite());
        finite.ok_or_else(|| self.wrong("a finite number"))
    }

    fn wrong(&self, expected: &str) -> RecordError {
        RecordError {
            at: self.at.clone(),
            expected: expected.to_owned(),
            found: self.value.describe(),
        }
    }
}

/// A recorded `numpy` scalar: `scalar(dtype("f8", …), bytes)` where the state
/// given to the type starts `(3, "<", …)`, little-endian.
fn numpy_scalar(value: Value<'_>) -> Option<f64> {
    let call = value.as_call().filter(|call| call.function == SCALAR)?;
    let [kind, bytes] = call.arguments.tuple()?;
    let kind = kind.as_call().filter(|call| call.function == DTYPE)?;
    if kind.arguments.items()?.next()?.as_text() != Some("f8") {
        return None;
    }
    if kind.state?.items()?.nth(1)?.as_text() != Some("<") {
        return None;
    }
    Some(f64::from_le_bytes(bytes.as_bytes()?.try_into().ok()?))
}

/// All results of one training length.
struct Training<'p> {
    /// One for each (data set, seed).
    results: Vec<(&'p str, Field<'p>)>,
    last_epoch: &'static str,
}

impl<'p> Training<'p> {
    fn open(
        root: &Field<'p>,
        epochs: &str,
        last_epoch: &'static str,
        arch: ArchIndex,
        arch_str: &str,
    ) -> Result<Self, RecordError> {
        let training = root.get(epochs)?;
        let index = training.get("arch_index")?;
        if index.value.as_int() != Some(i64::from(arch.0)) {
            return Err(index.wrong(&format!("the integer `{arch}`")));
        }
        let text = training.get("arch_str")?;
        if text.value.as_text() != Some(arch_str) {
            return Err(text.wrong(&format!("the text `{arch_str}`")));
        }
        let all = training.get("all_results")?;
        let entries = all.value.entries();
        let entries = entries.filter(|entries| entries.len() <= MAX_RESULTS);
        let entries = entries
            .ok_or_else(|| all.wrong(&format!("a dictionary of at most {MAX_RESULTS} results")))?;
        let results = entries.map(|(key, result)| {
            let parts = key
                .tuple()
                .and_then(|[dataset, seed]| Some((dataset.as_text()?, seed.as_int()?)));
            let key = all.child("a key", key);
            let (dataset, seed) = parts.ok_or_else(|| key.wrong("(data set, seed)"))?;
            Ok((
                dataset,
                all.child(&format!("{dataset} seed {seed}"), result),
            ))
        });
        Ok(Self {
            results: results.collect::<Result<_, _>>()?,
            last_epoch,
        })
    }

    /// The mean over the seeds of what `read` finds in each result of a data set.
    fn mean(
        &self,
        dataset: &str,
        read: impl Fn(&Field<'p>) -> Result<f64, RecordError>,
    ) -> Result<f64, RecordError> {
        let mut sum = 0.0;
        let mut seeds = 0_u32;
        for (_, result) in self.results.iter().filter(|(name, _)| *name == dataset) {
            sum += read(result)?;
            seeds += 1;
        }
        if seeds == 0 {
            return Err(self.missing(dataset));
        }
        Ok(sum / f64::from(seeds))
    }

    fn missing(&self, dataset: &str) -> RecordError {
        RecordError {
            at: format!("the results of epoch {}", self.last_epoch),
            expected: format!("at least one seed of `{dataset}`"),
            found: "none".to_owned(),
        }
    }

    /// Mean accuracy after the last epoch.
    fn accuracy(&self, source: &Source) -> Result<Accuracy, RecordError> {
        let key = format!("{}@{}", source.split, self.last_epoch);
        let percent = self.mean(source.dataset, |result| {
            let field = result.get("eval_acc1es")?.get(&key)?;
            let percent = field.number()?;
            if Accuracy::from_percent(percent).is_err() {
                return Err(field.wrong("percent from 0 to 100"));
            }
            Ok(percent)
        })?;
        Ok(Accuracy::from_percent(percent).expect("a mean of percentages is one"))
    }

    /// Mean time of the short training: training and validation, 12 epochs.
    fn time(&self, source: &Source) -> Result<Seconds, RecordError> {
        let seconds = self.mean(source.dataset, |result| {
            let train = result.get("train_times")?;
            let eval = result.get("eval_times")?;
            (0..SHORT_EPOCHS).try_fold(0.0, |sum, epoch| {
                let key = format!("{}@{epoch}", source.split);
                let times = [train.get_int(epoch)?, eval.get(&key)?];
                times.iter().try_fold(sum, |sum, field| {
                    let seconds = Seconds::new(field.number()?);
                    let seconds = seconds.map_err(|_| field.wrong("seconds, not negative"))?;
                    Ok(sum + seconds.get())
                })
            })
        })?;
        Ok(Seconds::new(seconds).unwrap_or(Seconds::ZERO))
    }

    /// Parameters, and millions of multiply-adds, of the network on a data set.
    fn size(&self, dataset: &str) -> Result<(u64, f64), RecordError> {
        let mut results = self.results.iter();
        let found = results.find(|(name, _)| *name == dataset);
        let (_, result) = found.ok_or_else(|| self.missing(dataset))?;
        let millions = result.get("params")?;
        let parameters = (millions.number()? * 1e6).round();
        if !(0.0..=1e9).contains(&parameters) {
            return Err(millions.wrong("millions of parameters from 0 to 1000"));
        }
        let flops = result.get("flop")?;
        let flops_millions = flops.number()?;
        if !(0.0..=1e6).contains(&flops_millions) {
            return Err(flops.wrong("millions of operations from 0 to 1000000"));
        }
        Ok((parameters as u64, flops_millions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pickle::tests::{damaged, sample};
    use crate::pickle::{self, Limits};

    fn text(text: &str) -> Vec<u8> {
        [&[0x8c, text.len() as u8], text.as_bytes()].concat()
    }

    fn dict(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let entries = entries
            .iter()
            .flat_map(|(key, value)| [key.as_slice(), value]);
        let entries: Vec<&[u8]> = entries.collect();
        [b"}(".as_slice(), &entries.concat(), b"u"].concat()
    }

    /// A training of architecture 4, `|a|`, with the given results.
    fn training(results: &[u8]) -> Vec<u8> {
        dict(&[
            (text("arch_index"), b"K\x04".to_vec()),
            (text("arch_str"), text("|a|")),
            (text("all_results"), results.to_vec()),
        ])
    }

    fn check(short: &[u8], full: &[u8], message: &str) {
        let root = dict(&[(text("12"), short.to_vec()), (text("200"), full.to_vec())]);
        let bytes = [root.as_slice(), b"."].concat();
        let pickle = pickle::read(&bytes, &GLOBALS, &Limits::DEFAULT).unwrap();
        let error = read_record(pickle.root(), ArchIndex(4), "|a|").unwrap_err();
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn errors_say_where_in_the_record() {
        let good = training(b"}");
        check(
            b"N",
            &good,
            "at 12: expected a dictionary with `arch_index`, found none",
        );
        check(
            &good,
            &dict(&[(text("arch_index"), b"K\x05".to_vec())]),
            "at 200/arch_index: expected the integer `4`, found the integer `5`",
        );
        check(
            &good,
            &training(b"]"),
            "at 200/all_results: expected a dictionary of at most 64 results, found a list of 0",
        );
        check(
            &good,
            &good,
            "at the results of epoch 199: expected at least one seed of `cifar10`, found none",
        );
        let key = [text("cifar10"), b"M\x09\x03\x86".to_vec()].concat();
        let flat = dict(&[(key.clone(), b"}".to_vec())]);
        check(
            &good,
            &training(&flat),
            "at 200/all_results/cifar10 seed 777: expected a dictionary with `params`, found a dictionary of 0",
        );
    }

    #[test]
    fn damaged_records_never_panic() {
        let Some(bytes) = sample("000284") else {
            return;
        };
        let arch_str =
            "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|nor_conv_1x1~1|none~2|";
        let mut read = 0;
        for bytes in damaged(&bytes, 150) {
            if let Ok(pickle) = pickle::read(&bytes, &GLOBALS, &Limits::DEFAULT) {
                read += usize::from(read_record(pickle.root(), ArchIndex(284), arch_str).is_ok());
            }
        }
        // Most of a record is not in the table, so some damage goes unnoticed.
        assert!(read < 150);
    }
}
