//! The course that the settings of a pretraining fix: the order of the training
//! graphs, the mode and the random numbers of each step. Also the checks that a setting
//! or a checkpoint makes sense. Trainers of one seed and of many seeds follow it.
//!
//! Not here: the arithmetic of a step (the engines) and how far a run is (the
//! trainers).

use std::ops::Range;
use std::sync::Arc;

use reprise_domain::PretrainSpec;
use reprise_search::rng::{Stream, seed_key};
use reprise_search::space::SearchSpace;

use crate::checkpoint::Checkpoint;
use crate::engine::State;
use crate::error::PretrainError;
use crate::graphs::GraphSet;
use crate::measures;
use crate::objective::{Objective, Optimiser};
use crate::params::Params;
use crate::prior::CodeSums;
use crate::random::{fill_dropout, fill_normal};
use crate::shape::Shape;

/// Share of the space, first by index, that is trained on (protocol notes,
/// section 3).
const TRAINED_SHARE: f64 = 0.9;

/// The fixed part of a pretraining: what each of its steps does.
#[derive(Debug, Clone)]
pub struct Course {
    /// The settings.
    pub spec: PretrainSpec,
    /// What the random streams are keyed by.
    key: Vec<u8>,
    /// The space that it is measured against.
    pub space: Arc<dyn SearchSpace>,
    /// All graphs of the space.
    pub graphs: Arc<GraphSet>,
}

impl Course {
    /// The course of a pretraining on `graphs`, all those of `space`.
    pub fn new(
        spec: PretrainSpec,
        space: Arc<dyn SearchSpace>,
        graphs: Arc<GraphSet>,
    ) -> Result<Self, PretrainError> {
        check(&spec, space.as_ref(), &graphs)?;
        Ok(Self {
            key: seed_key(spec.space, spec.seed),
            spec,
            space,
            graphs,
        })
    }

    /// Where it starts.
    pub fn start(&self) -> Result<Checkpoint, PretrainError> {
        let params = Params::init(self.shape(), &self.key)?;
        Ok(Checkpoint {
            spec: self.spec,
            graphs: self.graphs.len(),
            epoch: 0,
            step: 0,
            epochs: Vec::new(),
            loss_sum: 0.0,
            codes: self.no_codes(),
            state: State::new(params),
        })
    }

    /// The position of a checkpoint. A checkpoint of another task, or of a position
    /// outside the course, is refused.
    pub fn resumed(&self, bytes: &[u8]) -> Result<Checkpoint, PretrainError> {
        let found = Checkpoint::read(bytes, self.graphs.dims().nodes)?;
        let same_model = found.state.params.shape() == self.shape();
        if found.spec != self.spec || found.graphs != self.graphs.len() || !same_model {
            return Err(PretrainError::CheckpointOfAnotherTask);
        }
        let steps = self.steps_per_epoch();
        let exists = if found.epoch < self.spec.epochs {
            found.step < steps
        } else {
            found.epoch == self.spec.epochs && found.step == 0
        };
        let seen = (found.step * u64::from(self.spec.batch)).min(self.trained() as u64);
        let whole = found.epochs.len() == found.epoch as usize
            && found.codes.graphs == seen
            && found.state.steps == u64::from(found.epoch) * steps + found.step;
        if exists && whole {
            Ok(found)
        } else {
            Err(PretrainError::CheckpointPosition {
                epoch: found.epoch,
                step: found.step,
            })
        }
    }

    /// What is minimised.
    pub fn objective(&self) -> Objective {
        Objective::of(&self.spec)
    }

    /// How it is minimised.
    pub fn optimiser(&self) -> Optimiser {
        Optimiser {
            learning_rate: self.spec.learning_rate,
            clip: self.spec.clip,
        }
    }

    fn shape(&self) -> Shape {
        Shape {
            operations: self.graphs.dims().operations,
            hidden: self.spec.sizes.hidden as usize,
            latent: self.spec.sizes.latent as usize,
            layers: self.spec.sizes.layers as usize,
        }
    }

    /// Sums before the first code.
    pub(crate) fn no_codes(&self) -> CodeSums {
        CodeSums::new(self.graphs.dims().nodes * self.spec.sizes.latent as usize)
    }

    /// Number of graphs that are trained on.
    pub(crate) fn trained(&self) -> usize {
        trained(&self.graphs)
    }

    /// Graphs that it is measured on.
    pub(crate) fn held_out(&self) -> Range<usize> {
        self.trained()..self.graphs.len()
    }

    /// Optimiser steps of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.trained().div_ceil(self.spec.batch as usize) as u64
    }

    /// The range of a step's batch in the order of the data.
    pub fn batch(&self, step: u64) -> Range<usize> {
        let size = self.spec.batch as usize;
        let start = step as usize * size;
        start..self.trained().min(start + size)
    }

    /// Whether the steps of an epoch are in training mode (protocol notes, Q1).
    pub fn is_training(&self, epoch: u32) -> bool {
        epoch == 0 || !self.spec.quirks.eval_mode_after_first_epoch
    }

    /// Whether every epoch has an order of its own (protocol notes, Q4).
    pub fn is_reshuffled(&self) -> bool {
        !self.spec.quirks.batches_never_reshuffled
    }

    /// The training graphs in the order of an epoch.
    pub fn order(&self, epoch: u32) -> Vec<u32> {
        let epoch = if self.is_reshuffled() { epoch } else { 0 };
        self.stream("order of the data", u64::from(epoch))
            .permutation(self.trained())
    }

    /// Fills in the noise and the dropout factors of a training step, both
    /// `[rows, latent]`.
    pub fn draw(&self, epoch: u32, step: u64, noise: &mut [f32], dropout: &mut [f32]) {
        let position = u64::from(epoch) * self.steps_per_epoch() + step;
        fill_normal(&mut self.stream("noise", position), noise);
        let probability = self.spec.sizes.dropout;
        fill_dropout(&mut self.stream("dropout", position), probability, dropout);
    }

    /// The stream that an epoch's latent points come from.
    pub(crate) fn latent_points(&self, epoch: u32) -> Stream {
        self.stream("latent points", u64::from(epoch))
    }

    fn stream(&self, purpose: &'static str, position: u64) -> Stream {
        Stream::new(&self.key, purpose, position)
    }
}

fn trained(graphs: &GraphSet) -> usize {
    (TRAINED_SHARE * graphs.len() as f64) as usize
}

fn check(
    spec: &PretrainSpec,
    space: &dyn SearchSpace,
    graphs: &GraphSet,
) -> Result<(), PretrainError> {
    if let Err(problems) = spec.check()
        && let Some(first) = problems.into_iter().next()
    {
        return Err(PretrainError::Setting(first));
    }
    for found in [graphs.space(), space.name()] {
        if found != spec.space {
            return Err(PretrainError::Space {
                task: spec.space,
                graphs: found,
            });
        }
    }
    if trained(graphs) == 0 {
        return Err(PretrainError::TooFewGraphs {
            graphs: graphs.len(),
        });
    }
    if !measures::is_measurable(graphs, trained(graphs)..graphs.len()) {
        return Err(PretrainError::Unmeasurable);
    }
    Ok(())
}
