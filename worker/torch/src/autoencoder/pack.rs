//! Pretraining of many seeds at once on one device. Each member gets the result that
//! it would get alone, within rounding, and its checkpoints are those of
//! [`reprise_model::Pretrainer`]: either goes on from the other's.
//!
//! Not here: the arithmetic of a step ([`super::packed`]), how many members a device
//! takes well ([`super::probe`]) and when to stop (the worker).

use std::sync::Arc;

use reprise_child::TorchDevice;
use reprise_domain::{EpochMeasures, PretrainSpec, Seed};
use reprise_model::checkpoint::Checkpoint;
use reprise_model::course::Course;
use reprise_model::engine::State;
use reprise_model::graphs::GraphSet;
use reprise_model::measures;
use reprise_model::native::NativeEngine;
use reprise_model::params::Params;
use reprise_model::prior::CodeSums;
use reprise_model::{EmbedError, PretrainError};
use reprise_model::{Pretrained, Progress};
use reprise_search::embedding::Embedding;
use reprise_search::space::SearchSpace;
use tch::{Device, Kind, Tensor};

use super::device::open;
use super::draws::{Buffers, Drawing, on_cores};
use super::packed::{DeviceGraphs, PackedEngine, Stepped, to_host_f64};

/// Steps whose losses come back from the device at once.
const STEPS_AT_ONCE: u64 = 128;

/// Graphs that are embedded at once.
const EMBEDDED_AT_ONCE: usize = 8192;

/// A pack in training.
#[derive(Debug)]
pub struct Pack {
    members: Vec<Member>,
    engine: PackedEngine,
    device: Device,
    data: DeviceGraphs,
    /// Training graphs in the order of the epoch in progress, `[members, graphs]`.
    order: Tensor,
    codes: DeviceSums,
    buffers: Buffers,
    epoch: u32,
    step: u64,
}

/// One seed of a pack.
#[derive(Debug)]
struct Member {
    course: Course,
    epochs: Vec<EpochMeasures>,
    loss_sum: f64,
    failed: Option<Divergence>,
}

/// The first loss or measure that was infinite or not a number.
#[derive(Debug, Clone, Copy)]
struct Divergence {
    epoch: u32,
    step: u64,
    measure: &'static str,
    value: f64,
}

impl From<Divergence> for PretrainError {
    fn from(divergence: Divergence) -> Self {
        let Divergence {
            epoch,
            step,
            measure,
            value,
        } = divergence;
        Self::Diverged {
            epoch,
            step,
            measure,
            value,
        }
    }
}

/// Sums over the codes of the epoch so far, `[members, latent, nodes]` each, in
/// double precision.
#[derive(Debug)]
struct DeviceSums {
    graphs: u64,
    sums: Tensor,
    squares: Tensor,
}

impl Pack {
    /// Starts or goes on with a pack of specs that differ in their seeds alone, on
    /// `graphs`, all those of `space`. A member starts from its checkpoint, or from
    /// the beginning if it has none; all must be at the same step.
    pub fn new(
        members: &[(PretrainSpec, Option<Vec<u8>>)],
        space: &Arc<dyn SearchSpace>,
        graphs: &Arc<GraphSet>,
        device: TorchDevice,
    ) -> Result<Self, PretrainError> {
        let data = DeviceGraphs::new(graphs, open(device)?);
        Self::on(members, space, graphs, data, device)
    }

    /// The same where the graphs are on the device already.
    pub(crate) fn on(
        members: &[(PretrainSpec, Option<Vec<u8>>)],
        space: &Arc<dyn SearchSpace>,
        graphs: &Arc<GraphSet>,
        data: DeviceGraphs,
        device: TorchDevice,
    ) -> Result<Self, PretrainError> {
        let mut starts = Vec::with_capacity(members.len());
        for (spec, checkpoint) in members {
            let course = Course::new(*spec, Arc::clone(space), Arc::clone(graphs))?;
            let start = match checkpoint {
                Some(bytes) => course.resumed(bytes)?,
                None => course.start()?,
            };
            starts.push((course, start));
        }
        Self::at(starts, data, open(device)?)
    }

    fn at(
        starts: Vec<(Course, Checkpoint)>,
        data: DeviceGraphs,
        device: Device,
    ) -> Result<Self, PretrainError> {
        let [(course, first), ..] = starts.as_slice() else {
            return Err(PretrainError::EmptyPack);
        };
        let (epoch, step) = (first.epoch, first.step);
        let (objective, optimiser) = (course.objective(), course.optimiser());
        let of_seed = |spec: PretrainSpec| PretrainSpec {
            seed: Seed(0),
            ..spec
        };
        for (other, start) in &starts {
            let alike = of_seed(other.spec) == of_seed(course.spec);
            if !alike || (start.epoch, start.step) != (epoch, step) {
                return Err(PretrainError::UnequalPack {
                    seed: other.spec.seed,
                    first: course.spec.seed,
                });
            }
        }
        let codes: Vec<_> = starts.iter().map(|(_, start)| &start.codes).collect();
        let codes = DeviceSums::new(&codes, course.graphs.dims().nodes, device);
        let mut states = Vec::with_capacity(starts.len());
        let members = starts.into_iter().map(|(course, start)| {
            states.push(start.state);
            Member {
                course,
                epochs: start.epochs,
                loss_sum: start.loss_sum,
                failed: None,
            }
        });
        let members: Vec<_> = members.collect();
        Ok(Self {
            engine: PackedEngine::new(&states, objective, optimiser, device),
            order: order(&members, epoch, device),
            members,
            device,
            data,
            codes,
            buffers: Buffers::default(),
            epoch,
            step,
        })
    }

    /// Makes up to `most_steps` optimiser steps; fewer at the end. The measures of an
    /// epoch are taken with its last step.
    ///
    /// A member that diverges has failed; the others are not affected.
    pub fn advance(&mut self, most_steps: u64) -> Progress {
        let mut left = most_steps;
        while left > 0 && !self.is_over() {
            let in_epoch = self.course().steps_per_epoch() - self.step;
            let steps = left.min(in_epoch).min(STEPS_AT_ONCE);
            self.some_steps(steps);
            left -= steps;
            if self.step == self.course().steps_per_epoch() {
                self.end_epoch();
            }
        }
        self.progress()
    }

    /// Whether nothing is left to do: every epoch is done, or every member has failed.
    pub fn is_over(&self) -> bool {
        let failed = |member: &Member| member.failed.is_some();
        self.epoch == self.course().spec.epochs || self.members.iter().all(failed)
    }

    /// How far it is. The measures are those of the first member.
    pub fn progress(&self) -> Progress {
        Progress {
            epochs_done: self.epoch,
            epochs: self.course().spec.epochs,
            step: self.step,
            steps_per_epoch: self.course().steps_per_epoch(),
            last: self.members[0].epochs.last().copied(),
        }
    }

    /// Measures of the last epoch that is done, in the order of the members; none of one
    /// that has failed.
    pub fn last(&self) -> impl Iterator<Item = Option<EpochMeasures>> {
        let last = |member: &Member| {
            member
                .failed
                .is_none()
                .then(|| member.epochs.last().copied())
        };
        self.members
            .iter()
            .map(move |member| last(member).flatten())
    }

    /// Checkpoints of the members, from which each can go on alone or in a pack; `None`
    /// for a member that has failed.
    pub fn checkpoints(&self) -> Vec<Option<Vec<u8>>> {
        let states = self.engine.states().into_iter();
        let codes = self.codes.of_members(self.members.len());
        let members = self.members.iter().zip(states.zip(codes));
        members
            .map(|(member, (state, codes))| {
                let checkpoint = Checkpoint {
                    spec: member.course.spec,
                    graphs: member.course.graphs.len(),
                    epoch: self.epoch,
                    step: self.step,
                    epochs: member.epochs.clone(),
                    loss_sum: member.loss_sum,
                    codes,
                    state,
                };
                member.failed.is_none().then(|| checkpoint.write())
            })
            .collect()
    }

    /// The results in the order of the members, once every epoch is done.
    pub fn results(&self) -> Vec<Result<Pretrained, PretrainError>> {
        let states = self.engine.states().into_iter();
        let members = self.members.iter().zip(states);
        members
            .map(|(member, state)| match member.failed {
                Some(divergence) => Err(divergence.into()),
                None if self.epoch < member.course.spec.epochs => Err(PretrainError::Unfinished {
                    done: self.epoch,
                    epochs: member.course.spec.epochs,
                }),
                None => Ok(Pretrained {
                    params: state.params,
                    epochs: member.epochs.clone(),
                }),
            })
            .collect()
    }

    /// Embeds every graph by a member's trained parameters, on the pack's device.
    pub fn embed(&self, params: &Params) -> Result<Embedding, EmbedError> {
        let course = self.course();
        let alone = [State::new(params.clone())];
        let (objective, optimiser) = (course.objective(), course.optimiser());
        let engine = PackedEngine::new(&alone, objective, optimiser, self.device);
        let graphs = course.graphs.len();
        let mut rows = Vec::with_capacity(graphs * params.shape().latent);
        for start in (0..graphs).step_by(EMBEDDED_AT_ONCE) {
            let count = EMBEDDED_AT_ONCE.min(graphs - start);
            rows.extend(engine.embed(&self.data, start, count));
        }
        Ok(Embedding::new(rows, params.shape().latent)?)
    }

    fn course(&self) -> &Course {
        &self.members[0].course
    }

    /// Makes steps of one epoch. Random numbers of later steps are drawn while the
    /// device works on earlier ones.
    fn some_steps(&mut self, steps: u64) {
        let courses: Vec<_> = self.members.iter().map(|member| &member.course).collect();
        let drawing = Drawing::new(&courses, self.epoch, self.step..self.step + steps);
        let mut losses = Vec::with_capacity(steps as usize);
        let (engine, data, order) = (&mut self.engine, &self.data, &self.order);
        let codes = &mut self.codes;
        drawing.for_each(self.device, &mut self.buffers, |batch, draws| {
            let positions = order.narrow(1, batch.start as i64, batch.len() as i64);
            let stepped = engine.step(data, &positions, draws.as_ref());
            codes.add(&stepped);
            losses.push(stepped.losses);
        });
        self.take_losses(&to_host_f64(&Tensor::stack(&losses, 0)));
        self.step += steps;
    }

    /// Takes the losses of the last steps in, `[steps, members]`.
    fn take_losses(&mut self, losses: &[f64]) {
        for (step, losses) in losses.chunks_exact(self.members.len()).enumerate() {
            for (member, &loss) in self.members.iter_mut().zip(losses) {
                member.loss_sum += loss;
                if !loss.is_finite() && member.failed.is_none() {
                    member.failed = Some(Divergence {
                        epoch: self.epoch,
                        step: self.step + step as u64,
                        measure: "the loss",
                        value: loss,
                    });
                }
            }
        }
    }

    /// Measures every member on the processor's cores.
    fn end_epoch(&mut self) {
        let codes = self.codes.of_members(self.members.len());
        let states = self.engine.states().into_iter().zip(codes);
        let mut work: Vec<_> = self.members.iter_mut().zip(states).collect();
        let (epoch, steps) = (self.epoch, self.step);
        on_cores(&mut work, 0, |(member, (state, codes))| {
            member.end_epoch(epoch, steps, state, codes);
        });
        self.epoch += 1;
        self.step = 0;
        self.codes.clear();
        if self.course().is_reshuffled() {
            self.order = order(&self.members, self.epoch, self.device);
        }
    }
}

impl Member {
    fn end_epoch(&mut self, epoch: u32, steps: u64, state: &State, codes: &CodeSums) {
        if self.failed.is_none() {
            let mut engine = NativeEngine::idle(state.clone());
            let loss = self.loss_sum / steps as f64;
            let measured = measures::of_epoch(&self.course, epoch, &mut engine, loss, codes);
            self.failed = measures::not_finite(&measured).map(|(measure, value)| Divergence {
                epoch,
                step: steps,
                measure,
                value,
            });
            self.epochs.push(measured);
        }
        self.loss_sum = 0.0;
    }
}

impl DeviceSums {
    fn new(members: &[&CodeSums], nodes: usize, device: Device) -> Self {
        let place = |of: fn(&CodeSums) -> &Vec<f64>| {
            let all: Vec<f64> = members
                .iter()
                .flat_map(|codes| of(codes))
                .copied()
                .collect();
            Tensor::from_slice(&all)
                .view([members.len() as i64, nodes as i64, -1])
                .transpose(1, 2)
                .contiguous()
                .to_device(device)
        };
        Self {
            graphs: members[0].graphs,
            sums: place(|codes| &codes.sums),
            squares: place(|codes| &codes.squares),
        }
    }

    fn add(&mut self, stepped: &Stepped) {
        let means = stepped.means.to_kind(Kind::Double);
        self.graphs += means.size()[2] as u64;
        self.sums += means.sum_dim_intlist(2, false, Kind::Double);
        self.squares += means.square().sum_dim_intlist(2, false, Kind::Double);
    }

    fn of_members(&self, members: usize) -> Vec<CodeSums> {
        let host = |sums: &Tensor| to_host_f64(&sums.transpose(1, 2));
        let (sums, squares) = (host(&self.sums), host(&self.squares));
        let width = sums.len() / members;
        let pairs = sums.chunks_exact(width).zip(squares.chunks_exact(width));
        pairs
            .map(|(sums, squares)| CodeSums {
                graphs: self.graphs,
                sums: sums.to_vec(),
                squares: squares.to_vec(),
            })
            .collect()
    }

    fn clear(&mut self) {
        self.graphs = 0;
        for sums in [&mut self.sums, &mut self.squares] {
            let _ = sums.zero_();
        }
    }
}

/// The members' orders of the data in an epoch, `[members, graphs]`.
fn order(members: &[Member], epoch: u32, device: Device) -> Tensor {
    let orders = members.iter().flat_map(|member| member.course.order(epoch));
    let positions: Vec<i32> = orders.map(|position| position as i32).collect();
    Tensor::from_slice(&positions)
        .view([members.len() as i64, -1])
        .to_device(device)
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
