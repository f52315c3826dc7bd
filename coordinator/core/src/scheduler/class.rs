//! Classes of tasks that are expected to take equally long.
//!
//! Kind alone is too coarse: a random search takes a millisecond and a Bayesian
//! one minutes.

use std::collections::HashMap;

use reprise_domain::{
    Budget, Dataset, EncodingName, MethodSpec, ModelName, ProgramSpec, Recipe, SearchSpec,
    SpaceName, TaskSpec,
};

use super::rate::Mean;

/// What the expected duration of a task goes by. Sizes are magnitudes, powers of
/// two: a budget a hundred times as large is another class, and there are still
/// few classes, however many different studies are submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Class {
    Pretrain {
        space: SpaceName,
        model: ModelName,
        /// Epochs times weights.
        work: u32,
        batch: u32,
    },
    Search {
        method: &'static str,
        dataset: Dataset,
        embedded: bool,
        /// Whether it is of simulated time; times the epochs of a surrogate.
        budget: (bool, u32),
    },
    Evaluate {
        dataset: Dataset,
        recipe: Recipe,
    },
    Noop {
        hold: u32,
    },
    /// One of so many that experiments and their levels are told apart nearly always.
    Program {
        bucket: u16,
    },
}

impl Class {
    fn of(spec: &TaskSpec) -> Self {
        match spec {
            TaskSpec::Pretrain(spec) => Self::Pretrain {
                space: spec.space,
                model: spec.model,
                work: magnitude(u64::from(spec.epochs).saturating_mul(spec.sizes.weights())),
                batch: magnitude(u64::from(spec.batch)),
            },
            TaskSpec::Search(spec) => Self::Search {
                method: spec.method.name(),
                dataset: spec.dataset,
                embedded: matches!(spec.encoding, EncodingName::Embedding { .. }),
                budget: match spec.budget {
                    Budget::Queries(queries) => (false, trained(spec, u64::from(queries))),
                    Budget::Simulated(seconds) => (true, trained(spec, seconds.get() as u64)),
                },
            },
            TaskSpec::Evaluate(spec) => Self::Evaluate {
                dataset: spec.dataset,
                recipe: spec.recipe,
            },
            TaskSpec::Noop(spec) => Self::Noop {
                hold: magnitude(u64::from(spec.hold_ms)),
            },
            TaskSpec::Program(spec) => Self::Program {
                bucket: bucket(spec),
            },
        }
    }
}

/// The magnitude of a budget, times the epochs that a surrogate is trained in each round.
fn trained(spec: &SearchSpec, budget: u64) -> u32 {
    let epochs = match spec.method {
        MethodSpec::Dngo { epochs, .. } => u64::from(epochs).max(1),
        _ => 1,
    };
    magnitude(budget.saturating_mul(epochs))
}

/// What is run with which parameters, as a number of few bits: there may be as many
/// different programs as people think of, but no more classes than their table holds.
fn bucket(spec: &ProgramSpec) -> u16 {
    const BUCKETS: u16 = 1 << 12;
    let mut hasher = blake3::Hasher::new();
    for argument in &spec.command {
        hasher.update(argument.as_bytes());
    }
    for (name, value) in &spec.parameters {
        hasher.update(name.as_bytes());
        hasher.update(value.to_string().as_bytes());
    }
    let [a, b, ..] = *hasher.finalize().as_bytes();
    u16::from_le_bytes([a, b]) % BUCKETS
}

/// How many binary digits a size has.
const fn magnitude(size: u64) -> u32 {
    u64::BITS - size.leading_zeros()
}

/// Position of a class in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClassIx(pub(super) u16);

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
            ClassIx(
                u16::try_from(rows.len() - 1)
                    .expect("classes are products of small enums and magnitudes"),
            )
        })
    }

    pub(crate) fn row(&self, class: ClassIx) -> &Row {
        &self.rows[class.0 as usize]
    }

    pub(crate) fn row_mut(&mut self, class: ClassIx) -> &mut Row {
        &mut self.rows[class.0 as usize]
    }

    /// Sets the mean seconds of all classes, in the order in which they appeared.
    pub(crate) fn set_means(&mut self, means: &[Option<f64>]) {
        for (row, mean) in self.rows.iter_mut().zip(means) {
            row.mean = mean.map(Mean::of_seconds);
        }
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }
}
