//! The keys of a study file and the types of their values, as plain structs.
//!
//! Everything that may be left out is an `Option` here, since defaults depend
//! on the space; `check` fills them in. `#[serde(flatten)]`, untagged and
//! internally tagged enums are not used: they lose the place of a mistake.

use reprise_domain::study::Pairing;
use reprise_domain::{BuiltinBenchmark, Dataset, ModelName, Protocol, Recipe, SpaceName};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::check::GivenQuirks;
use crate::each::{Each, Word};
use crate::experiment::ExperimentForm;
use crate::value::{Architectures, Count, DurationText, Failures, Name, Numbers, PercentText};

/// The one key that decides how the others are read.
#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    pub(crate) version: Option<u32>,
}

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Form {
    /// Read before, through [`Header`].
    #[serde(rename = "version")]
    _version: IgnoredAny,
    pub(crate) name: String,
    pub(crate) space: Option<Name<SpaceName>>,
    pub(crate) protocol: Option<Name<Protocol>>,
    pub(crate) quirks: Option<GivenQuirks>,
    pub(crate) benchmark: Option<BenchmarkForm>,
    pub(crate) pretrain: Option<Vec<PretrainForm>>,
    pub(crate) search: Option<SearchForm>,
    pub(crate) evaluate: Option<EvaluateForm>,
    pub(crate) experiments: Option<Vec<ExperimentForm>>,
    pub(crate) noop: Option<NoopForm>,
    pub(crate) retry: Option<RetryForm>,
    pub(crate) on_failure: Option<Failures>,
    pub(crate) audit: Option<PercentText>,
}

/// Exactly one key is given.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct BenchmarkForm {
    pub(crate) builtin: Option<Name<BuiltinBenchmark>>,
    pub(crate) table: Option<String>,
    pub(crate) nats: Option<String>,
    pub(crate) train: Option<Name<TrainedDataset>>,
}

/// Data sets that a query can train on.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TrainedDataset {
    Digits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct PretrainForm {
    pub(crate) name: Option<Word>,
    pub(crate) model: Each<Name<ModelName>>,
    pub(crate) seeds: Numbers,
    pub(crate) epochs: Option<Each<Count>>,
    pub(crate) batch: Option<Each<Count>>,
    pub(crate) learning_rate: Option<Each<f64>>,
    pub(crate) clip: Option<Each<f64>>,
    pub(crate) latent_points: Option<Each<Count>>,
    pub(crate) sizes: Option<SizesForm>,
    pub(crate) quirks: Option<GivenQuirks>,
    pub(crate) time_limit: Option<DurationText>,
    pub(crate) silence_limit: Option<DurationText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct SizesForm {
    pub(crate) hidden: Option<Each<Count>>,
    pub(crate) latent: Option<Each<Count>>,
    pub(crate) layers: Option<Each<Count>>,
    pub(crate) dropout: Option<Each<f64>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct SearchForm {
    pub(crate) datasets: Vec<Name<Dataset>>,
    pub(crate) budget: BudgetForm,
    pub(crate) seeds: Numbers,
    pub(crate) pairing: Option<Name<Pairing>>,
    pub(crate) methods: Vec<MethodForm>,
}

/// `queries`, or a duration for each data set.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct BudgetForm {
    pub(crate) queries: Option<Count>,
    cifar10: Option<DurationText>,
    cifar100: Option<DurationText>,
    #[serde(rename = "imagenet16-120")]
    imagenet16_120: Option<DurationText>,
    digits: Option<DurationText>,
}

impl BudgetForm {
    /// The durations that are given.
    pub(crate) fn durations(&self) -> impl Iterator<Item = (Dataset, &DurationText)> {
        [
            (Dataset::Cifar10, &self.cifar10),
            (Dataset::Cifar100, &self.cifar100),
            (Dataset::ImageNet16_120, &self.imagenet16_120),
            (Dataset::Digits, &self.digits),
        ]
        .into_iter()
        .filter_map(|(dataset, text)| text.as_ref().map(|text| (dataset, text)))
    }
}

/// A search method by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MethodName {
    Random,
    RegularizedEvolution,
    Reinforce,
    Dngo,
}

/// A method with the settings of every method; `check` knows whose is whose.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct MethodForm {
    pub(crate) name: Name<MethodName>,
    pub(crate) label: Option<String>,
    pub(crate) encoding: Option<Each<Word>>,
    pub(crate) population: Option<Each<Count>>,
    pub(crate) sample: Option<Each<Count>>,
    pub(crate) episode: Option<Each<Count>>,
    pub(crate) learning_rate: Option<Each<f64>>,
    pub(crate) baseline: Option<Each<f64>>,
    pub(crate) discount: Option<Each<f64>>,
    pub(crate) initial: Option<Each<Count>>,
    pub(crate) batch: Option<Each<Count>>,
    pub(crate) epochs: Option<Each<Count>>,
    pub(crate) target: Option<Each<f64>>,
    pub(crate) quirks: Option<GivenQuirks>,
    pub(crate) time_limit: Option<DurationText>,
    pub(crate) silence_limit: Option<DurationText>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct EvaluateForm {
    pub(crate) architectures: Architectures,
    pub(crate) dataset: Name<TrainedDataset>,
    pub(crate) recipe: Option<Name<Recipe>>,
    pub(crate) seeds: Numbers,
    pub(crate) time_limit: Option<DurationText>,
    pub(crate) silence_limit: Option<DurationText>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct NoopForm {
    pub(crate) tasks: Count,
    pub(crate) hold_ms: Option<Count>,
    pub(crate) failures: Option<Count>,
    pub(crate) time_limit: Option<DurationText>,
    pub(crate) silence_limit: Option<DurationText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RetryForm {
    pub(crate) attempts: Option<Count>,
    pub(crate) backoff: Option<DurationText>,
    pub(crate) lost_workers: Option<Count>,
    pub(crate) silence_limit: Option<DurationText>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::quirk_names;
    use crate::experiment::{LimitsForm, MetricForm, NeedsForm};
    use crate::value::{FirstUnique, StopAfter};

    /// The keys of `T`, from the message about a key that it does not have.
    fn keys<T: for<'de> Deserialize<'de> + std::fmt::Debug>() -> Vec<String> {
        let message = serde_yaml::from_str::<T>("{'?': 1}")
            .unwrap_err()
            .to_string();
        let (_, known) = message.split_once("expected ").unwrap();
        known
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    }

    /// The part of the reference under a heading.
    fn section(heading: &str) -> &'static str {
        let reference = include_str!("../../../configs/README.md");
        let start = format!("\n## {heading}\n");
        let (_, rest) = reference.split_once(&start).expect(heading);
        rest.split("\n## ").next().unwrap_or(rest)
    }

    #[test]
    fn the_reference_explains_every_key_of_every_section() {
        let sections = [
            ("The file", keys::<Form>()),
            ("`benchmark`", keys::<BenchmarkForm>()),
            ("`pretrain`", keys::<PretrainForm>()),
            ("`pretrain[].sizes`", keys::<SizesForm>()),
            ("`search`", keys::<SearchForm>()),
            ("`search.budget`", keys::<BudgetForm>()),
            ("`search.methods`", keys::<MethodForm>()),
            ("`evaluate`", keys::<EvaluateForm>()),
            ("`evaluate`", keys::<FirstUnique>()),
            ("`experiments`", keys::<ExperimentForm>()),
            ("`experiments[].metrics`", keys::<MetricForm>()),
            ("`experiments[].needs`", keys::<NeedsForm>()),
            ("`experiments[].limits`", keys::<LimitsForm>()),
            ("`noop`", keys::<NoopForm>()),
            ("`retry`", keys::<RetryForm>()),
            ("`on-failure`", keys::<StopAfter>()),
            ("`quirks`", quirk_names()),
        ];
        for (heading, keys) in &sections {
            assert!(!keys.is_empty(), "{heading}");
            for key in keys {
                let explained = section(heading).contains(&format!("\n| `{key}` |"));
                assert!(explained, "no row for `{key}` under {heading}");
            }
        }
    }
}
