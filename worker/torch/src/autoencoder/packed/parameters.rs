//! Parameters, statistics and optimiser of all members. Flat buffers hold one tensor of
//! the model after the other, each with the values of all members. So a tensor of the
//! pack is one contiguous `[members, …]` view, clipping and Adam are a few operations on
//! a whole buffer, and no step transfers data to the host.

use std::ops::Range;

use reprise_model::engine::State;
use reprise_model::objective::Optimiser;
use reprise_model::params::Params;
use reprise_model::shape::{Layout, Linear};
use tch::{Device, Tensor};

use super::data::to_host;

/// All that training changes.
#[derive(Debug)]
pub(super) struct Parameters {
    layout: Layout,
    optimiser: Optimiser,
    members: usize,
    /// The ranges of the pack's tensors in a member's own buffers, in order.
    blocks: Blocks,
    values: Tensor,
    first: Tensor,
    second: Tensor,
    statistics: Tensor,
    gradient: Tensor,
    /// Views of `values`, `[members, …]`, one a block.
    value_views: Vec<Tensor>,
    /// The same of `gradient`.
    gradient_views: Vec<Tensor>,
    /// The member that each of `values` belongs to.
    owner: Tensor,
    steps: u64,
    batches: u64,
}

/// The tensors of the model as ranges of a member's buffers.
#[derive(Debug)]
struct Blocks {
    values: Vec<Range<usize>>,
    statistics: Vec<Range<usize>>,
}

impl Parameters {
    pub(super) fn new(states: &[State], optimiser: Optimiser, device: Device) -> Self {
        let [start, ..] = states else {
            panic!("a pack has at least one member");
        };
        let layout = start.params.layout.clone();
        let (blocks, shapes) = blocks(&layout);
        let members = states.len();
        let place = |of: fn(&State) -> &Vec<f32>, blocks: &[Range<usize>]| {
            Tensor::from_slice(&interleaved(states, of, blocks)).to_device(device)
        };
        let values = place(|state| &state.params.values, &blocks.values);
        let gradient = values.zeros_like();
        let views = |flat: &Tensor| {
            let of_block = |(block, dims): (&Range<usize>, &Vec<i64>)| {
                let dims: Vec<_> = [members as i64].iter().chain(dims).copied().collect();
                view(flat, members, block).view_(dims)
            };
            blocks.values.iter().zip(&shapes).map(of_block).collect()
        };
        let owner: Vec<i32> = blocks
            .values
            .iter()
            .flat_map(|block| (0..members).flat_map(|member| vec![member as i32; block.len()]))
            .collect();
        Self {
            value_views: views(&values),
            gradient_views: views(&gradient),
            owner: Tensor::from_slice(&owner).to_device(device),
            first: place(|state| &state.first, &blocks.values),
            second: place(|state| &state.second, &blocks.values),
            statistics: place(|state| &state.params.statistics, &blocks.statistics),
            steps: start.steps,
            batches: start.params.batches,
            values,
            gradient,
            blocks,
            layout,
            optimiser,
            members,
        }
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn latent(&self) -> i64 {
        self.layout.shape.latent as i64
    }

    /// A tensor of parameters, `[members, …]`.
    pub(super) fn values(&self, range: &Range<usize>) -> &Tensor {
        &self.value_views[self.block(range)]
    }

    /// Where each step writes its gradient.
    pub(super) fn gradient(&self, range: &Range<usize>) -> &Tensor {
        &self.gradient_views[self.block(range)]
    }

    fn block(&self, range: &Range<usize>) -> usize {
        self.blocks
            .values
            .binary_search_by_key(&range.start, |block| block.start)
            .expect("every range of the layout is a block")
    }

    /// A tensor of running statistics, `[members x hidden]`.
    pub(super) fn statistic(&self, range: &Range<usize>) -> Tensor {
        view(&self.statistics, self.members, range)
    }

    /// Clips every member's gradient by its own norm, and takes one step of Adam.
    pub(super) fn update(&mut self, training: bool) {
        self.steps += 1;
        self.batches += u64::from(training);
        let of_members = self.gradient_views.iter().map(|part| part.flatten(1, -1));
        let side_by_side: Vec<_> = of_members.collect();
        let norms = Tensor::cat(&side_by_side, 1).norm_scalaropt_dim(2, [1_i64], false);
        let factors = self.clip_factors(&norms).index_select(0, &self.owner);
        let gradient = &self.gradient * factors;

        let _ = self.first.lerp_(&gradient, 1.0 - Optimiser::BETA1);
        let _ = self
            .second
            .lerp_(&gradient.square(), 1.0 - Optimiser::BETA2);
        // The step's size is divided out of numerator and denominator, so that the
        // whole update is one operation.
        let (size, root) = self.optimiser.bias_corrections(self.steps);
        let mut denominator = self.second.sqrt();
        denominator *= -root / size;
        denominator -= Optimiser::EPSILON / size;
        let _ = self.values.addcdiv_(&self.first, &denominator);
    }

    /// As [`Optimiser::clip_factor`], of `[members]` norms on the device.
    fn clip_factors(&self, norms: &Tensor) -> Tensor {
        let bounded = (norms + Optimiser::CLIP_EPSILON).reciprocal() * self.optimiser.clip;
        bounded.clamp_max(1.0)
    }

    pub(super) fn states(&self) -> Vec<State> {
        let split = |flat: &Tensor, blocks| separated(&to_host(flat), self.members, blocks);
        let values = split(&self.values, &self.blocks.values);
        let first = split(&self.first, &self.blocks.values);
        let second = split(&self.second, &self.blocks.values);
        let statistics = split(&self.statistics, &self.blocks.statistics);
        let moments = first.into_iter().zip(second);
        let params = values.into_iter().zip(statistics);
        params
            .zip(moments)
            .map(|((values, statistics), (first, second))| State {
                params: Params {
                    layout: self.layout.clone(),
                    values,
                    statistics,
                    batches: self.batches,
                },
                first,
                second,
                steps: self.steps,
            })
            .collect()
    }
}

/// The blocks of a layout, and the shape that one member's tensor has in each of
/// those of parameters. The two heads are one block: they are computed as one map.
fn blocks(layout: &Layout) -> (Blocks, Vec<Vec<i64>>) {
    let mut values = Vec::new();
    let mut statistics = Vec::new();
    let linear = |linear: &Linear| {
        [
            (
                linear.weight.clone(),
                vec![linear.outputs as i64, linear.inputs as i64],
            ),
            (linear.bias.clone(), vec![linear.outputs as i64]),
        ]
    };
    for stage in layout.blocks.iter().flatten() {
        values.extend(linear(&stage.linear));
        for range in [&stage.norm.scale, &stage.norm.shift] {
            values.push((range.clone(), vec![range.len() as i64]));
        }
        statistics.extend([stage.norm.mean.clone(), stage.norm.variance.clone()]);
    }
    values.extend(linear(&layout.heads));
    values.extend(linear(&layout.decoder));
    values.push((layout.epsilon.clone(), vec![layout.epsilon.len() as i64]));
    values.sort_by_key(|(range, _)| range.start);
    statistics.sort_by_key(|range| range.start);
    let (values, shapes) = values.into_iter().unzip();
    (Blocks { values, statistics }, shapes)
}

/// The part of a pack's buffer that holds a block.
fn view(flat: &Tensor, members: usize, block: &Range<usize>) -> Tensor {
    let start = members * block.start;
    let length = members * block.len();
    flat.narrow(0, start as i64, length as i64)
}

/// The members' buffers as one: block after block, all members' values in each.
fn interleaved(states: &[State], of: fn(&State) -> &Vec<f32>, blocks: &[Range<usize>]) -> Vec<f32> {
    let mut all = Vec::with_capacity(states.len() * of(&states[0]).len());
    for block in blocks {
        for state in states {
            all.extend_from_slice(&of(state)[block.clone()]);
        }
    }
    all
}

/// The reverse of [`interleaved`].
fn separated(all: &[f32], members: usize, blocks: &[Range<usize>]) -> Vec<Vec<f32>> {
    let mut separate = vec![Vec::with_capacity(all.len() / members); members];
    for block in blocks {
        let values = &all[members * block.start..members * block.end];
        for (member, part) in separate.iter_mut().zip(values.chunks_exact(block.len())) {
            member.extend_from_slice(part);
        }
    }
    separate
}
