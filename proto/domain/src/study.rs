//! A study as it is submitted: validated, defaults filled in, every outside file
//! replaced by its digest. The text form that people write and its error
//! messages are in `reprise-study`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::audit::AuditShare;
use crate::benchmark::BenchmarkRef;
use crate::ids::StudyName;
use crate::limits::Limits;
use crate::program::{Factor, Goal, Needs, ProgramLimits, Scalar, ShippedFile, titled};
use crate::protocol::{PretrainQuirks, Protocol, Quirks, SearchQuirks};
use crate::space::{ArchIndex, Dataset, SpaceName};
use crate::task::{Budget, MethodSpec, ModelName, ModelSizes, Recipe};
use crate::units::{Seconds, Seed};

/// A whole study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudySpec {
    /// Its name.
    pub name: StudyName,
    /// The space that everything in it is about; none in a study of programs alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<SpaceName>,
    /// The protocol it started from, for people; `quirks` decides.
    pub protocol: Protocol,
    /// The quirks in force.
    pub quirks: Quirks,
    /// Pretraining runs.
    pub pretrain: Vec<PretrainPlan>,
    /// Search trials.
    pub search: Option<SearchPlan>,
    /// Real trainings.
    pub evaluate: Option<EvaluatePlan>,
    /// Tasks that do nothing.
    pub noop: Option<NoopPlan>,
    /// Programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub experiments: Vec<ExperimentPlan>,
    /// How failing tasks are retried.
    pub retry: RetryPolicy,
    /// What a failed task means for the rest.
    pub on_failure: OnFailure,
    /// The part of the finished tasks that runs again on another worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditShare>,
}

impl StudySpec {
    /// Whether some of its tasks run only where libtorch is.
    pub fn needs_libtorch(&self) -> bool {
        self.evaluate.is_some() || self.search_trains()
    }

    /// Whether its searches train what they buy.
    pub fn search_trains(&self) -> bool {
        let search = self.search.as_ref();
        search.is_some_and(|plan| plan.benchmark.is_training())
    }

    /// Whether tables tell of every trial which pretraining seed made its embedding:
    /// where embeddings differ in more than their seed, or a search seed has several
    /// of them. Tables of other studies have the form that they always had.
    pub fn tells_embeddings(&self) -> bool {
        let mut entries = self.pretrain.iter();
        let mut methods = self.search.iter().flat_map(|search| &search.methods);
        let is_crossed = |search: &SearchPlan| search.pairing == Pairing::Crossed;
        entries.any(|plan| plan.name.is_some() || !plan.level.is_empty())
            || methods.any(|plan| !plan.level.is_empty())
            || self.search.as_ref().is_some_and(is_crossed)
    }
}

/// Seeds of a sweep: 1, 2, 3, … in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seeds(pub Vec<Seed>);

impl Seeds {
    /// Bound of one sweep, so that a typing error cannot plan a billion tasks.
    pub const MAX: usize = 1_000_000;

    /// `first..=last`.
    pub fn range(first: u64, last: u64) -> Self {
        Self((first..=last).map(Seed).collect())
    }

    /// The seeds in order.
    pub fn iter(&self) -> impl Iterator<Item = Seed> + '_ {
        self.0.iter().copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Seeds {
    /// `1..20` for a run of consecutive seeds, else a comma list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [first, .., last] if self.0.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0) => {
                write!(f, "{first}..{last}")
            }
            seeds => {
                for (position, seed) in seeds.iter().enumerate() {
                    let separator = if position == 0 { "" } else { "," };
                    write!(f, "{separator}{seed}")?;
                }
                Ok(())
            }
        }
    }
}

/// Pretraining runs that differ in their seed only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PretrainPlan {
    /// Its name, by which methods choose its embeddings; the model's where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The settings that tell it from the other entries of this name, in the order of
    /// the study.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub level: Vec<Factor>,
    /// Which autoencoder.
    pub model: ModelName,
    /// Its sizes.
    pub sizes: ModelSizes,
    /// Passes over the training graphs.
    pub epochs: u32,
    /// Graphs a step.
    pub batch: u32,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// Bound of the global gradient norm.
    pub clip: f64,
    /// Latent points drawn for validity and uniqueness.
    pub latent_points: u32,
    /// Its own quirks; those of the study where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quirks: Option<PretrainQuirks>,
    /// Repetition seeds.
    pub seeds: Seeds,
    /// How long an attempt may take.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
}

impl PretrainPlan {
    /// The name that it shares with the other levels of its entry in a study file.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(self.model.as_str())
    }

    /// Its name with its level, by which it is known in a study.
    pub fn title(&self) -> String {
        titled(self.label(), &self.level)
    }
}

/// Search trials: every method on every data set with every seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchPlan {
    /// Data sets, each with the budget that ends a trial on it.
    pub datasets: Vec<DatasetBudget>,
    /// Where accuracies come from.
    pub benchmark: BenchmarkRef,
    /// The methods.
    pub methods: Vec<MethodPlan>,
    /// Repetition seeds.
    pub seeds: Seeds,
    /// How trials and embeddings meet.
    #[serde(default, skip_serializing_if = "Pairing::is_in_turn")]
    pub pairing: Pairing,
}

/// How the seeds of a search meet the embeddings of a pretraining entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// A trial takes the embedding of pretraining seed number
    /// `(position of the seed) mod (pretraining seeds)`, so that the trials of a method
    /// are spread evenly over the embeddings.
    #[default]
    InTurn,
    /// Every seed has a trial on every embedding.
    Crossed,
}

impl Pairing {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes fields by reference"
    )]
    fn is_in_turn(&self) -> bool {
        *self == Self::InTurn
    }
}

/// A data set and the budget of a trial on it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DatasetBudget {
    /// The data set.
    pub dataset: Dataset,
    /// The budget.
    pub budget: Budget,
}

/// One method of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodPlan {
    /// Row label in tables; unique in the study together with the level.
    pub label: String,
    /// The settings, of it and of its embedding, that tell it from the other methods
    /// of this label, in the order of the study.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub level: Vec<Factor>,
    /// The method and its settings.
    pub method: MethodSpec,
    /// [Title](PretrainPlan::title) of the pretraining entry whose embeddings it
    /// searches, or the discrete encoding.
    pub encoding: Option<String>,
    /// Its own quirks; those of the study where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quirks: Option<SearchQuirks>,
    /// How long an attempt may take.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
}

impl MethodPlan {
    /// Its label with its level, by which it is known in a study.
    pub fn title(&self) -> String {
        titled(&self.label, &self.level)
    }
}

/// Real trainings of many architectures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluatePlan {
    /// Which architectures.
    pub architectures: ArchSelection,
    /// Images they are trained on.
    pub dataset: Dataset,
    /// How they are trained.
    pub recipe: Recipe,
    /// Repetition seeds.
    pub seeds: Seeds,
    /// How long an attempt may take.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
}

/// A choice of architectures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArchSelection {
    /// Every index of the space.
    All,
    /// One representative of each functionally distinct cell; the other indices
    /// take the numbers of their representative.
    Unique,
    /// The first so many of [`ArchSelection::Unique`], for trials.
    FirstUnique(u32),
    /// These indices.
    Listed(Vec<ArchIndex>),
}

/// Tasks that do nothing, to measure the orchestrator.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NoopPlan {
    /// How many.
    pub tasks: u32,
    /// How long each holds its slot, in milliseconds.
    pub hold_ms: u32,
    /// Attempts of each that fail before one succeeds.
    pub failures: u32,
    /// How long an attempt may take.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
}

/// A program that is run with every combination of its factors' values and every
/// seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentPlan {
    /// Its name in tables; unique in the study.
    pub name: String,
    /// The program and its arguments, with placeholders.
    pub command: Vec<String>,
    /// Files that its directory has when it starts, by ascending path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ShippedFile>,
    /// Its factors, in the order of the tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grid: Vec<GridFactor>,
    /// The metrics that it gives, in the order of the tables.
    pub metrics: Vec<MetricPlan>,
    /// What a worker must have to run it.
    #[serde(default)]
    pub needs: Needs,
    /// What an attempt may use.
    #[serde(default, skip_serializing_if = "ProgramLimits::is_none")]
    pub uses: ProgramLimits,
    /// Repetition seeds.
    pub seeds: Seeds,
    /// How long an attempt may take.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
}

impl ExperimentPlan {
    /// How many combinations of values there are; saturates.
    pub fn levels(&self) -> usize {
        let lengths = self.grid.iter().map(|factor| factor.values.len());
        lengths.fold(1, usize::saturating_mul)
    }
}

/// A parameter with all its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridFactor {
    /// The parameter's name.
    pub name: String,
    /// Its values, in the order of the tables.
    pub values: Vec<Scalar>,
}

/// A metric as tables show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricPlan {
    /// Its name, by which the program gives it.
    pub name: String,
    /// Its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Which of its values are better, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
}

/// How failing tasks are retried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts that may fail by the task's own fault before it is given up.
    pub attempts: u32,
    /// Wait before the second attempt; doubled for each further one.
    pub backoff: Seconds,
    /// Workers that a task may be lost with before it is quarantined.
    pub lost_workers: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Seconds::new(1.0).unwrap_or_default(),
            lost_workers: 5,
        }
    }
}

/// What a failed task means for the rest of its study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The study goes on and says what is missing.
    #[default]
    Continue,
    /// No further task of the study is started.
    Stop,
    /// The same after so many failed tasks.
    StopAfter(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_print_as_written_in_study_files() {
        assert_eq!(Seeds::range(1, 500).to_string(), "1..500");
        assert_eq!(Seeds(vec![Seed(1), Seed(3)]).to_string(), "1,3");
        assert_eq!(Seeds(vec![Seed(4)]).to_string(), "4");
    }
}
