//! The settings of one task, as workers check them before they begin.

use super::{Checker, SpecProblem};
use crate::bounds::{pretrain, search};
use crate::task::{Budget, MethodSpec, PretrainSpec};

impl PretrainSpec {
    /// Checks every setting against its bound.
    pub fn check(&self) -> Result<(), Vec<SpecProblem>> {
        let mut checker = Checker::default();
        self.check_with(&mut checker);
        checker.end()
    }

    pub(super) fn check_with(&self, checker: &mut Checker) {
        checker.whole("epochs", self.epochs, pretrain::EPOCHS);
        checker.whole("batch", self.batch, pretrain::BATCH);
        checker.real("learning-rate", self.learning_rate, pretrain::LEARNING_RATE);
        checker.real("clip", self.clip, pretrain::CLIP);
        checker.whole("latent-points", self.latent_points, pretrain::LATENT_POINTS);
        let (sizes, latent) = (self.sizes, pretrain::latent(self.space));
        checker.within("sizes", |checker| {
            checker.whole("hidden", sizes.hidden, pretrain::HIDDEN);
            checker.whole("latent", sizes.latent, latent);
            checker.whole("layers", sizes.layers, pretrain::LAYERS);
            checker.real("dropout", sizes.dropout, pretrain::DROPOUT);
        });
        let weights = sizes.weights();
        let is_each_in_bounds =
            pretrain::HIDDEN.contains(sizes.hidden) && pretrain::LAYERS.contains(sizes.layers);
        if is_each_in_bounds && weights > pretrain::WEIGHTS {
            checker.wrong(
                "sizes",
                format!("a model of {weights} weights"),
                format_args!(
                    "at most {} for `2 x layers x hidden x hidden`",
                    pretrain::WEIGHTS
                ),
            );
        }
    }
}

impl MethodSpec {
    /// Checks every setting against its bound.
    pub fn check(&self) -> Result<(), Vec<SpecProblem>> {
        let mut checker = Checker::default();
        self.check_with(&mut checker);
        checker.end()
    }

    pub(super) fn check_with(&self, checker: &mut Checker) {
        match *self {
            Self::Random => {}
            Self::RegularizedEvolution { population, sample } => {
                checker.whole("population", population, search::POPULATION);
                if sample == 0 || sample > population {
                    checker.wrong(
                        "sample",
                        sample.to_string(),
                        format_args!("a whole number from 1 to {population}, the population"),
                    );
                }
            }
            Self::Reinforce {
                episode,
                learning_rate,
                baseline,
                discount,
            } => {
                checker.whole("episode", episode, search::EPISODE);
                checker.real("learning-rate", learning_rate, search::LEARNING_RATE);
                checker.real("baseline", baseline, search::BASELINE);
                checker.real("discount", discount, search::DISCOUNT);
            }
            Self::Dngo {
                initial,
                batch,
                epochs,
                target,
            } => {
                checker.whole("initial", initial, search::INITIAL);
                checker.whole("batch", batch, search::BATCH);
                checker.whole("epochs", epochs, search::EPOCHS);
                checker.real("target", target, search::TARGET);
            }
        }
    }
}

impl Budget {
    /// Checks that a trial with it has queries, and not too many.
    pub fn check(&self) -> Result<(), Vec<SpecProblem>> {
        let mut checker = Checker::default();
        self.check_with(&mut checker);
        checker.end()
    }

    pub(super) fn check_with(&self, checker: &mut Checker) {
        match *self {
            Self::Queries(queries) => {
                checker.whole("budget.queries", queries, search::QUERIES);
            }
            Self::Simulated(seconds) => {
                checker.span("budget.simulated", seconds, search::SIMULATED);
            }
        }
    }
}
