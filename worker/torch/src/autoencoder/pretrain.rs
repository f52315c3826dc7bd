//! Pretraining step by step: order of the data, modes, end-of-epoch measures,
//! checkpoints. Interrupted between any two steps and resumed, it gives the same
//! bits as without the interruption on the same engine.
//!
//! Not here: the arithmetic of a step (the engines) and when to stop (the worker).

use std::sync::Arc;

use reprise_domain::{EpochMeasures, PretrainSpec};
use reprise_search::rng::Stream;
use reprise_search::space::SearchSpace;

use super::checkpoint::Checkpoint;
use super::engine::{Backend, Engine, Mode, State};
use super::error::PretrainError;
use super::graphs::{GraphSet, Graphs};
use super::measures;
use super::objective::{Objective, Optimiser};
use super::params::Params;
use super::prior::CodeSums;
use super::random::{fill_dropout, fill_normal};
use super::shape::Shape;

/// Share of the space, first by index, that is trained on (protocol notes,
/// section 3).
const TRAINED_SHARE: f64 = 0.9;

/// Largest settings that are taken: far beyond any study, small enough that a
/// mistaken file cannot exhaust memory.
const MOST_EPOCHS: u32 = 100_000;
const MOST_BATCH: u32 = 65_536;
const MOST_LATENT_POINTS: u32 = 10_000_000;

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

    /// Share of all steps that are done, in [0, 1].
    pub fn fraction(&self) -> f64 {
        let done = u64::from(self.epochs_done) * self.steps_per_epoch + self.step;
        done as f64 / (u64::from(self.epochs) * self.steps_per_epoch) as f64
    }
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
    spec: PretrainSpec,
    /// What the random streams are keyed by: the spec's canonical form.
    key: Vec<u8>,
    graphs: Arc<GraphSet>,
    space: Arc<dyn SearchSpace>,
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
        backend: Backend,
    ) -> Result<Self, PretrainError> {
        Self::keyed(key(&spec), spec, space, graphs, backend)
    }

    /// Starts one whose random streams have this key.
    fn keyed(
        key: Vec<u8>,
        spec: PretrainSpec,
        space: Arc<dyn SearchSpace>,
        graphs: Arc<GraphSet>,
        backend: Backend,
    ) -> Result<Self, PretrainError> {
        check(&spec, space.as_ref(), &graphs)?;
        let params = Params::init(shape(&spec, &graphs), &key)?;
        let codes = CodeSums::new(graphs.dims().nodes * params.shape().latent);
        let start = Checkpoint {
            spec,
            graphs: graphs.len(),
            epoch: 0,
            step: 0,
            epochs: Vec::new(),
            loss_sum: 0.0,
            codes,
            state: State::new(params),
        };
        Self::at(start, key, space, graphs, backend)
    }

    /// Goes on from a checkpoint of the same task.
    pub fn resume(
        bytes: &[u8],
        spec: PretrainSpec,
        space: Arc<dyn SearchSpace>,
        graphs: Arc<GraphSet>,
        backend: Backend,
    ) -> Result<Self, PretrainError> {
        check(&spec, space.as_ref(), &graphs)?;
        let found = Checkpoint::read(bytes, graphs.dims().nodes)?;
        let same_model = found.state.params.shape() == shape(&spec, &graphs);
        if found.spec != spec || found.graphs != graphs.len() || !same_model {
            return Err(PretrainError::CheckpointOfAnotherTask);
        }
        let steps = steps_per_epoch(&spec, &graphs);
        let exists = if found.epoch < spec.epochs {
            found.step < steps
        } else {
            found.epoch == spec.epochs && found.step == 0
        };
        let seen = (found.step * u64::from(spec.batch)).min(trained(&graphs) as u64);
        let whole = found.epochs.len() == found.epoch as usize
            && found.codes.graphs == seen
            && found.state.steps == u64::from(found.epoch) * steps + found.step;
        if !exists || !whole {
            return Err(PretrainError::CheckpointPosition {
                epoch: found.epoch,
                step: found.step,
            });
        }
        Self::at(found, key(&spec), space, graphs, backend)
    }

    fn at(
        start: Checkpoint,
        key: Vec<u8>,
        space: Arc<dyn SearchSpace>,
        graphs: Arc<GraphSet>,
        backend: Backend,
    ) -> Result<Self, PretrainError> {
        let Checkpoint {
            spec,
            epoch,
            step,
            epochs,
            loss_sum,
            codes,
            state,
            ..
        } = start;
        let optimiser = Optimiser {
            learning_rate: spec.learning_rate,
            clip: spec.clip,
        };
        let mut pretrainer = Self {
            key,
            engine: backend.engine(state, Objective::of(&spec), optimiser)?,
            batch: graphs.empty_batch(),
            order: Vec::new(),
            noise: Vec::new(),
            dropout: Vec::new(),
            spec,
            graphs,
            space,
            epoch,
            step,
            epochs,
            loss_sum,
            codes,
        };
        pretrainer.draw_order();
        Ok(pretrainer)
    }

    /// Makes up to `most_steps` optimiser steps; fewer at the end. The measures of
    /// an epoch are taken with its last step.
    pub fn advance(&mut self, most_steps: u64) -> Result<Progress, PretrainError> {
        for _ in 0..most_steps {
            if self.epoch == self.spec.epochs {
                break;
            }
            self.one_step()?;
            if self.step == steps_per_epoch(&self.spec, &self.graphs) {
                self.end_epoch();
            }
        }
        Ok(self.progress())
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            epochs_done: self.epoch,
            epochs: self.spec.epochs,
            step: self.step,
            steps_per_epoch: steps_per_epoch(&self.spec, &self.graphs),
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
            spec: self.spec,
            graphs: self.graphs.len(),
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
        if self.epoch < self.spec.epochs {
            return Err(PretrainError::Unfinished {
                done: self.epoch,
                epochs: self.spec.epochs,
            });
        }
        Ok(Pretrained {
            params: self.engine.state().params,
            epochs: self.epochs,
        })
    }

    fn one_step(&mut self) -> Result<(), PretrainError> {
        let size = self.spec.batch as usize;
        let start = self.step as usize * size;
        let indices = &self.order[start..self.order.len().min(start + size)];
        let indices = indices.iter().map(|&index| index as usize);
        self.graphs.gather(indices, &mut self.batch);

        let training = self.epoch == 0 || !self.spec.quirks.eval_mode_after_first_epoch;
        let mode = if training {
            let draws = self.batch.rows() * self.spec.sizes.latent as usize;
            let position =
                u64::from(self.epoch) * steps_per_epoch(&self.spec, &self.graphs) + self.step;
            self.noise.resize(draws, 0.0);
            self.dropout.resize(draws, 0.0);
            let stream = |purpose| Stream::new(&self.key, purpose, position);
            fill_normal(&mut stream("noise"), &mut self.noise);
            let probability = self.spec.sizes.dropout;
            fill_dropout(&mut stream("dropout"), probability, &mut self.dropout);
            Mode::Training {
                noise: &self.noise,
                dropout: &self.dropout,
            }
        } else {
            Mode::Evaluation
        };
        let loss = self.engine.step(&self.batch, mode);
        if !loss.is_finite() {
            return Err(PretrainError::Diverged {
                epoch: self.epoch,
                step: self.step,
                loss,
            });
        }
        self.loss_sum += loss;
        self.codes.add(self.engine.means());
        self.step += 1;
        Ok(())
    }

    fn end_epoch(&mut self) {
        let held_out = trained(&self.graphs)..self.graphs.len();
        let engine = self.engine.as_mut();
        let reconstruction = measures::reconstruction(engine, &self.graphs, held_out);
        let prior = self.codes.gaussian().decode(
            engine,
            self.space.as_ref(),
            self.spec.latent_points as usize,
            self.spec.quirks.lenient_validity,
            &mut Stream::new(&self.key, "latent points", u64::from(self.epoch)),
        );
        self.epochs.push(EpochMeasures {
            loss: self.loss_sum / self.step as f64,
            ops_accuracy: reconstruction.ops_accuracy,
            ops_accuracy_real_nodes: reconstruction.ops_accuracy_real_nodes,
            edge_accuracy: reconstruction.edge_accuracy,
            true_edge_probability: reconstruction.true_edge_probability,
            false_edge_probability: reconstruction.false_edge_probability,
            exact_match: reconstruction.exact_match,
            validity: prior.validity,
            uniqueness: prior.uniqueness,
        });
        self.epoch += 1;
        self.step = 0;
        self.loss_sum = 0.0;
        self.codes = CodeSums::new(self.codes.sums.len());
        if !self.spec.quirks.batches_never_reshuffled {
            self.draw_order();
        }
    }

    /// Draws the order of the epoch in progress: the same for all under quirk Q4.
    fn draw_order(&mut self) {
        let epoch = if self.spec.quirks.batches_never_reshuffled {
            0
        } else {
            u64::from(self.epoch)
        };
        let mut stream = Stream::new(&self.key, "order of the data", epoch);
        self.order = stream.permutation(trained(&self.graphs));
    }
}

fn key(spec: &PretrainSpec) -> Vec<u8> {
    serde_json::to_vec(spec).expect("a checked spec holds finite numbers and string keys")
}

fn shape(spec: &PretrainSpec, graphs: &GraphSet) -> Shape {
    Shape {
        operations: graphs.dims().operations,
        hidden: spec.sizes.hidden as usize,
        latent: spec.sizes.latent as usize,
        layers: spec.sizes.layers as usize,
    }
}

/// Number of graphs that are trained on.
fn trained(graphs: &GraphSet) -> usize {
    (TRAINED_SHARE * graphs.len() as f64) as usize
}

fn steps_per_epoch(spec: &PretrainSpec, graphs: &GraphSet) -> u64 {
    trained(graphs).div_ceil(spec.batch as usize) as u64
}

fn check(
    spec: &PretrainSpec,
    space: &dyn SearchSpace,
    graphs: &GraphSet,
) -> Result<(), PretrainError> {
    let number = |setting, value: f64, holds: bool, expected| {
        if holds {
            Ok(())
        } else {
            Err(PretrainError::Setting {
                setting,
                value,
                expected,
            })
        }
    };
    let count = |setting, value: u32, most: u32, expected| {
        let holds = (1..=most).contains(&value);
        number(setting, f64::from(value), holds, expected)
    };
    count("epochs", spec.epochs, MOST_EPOCHS, "1 to 100,000")?;
    count("batch", spec.batch, MOST_BATCH, "1 to 65,536")?;
    let points = spec.latent_points;
    count(
        "latent-points",
        points,
        MOST_LATENT_POINTS,
        "1 to 10,000,000",
    )?;
    let rate = spec.learning_rate;
    let positive = |value: f64| value.is_finite() && value > 0.0;
    number("learning-rate", rate, positive(rate), "a positive number")?;
    number("clip", spec.clip, positive(spec.clip), "a positive number")?;
    let dropout = spec.sizes.dropout;
    let is_probability = (0.0..1.0).contains(&dropout);
    number("dropout", dropout, is_probability, "at least 0, below 1")?;

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

#[cfg(test)]
#[path = "pretrain_tests.rs"]
mod tests;
