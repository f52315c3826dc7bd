//! Why a study cannot be planned.

use reprise_domain::{Dataset, Seed};

use super::Stage;

/// A study that cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The study asks for nothing.
    #[error(
        "the study has no tasks: expected `pretrain`, `search`, `evaluate`, `experiments` or `noop` entries"
    )]
    NoTasks,
    /// The study asks for more than the coordinator holds.
    #[error("the study has more than `{limit}` tasks")]
    TooManyTasks {
        /// The most that a study may have.
        limit: usize,
    },
    /// The study has more stages than can be reported on.
    #[error("the study has `{stages}` stages: expected at most `{limit}`")]
    TooManyStages {
        /// Its pretraining entries, its methods times its data sets, and the levels of
        /// its experiments.
        stages: usize,
        /// The most that a study may have.
        limit: usize,
    },
    /// Something is about a space, and the study names none.
    #[error("the study has no `space`, which {section} is about")]
    NoSpace {
        /// The part of the study.
        section: &'static str,
    },
    /// Two experiments would share their rows of the tables.
    #[error("two experiments have the name `{name}`: expected each name once")]
    RepeatedExperiment {
        /// The name.
        name: String,
    },
    /// A method searches an embedding that the study does not make.
    #[error(
        "method `{label}` searches the embedding of `{entry}`, which no `pretrain` entry makes"
    )]
    EncodingWithoutPretrain {
        /// Label of the method, with its level.
        label: String,
        /// The entry that it names.
        entry: String,
    },
    /// Two pretraining entries of one name and level: which one a method means would
    /// be unclear.
    #[error("two `pretrain` entries are `{title}`: expected a name or a level of its own of each")]
    RepeatedEntry {
        /// The name with the level.
        title: String,
    },
    /// Two methods would share a row of the tables.
    #[error("two methods have the label `{label}`: expected each label once")]
    RepeatedLabel {
        /// The label, with the level.
        label: String,
    },
    /// A data set is listed twice.
    #[error("the data set `{dataset}` is listed twice")]
    RepeatedDataset {
        /// The data set.
        dataset: Dataset,
    },
    /// A sweep without seeds.
    #[error("{sweep} has no seeds: expected at least one")]
    NoSeeds {
        /// The part of the study.
        sweep: String,
    },
    /// A seed that occurs twice would be counted twice.
    #[error("{sweep} has the seed `{seed}` twice")]
    RepeatedSeed {
        /// The part of the study.
        sweep: String,
        /// The seed.
        seed: Seed,
    },
    /// Two entries ask for exactly the same task, so that their numbers would
    /// not be independent.
    #[error("`{title}` is planned twice, by `{first}` and by `{second}`")]
    RepeatedTask {
        /// The task, for people.
        title: String,
        /// The stage that has it.
        first: Stage,
        /// The stage that has it again.
        second: Stage,
    },
}
