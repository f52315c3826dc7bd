//! The `benchmark` section, and the data sets that a benchmark answers for.

use std::path::PathBuf;

use reprise_domain::{Dataset, Recipe, SpaceName};

use super::checker::Checker;
use crate::error::{Problem, StudyFileError};
use crate::file::BenchmarkSource;
use crate::form::{BenchmarkForm, TrainedDataset};
use crate::path::KeyPath;

/// Checks that exactly one source is named, and that it fits the space.
pub(super) fn check(
    checker: &Checker<'_>,
    form: BenchmarkForm,
) -> Result<BenchmarkSource, StudyFileError> {
    let path = KeyPath::root().key("benchmark");
    let one = "exactly one of `builtin`, `table`, `nats` and `train`";
    let file = |key: &str, text: String| match text.trim() {
        "" => Err(checker.wrong(&path.key(key), "a path")),
        _ => Ok(PathBuf::from(text)),
    };
    let nasbench201_only = |key: &str, name| match checker.space {
        SpaceName::Nasbench201 => Ok(()),
        SpaceName::Nasbench101 => {
            let path = path.key(key);
            Err(checker.at_value(&path.clone(), Problem::OtherSpace { path, name }))
        }
    };
    match form {
        BenchmarkForm {
            builtin: Some(name),
            table: None,
            nats: None,
            train: None,
        } => {
            nasbench201_only("builtin", name.0.as_str())?;
            Ok(BenchmarkSource::Builtin(name.0))
        }
        BenchmarkForm {
            builtin: None,
            table: Some(text),
            nats: None,
            train: None,
        } => Ok(BenchmarkSource::Table(file("table", text)?)),
        BenchmarkForm {
            builtin: None,
            table: None,
            nats: Some(text),
            train: None,
        } => {
            nasbench201_only("nats", "nats")?;
            Ok(BenchmarkSource::Nats(file("nats", text)?))
        }
        BenchmarkForm {
            builtin: None,
            table: None,
            nats: None,
            train: Some(dataset),
        } => {
            nasbench201_only("train", "train")?;
            let TrainedDataset::Digits = dataset.0;
            Ok(BenchmarkSource::Train(Recipe::DigitsSmall))
        }
        _ => {
            let keys = ["builtin", "table", "nats", "train"];
            let given = keys
                .iter()
                .filter(|key| checker.tree.contains(&path.key(key)))
                .count();
            let found = match given {
                0 => "empty".to_owned(),
                given => format!("a mapping with {given} sources"),
            };
            let problem = Problem::WrongValue {
                path: path.clone(),
                found,
                expected: one.to_owned(),
            };
            Err(checker.at_key(&path, problem))
        }
    }
}

/// The data sets that `benchmark` can answer for in `space`. A table may hold
/// any of NAS-Bench-201's; whether it does is seen when it is read.
pub(super) fn datasets(benchmark: &BenchmarkSource, space: SpaceName) -> &'static [Dataset] {
    match (benchmark, space) {
        (BenchmarkSource::Builtin(_) | BenchmarkSource::Train(_), _) => &[Dataset::Digits],
        (_, SpaceName::Nasbench101) => &[Dataset::Cifar10],
        (BenchmarkSource::Nats(_), SpaceName::Nasbench201) => {
            &[Dataset::Cifar10, Dataset::Cifar100, Dataset::ImageNet16_120]
        }
        (BenchmarkSource::Table(_), SpaceName::Nasbench201) => &[
            Dataset::Cifar10,
            Dataset::Cifar100,
            Dataset::ImageNet16_120,
            Dataset::Digits,
        ],
    }
}

/// The benchmark as messages call it.
pub(super) fn describe(benchmark: &BenchmarkSource, space: SpaceName) -> String {
    match benchmark {
        BenchmarkSource::Builtin(name) => format!("the benchmark `{}`", name.as_str()),
        BenchmarkSource::Table(_) => format!("a table of `{space}`"),
        BenchmarkSource::Nats(_) => "a NATS-Bench directory".to_owned(),
        BenchmarkSource::Train(_) => "training on `digits`".to_owned(),
    }
}
