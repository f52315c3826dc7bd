//! Classes of tasks that are expected to take equally long.
//!
//! Kind alone is too coarse: a random search takes a millisecond and a Bayesian
//! one minutes.

use std::collections::HashMap;

use reprise_domain::{Dataset, EncodingName, ModelName, Recipe, SpaceName, TaskSpec};

use super::rate::Mean;

/// What the expected duration of a task goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Class {
    Pretrain {
        space: SpaceName,
        model: ModelName,
    },
    Search {
        method: &'static str,
        dataset: Dataset,
        embedded: bool,
    },
    Evaluate {
        dataset: Dataset,
        recipe: Recipe,
    },
    Noop,
}

impl Class {
    const fn of(spec: &TaskSpec) -> Self {
        match spec {
            TaskSpec::Pretrain(spec) => Self::Pretrain {
                space: spec.space,
                model: spec.model,
            },
            TaskSpec::Search(spec) => Self::Search {
                method: spec.method.name(),
                dataset: spec.dataset,
                embedded: matches!(spec.encoding, EncodingName::Embedding { .. }),
            },
            TaskSpec::Evaluate(spec) => Self::Evaluate {
                dataset: spec.dataset,
                recipe: spec.recipe,
            },
            TaskSpec::Noop(_) => Self::Noop,
        }
    }
}

/// Position of a class in the table. There are few: a task's class has no seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClassIx(u16);

/// All classes that occur.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Classes {
    index: HashMap<Class, ClassIx>,
    rows: Vec<Row>,
}

/// What is known of one class.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Row {
    /// Mean seconds of its finished tasks, on whatever worker.
    pub(crate) mean: Option<Mean>,
    /// Its ready tasks.
    pub(crate) ready: u32,
}

impl Classes {
    /// The class of `spec`, added at need.
    pub(crate) fn intern(&mut self, spec: &TaskSpec) -> ClassIx {
        let rows = &mut self.rows;
        *self.index.entry(Class::of(spec)).or_insert_with(|| {
            rows.push(Row::default());
            ClassIx(u16::try_from(rows.len() - 1).expect("classes are products of small enums"))
        })
    }

    pub(crate) fn row(&self, class: ClassIx) -> &Row {
        &self.rows[class.0 as usize]
    }

    pub(crate) fn row_mut(&mut self, class: ClassIx) -> &mut Row {
        &mut self.rows[class.0 as usize]
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }
}
