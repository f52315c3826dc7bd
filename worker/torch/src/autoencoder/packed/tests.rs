//! The packed engine against the reference engine, member by member.

use std::sync::Arc;

use reprise_model::engine::{Engine, Mode};
use reprise_model::graphs::GraphSet;
use reprise_model::objective::{Kl, OperationLoss};
use reprise_model::params::Params;
use reprise_model::random::{fill_dropout, fill_normal};
use reprise_model::test_space::TestSpace;
use reprise_search::rng::Stream;
use tch::{Device, Tensor};

use super::*;
use crate::autoencoder::plain::PlainEngine;

const MEMBERS: usize = 3;

const OPTIMISER: Optimiser = Optimiser {
    learning_rate: 1e-3,
    // Below the norm of some members' gradients, above that of others.
    clip: 1.0,
};

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn states() -> Vec<State> {
    (0..MEMBERS as u8)
        .map(|member| State::new(Params::init(TestSpace::shape(), &[member]).unwrap()))
        .collect()
}

/// Takes some steps with the pack and with an engine for each member, in training
/// mode and then in evaluation mode, each from the same states, and compares.
fn compare(objective: Objective) {
    tch::set_num_threads(1);
    let graphs = Arc::new(GraphSet::of_space(&TestSpace).unwrap());
    let data = DeviceGraphs::new(&graphs, Device::Cpu);
    let mut alone: Vec<_> = states()
        .into_iter()
        .map(|state| PlainEngine::new(state, objective, OPTIMISER, Device::Cpu))
        .collect();
    let (size, latent) = (7, TestSpace::shape().latent);
    let draws = size * graphs.dims().nodes * latent;
    let mut clipped = [false; 2];
    for step in 0..6_u64 {
        let what = format!("{objective:?}, step {step}");
        let positions: Vec<i32> = (0..(MEMBERS * size) as i32)
            .map(|position| (position * 5 + step as i32) % graphs.len() as i32)
            .collect();
        let mut noise = vec![0.0; MEMBERS * draws];
        let mut dropout = vec![0.0; MEMBERS * draws];
        fill_normal(&mut Stream::new(b"pack", "noise", step), &mut noise);
        fill_dropout(&mut Stream::new(b"pack", "drop", step), 0.3, &mut dropout);
        let training = step < 3;
        let before: Vec<_> = alone.iter().map(Engine::state).collect();
        let mut pack = PackedEngine::new(&before, objective, OPTIMISER, Device::Cpu);
        let of_pack = training.then(|| {
            let rows = size * graphs.dims().nodes;
            Draws::new(&noise, &dropout, [MEMBERS, rows, latent]).of_step(0)
        });
        let on_device = Tensor::from_slice(&positions).view([MEMBERS as i64, -1]);
        let stepped = pack.step(&data, &on_device, of_pack.as_ref());
        let losses = to_host_f64(&stepped.losses);
        let states = pack.states();
        for (member, engine) in alone.iter_mut().enumerate() {
            let mut batch = graphs.empty_batch();
            let own = &positions[member * size..][..size];
            graphs.gather(own.iter().map(|&index| index as usize), &mut batch);
            let range = member * draws..(member + 1) * draws;
            let mode = if training {
                Mode::Training {
                    noise: &noise[range.clone()],
                    dropout: &dropout[range],
                }
            } else {
                Mode::Evaluation
            };
            let loss = engine.step(&batch, mode);
            assert!(
                (loss - losses[member]).abs() < 2e-6,
                "{what}: {loss} {losses:?}"
            );
            let norm = engine.gradient().iter().map(|g| g * g).sum::<f32>().sqrt();
            clipped[usize::from(norm > OPTIMISER.clip as f32)] = true;

            let means = data::to_host(
                &stepped
                    .means
                    .get(member as i64)
                    .permute([1, 2, 0])
                    .contiguous(),
            );
            assert!(largest_difference(&means, engine.means()) < 1e-5, "{what}");
            let (found, expected) = (&states[member], engine.state());
            assert_eq!(found.steps, expected.steps);
            assert_eq!(found.params.batches, expected.params.batches);
            let statistics = (&found.params.statistics, &expected.params.statistics);
            assert!(
                largest_difference(statistics.0, statistics.1) < 1e-5,
                "{what}"
            );
            for (found, expected) in [
                (&found.first, &expected.first),
                (&found.second, &expected.second),
            ] {
                assert!(largest_difference(found, expected) < 1e-6, "{what}");
            }
            // Adam takes a gradient that is nothing but rounding for a real one.
            let moved = expected.first.iter().map(|moment| moment.abs() > 1e-6);
            let values = found.params.values.iter().zip(&expected.params.values);
            let largest = values
                .zip(moved)
                .map(|((a, b), moved)| if moved { (a - b).abs() } else { 0.0 })
                .fold(0.0, f32::max);
            assert!(largest < 1e-4, "{what}: {largest}");
        }
    }
    assert_eq!(
        clipped, [true; 2],
        "the bound on the norm must decide something"
    );
}

#[test]
fn members_get_the_numbers_that_they_would_get_alone() {
    for operations in [OperationLoss::Sigmoid, OperationLoss::Softmax] {
        for kl in [Kl::Absent, Kl::DividedOnce, Kl::DividedTwice] {
            compare(Objective { operations, kl });
        }
    }
}

#[test]
fn states_come_back_as_they_were_put_in() {
    let mut states = states();
    for (member, state) in states.iter_mut().enumerate() {
        let values = [
            &mut state.first,
            &mut state.second,
            &mut state.params.statistics,
        ];
        for (kind, values) in values.into_iter().enumerate() {
            for (position, value) in values.iter_mut().enumerate() {
                *value = (position + 1000 * kind + 100_000 * member) as f32;
            }
        }
        (state.steps, state.params.batches) = (9, 4);
    }
    let objective = Objective {
        operations: OperationLoss::Sigmoid,
        kl: Kl::Absent,
    };
    let engine = PackedEngine::new(&states, objective, OPTIMISER, Device::Cpu);
    assert_eq!(engine.states(), states);
}
