//! Pretraining of one seed, step by step: modes, end-of-epoch measures, checkpoints.
//! Interrupted between any two steps and resumed, it gives the same bits as without
//! the interruption on the same engine.
//!
//! Not here: the arithmetic of a step (the engines), the order of the data and the
//! random numbers ([`crate::course`]), many seeds at once (`reprise-torch`) and when to
//! stop (the worker).

use std::sync::Arc;

use reprise_domain::{EpochMeasures, PretrainSpec};
use reprise_search::space::SearchSpace;

use crate::checkpoint::Checkpoint;
use crate::course::Course;
use crate::engine::{Backend, Engine, Mode};
use crate::error::PretrainError;
use crate::graphs::{GraphSet, Graphs};
use crate::measures;
use crate::params::Params;
use crate::prior::CodeSums;

/// How far a pretraining is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Epochs that are done, measures included.
    pub epochs_done: u32,
    /// Epochs of the task.
    pub epochs: u32,
    /// Steps done in the epoch in progress.
    pub step: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Measures of the last epoch that is done.
    pub last: Option<EpochMeasures>,
}

impl Progress {
    /// Whether nothing is left to do.
    pub fn is_finished(&self) -> bool {
        self.epochs_done == self.epochs
    }

    /// Steps that are done in all.
    pub fn done(&self) -> u64 {
        u64::from(self.epochs_done) * self.steps_per_epoch + self.step
    }

    /// Steps of the task.
    pub fn total(&self) -> u64 {
        u64::from(self.epochs) * self.steps_per_epoch
    }
}

/// The position of a pretraining.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Epoch in progress, from 0.
    pub epoch: u32,
    /// Steps of it that are done.
    pub step: u64,
}

/// The position of a checkpoint, if it belongs to this task.
pub fn position(
    checkpoint: &[u8],
    spec: PretrainSpec,
    space: &Arc<dyn SearchSpace>,
    graphs: &Arc<GraphSet>,
) -> Result<Position, PretrainError> {
    let course = Course::new(spec, Arc::clone(space), Arc::clone(graphs))?;
    let Checkpoint { epoch, step, .. } = course.resumed(checkpoint)?;
    Ok(Position { epoch, step })
}

/// What a pretraining gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Pretrained {
    /// The trained parameters after the last epoch.
    pub params: Params,
    /// One entry an epoch.
    pub epochs: Vec<EpochMeasures>,
}

/// A pretraining in progress.
#[derive(Debug)]
pub struct Pretrainer {
    course: Course,
    engine: Box<dyn Engine>,
    /// Training graphs in the order of the epoch in progress.
    order: Vec<u32>,
    epoch: u32,
    step: u64,
    epochs: Vec<EpochMeasures>,
    loss_sum: f64,
    codes: CodeSums,
    batch: Graphs,
    noise: Vec<f32>,
    dropout: Vec<f32>,
}

impl Pretrainer {
    /// Starts a pretraining on `graphs`, all those of `space`.
    pub fn new(
        spec: PretrainSpec,
        space: Arc<dyn SearchSpace>,
        graphs: Arc<GraphSet>,
        backend: &dyn Backend,
    ) -> Result<Self, PretrainError> {
        let course = Course::new(spec, space, graphs)?;
        let start = course.start()?;
        Self::at(start, course, backend)
    }

    /// Goes on from a checkpoint of the same task.
    pub fn resume(
        bytes: &[u8],
        spec: PretrainSpec,
        space: Arc<dyn SearchSpace>,
        graphs: Arc<GraphSet>,
        backend: &dyn Backend,
    ) -> Result<Self, PretrainError> {
        let course = Course::new(spec, space, graphs)?;
        let found = course.resumed(bytes)?;
        Self::at(found, course, backend)
    }

    fn at(start: Checkpoint, course: Course, backend: &dyn Backend) -> Result<Self, PretrainError> {
        let Checkpoint {
            epoch,
            step,
            epochs,
            loss_sum,
            codes,
            state,
            ..
        } = start;
        Ok(Self {
            engine: backend.engine(state, course.objective(), course.optimiser())?,
            batch: course.graphs.empty_batch(),
            order: course.order(epoch),
            noise: Vec::new(),
            dropout: Vec::new(),
            course,
            epoch,
            step,
            epochs,
            loss_sum,
            codes,
        })
    }

    /// Makes up to `most_steps` optimiser steps; fewer at the end. The measures of
    /// an epoch are taken with its last step.
    pub fn advance(&mut self, most_steps: u64) -> Result<Progress, PretrainError> {
        for _ in 0..most_steps {
            if self.epoch == self.course.spec.epochs {
                break;
            }
            self.one_step()?;
            if self.step == self.course.steps_per_epoch() {
                self.end_epoch()?;
            }
        }
        Ok(self.progress())
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            epochs_done: self.epoch,
            epochs: self.course.spec.epochs,
            step: self.step,
            steps_per_epoch: self.course.steps_per_epoch(),
            last: self.epochs.last().copied(),
        }
    }

    /// The parameters as they stand.
    pub fn params(&self) -> Params {
        self.engine.state().params
    }

    /// A file that [`Self::resume`] goes on from.
    pub fn checkpoint(&self) -> Vec<u8> {
        let checkpoint = Checkpoint {
            spec: self.course.spec,
            graphs: self.course.graphs.len(),
            epoch: self.epoch,
            step: self.step,
            epochs: self.epochs.clone(),
            loss_sum: self.loss_sum,
            codes: self.codes.clone(),
            state: self.engine.state(),
        };
        checkpoint.write()
    }

    /// The result, once every epoch is done.
    pub fn finish(self) -> Result<Pretrained, PretrainError> {
        if self.epoch < self.course.spec.epochs {
            return Err(PretrainError::Unfinished {
                done: self.epoch,
                epochs: self.course.spec.epochs,
            });
        }
        Ok(Pretrained {
            params: self.engine.state().params,
            epochs: self.epochs,
        })
    }

    fn one_step(&mut self) -> Result<(), PretrainError> {
        let indices = self.order[self.course.batch(self.step)].iter();
        let indices = indices.map(|&index| index as usize);
        self.course.graphs.gather(indices, &mut self.batch);

        let mode = if self.course.is_training(self.epoch) {
            let draws = self.batch.rows() * self.course.spec.sizes.latent as usize;
            self.noise.resize(draws, 0.0);
            self.dropout.resize(draws, 0.0);
            let (noise, dropout) = (&mut self.noise, &mut self.dropout);
            self.course.draw(self.epoch, self.step, noise, dropout);
            Mode::Training { noise, dropout }
        } else {
            Mode::Evaluation
        };
        let loss = self.engine.step(&self.batch, mode);
        if !loss.is_finite() {
            return Err(PretrainError::Diverged {
                epoch: self.epoch,
                step: self.step,
                measure: "the loss",
                value: loss,
            });
        }
        self.loss_sum += loss;
        self.codes.add(self.engine.means());
        self.step += 1;
        Ok(())
    }

    fn end_epoch(&mut self) -> Result<(), PretrainError> {
        let loss = self.loss_sum / self.step as f64;
        let engine = self.engine.as_mut();
        let measured = measures::of_epoch(&self.course, self.epoch, engine, loss, &self.codes);
        if let Some((measure, value)) = measures::not_finite(&measured) {
            return Err(PretrainError::Diverged {
                epoch: self.epoch,
                step: self.step,
                measure,
                value,
            });
        }
        self.epochs.push(measured);
        self.epoch += 1;
        self.step = 0;
        self.loss_sum = 0.0;
        self.codes = self.course.no_codes();
        if self.course.is_reshuffled() {
            self.order = self.course.order(self.epoch);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "pretrain_tests.rs"]
mod tests;
