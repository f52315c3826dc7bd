//! The settings of a search method with their values, and their published defaults.

use reprise_domain::bounds::{Whole, search as bounds};
use reprise_domain::{MethodSpec, SpaceName};

use super::axis::{Axis, Combination, combinations};
use super::checker::Checker;
use crate::each::Each;
use crate::form::{MethodForm, MethodName};
use crate::path::KeyPath;
use crate::value::Count;

/// Settings of `REINFORCE` and `DNGO` that differ between the spaces (protocol
/// notes, sections 5 and 6).
struct Published {
    baseline: f64,
    discount: f64,
    batch: u32,
    target: f64,
}

impl Published {
    const fn of(space: SpaceName) -> Self {
        match space {
            SpaceName::Nasbench101 => Self {
                baseline: 0.95,
                discount: 0.8,
                batch: 5,
                target: 0.95,
            },
            SpaceName::Nasbench201 => Self {
                baseline: 0.4,
                discount: 0.4,
                batch: 1,
                target: 1.0,
            },
        }
    }
}

/// Settings that pretraining has, too, under the same key: their columns are told
/// apart by this before the name.
const SHARED_WITH_PRETRAINING: [&str; 3] = ["batch", "epochs", "learning-rate"];

/// Name of the factor that a list of values of `key` is.
fn factor(key: &str) -> String {
    if SHARED_WITH_PRETRAINING.contains(&key) {
        format!("search-{key}")
    } else {
        key.to_owned()
    }
}

/// The settings of a method.
pub(super) enum Settings {
    Random,
    RegularizedEvolution {
        population: Axis<u32>,
        /// None where the published one is taken, which follows the population.
        sample: Option<Axis<u32>>,
    },
    Reinforce {
        episode: Axis<u32>,
        learning_rate: Axis<f64>,
        baseline: Axis<f64>,
        discount: Axis<f64>,
    },
    Dngo {
        initial: Axis<u32>,
        batch: Axis<u32>,
        epochs: Axis<u32>,
        target: Axis<f64>,
    },
}

impl Settings {
    /// The settings with their defaults (protocol notes, sections 5 and 6; those of
    /// regularised evolution as in the curves that the paper compares with).
    pub(super) fn check(checker: &Checker<'_>, path: &KeyPath, form: &MethodForm) -> Self {
        let whole = |key: &str, given: &Option<Each<Count>>, default, bound| {
            checker.wholes(&path.key(key), &factor(key), given.as_ref(), default, bound)
        };
        let real = |key: &str, given: &Option<Each<f64>>, default, bound| {
            checker.reals(&path.key(key), &factor(key), given.as_ref(), default, bound)
        };
        let published = Published::of(checker.space);
        match form.name.0 {
            MethodName::Random => Self::Random,
            MethodName::RegularizedEvolution => {
                let population = whole("population", &form.population, 10, bounds::POPULATION);
                // Every sample is drawn from every population.
                let most = population.values.iter().copied().min().unwrap_or(1);
                let bound = Whole { least: 1, most };
                let sample = form
                    .sample
                    .is_some()
                    .then(|| whole("sample", &form.sample, 1, bound));
                Self::RegularizedEvolution { population, sample }
            }
            MethodName::Reinforce => {
                let rate = &form.learning_rate;
                Self::Reinforce {
                    episode: whole("episode", &form.episode, 16, bounds::EPISODE),
                    learning_rate: real("learning-rate", rate, 0.01, bounds::LEARNING_RATE),
                    baseline: real(
                        "baseline",
                        &form.baseline,
                        published.baseline,
                        bounds::BASELINE,
                    ),
                    discount: real(
                        "discount",
                        &form.discount,
                        published.discount,
                        bounds::DISCOUNT,
                    ),
                }
            }
            MethodName::Dngo => Self::Dngo {
                initial: whole("initial", &form.initial, 16, bounds::INITIAL),
                batch: whole("batch", &form.batch, published.batch, bounds::BATCH),
                epochs: whole("epochs", &form.epochs, 100, bounds::EPOCHS),
                target: real("target", &form.target, published.target, bounds::TARGET),
            },
        }
    }

    /// How many combinations of values there are; saturates.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Random => 1,
            Self::RegularizedEvolution { population, sample } => {
                combinations([population.len(), sample.as_ref().map_or(1, Axis::len)])
            }
            Self::Reinforce {
                episode,
                learning_rate,
                baseline,
                discount,
            } => combinations([
                episode.len(),
                learning_rate.len(),
                baseline.len(),
                discount.len(),
            ]),
            Self::Dngo {
                initial,
                batch,
                epochs,
                target,
            } => combinations([initial.len(), batch.len(), epochs.len(), target.len()]),
        }
    }

    /// The method of a combination.
    pub(super) fn pick(&self, at: &mut Combination) -> MethodSpec {
        match self {
            Self::Random => MethodSpec::Random,
            Self::RegularizedEvolution { population, sample } => {
                let population = at.pick(population);
                let sample = sample.as_ref().map(|sample| at.pick(sample));
                MethodSpec::RegularizedEvolution {
                    population,
                    sample: sample.unwrap_or(3.min(population)),
                }
            }
            Self::Reinforce {
                episode,
                learning_rate,
                baseline,
                discount,
            } => MethodSpec::Reinforce {
                episode: at.pick(episode),
                learning_rate: at.pick(learning_rate),
                baseline: at.pick(baseline),
                discount: at.pick(discount),
            },
            Self::Dngo {
                initial,
                batch,
                epochs,
                target,
            } => MethodSpec::Dngo {
                initial: at.pick(initial),
                batch: at.pick(batch),
                epochs: at.pick(epochs),
                target: at.pick(target),
            },
        }
    }
}
