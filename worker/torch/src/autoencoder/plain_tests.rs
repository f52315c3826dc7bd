//! The plain engine against the native one, the fixture and itself.

use std::sync::Arc;

use reprise_domain::PretrainSpec;
use reprise_domain::protocol::Protocol;
use reprise_model::random::{fill_dropout, fill_normal};
use reprise_model::test_space::{SHAPE, TestSpace, some_graphs};
use reprise_model::{GraphSet, Native, Pretrained, Pretrainer, selftest};
use reprise_search::rng::Stream;

use super::*;

const PLAIN: Plain = Plain(TorchDevice::Cpu);

const FIXTURE: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/fixtures/arch2vec-nasbench101.safetensors"
));

const TRAINING: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/fixtures/arch2vec-nasbench101-training.safetensors"
));

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// Takes one step with either engine from the same state, and compares.
fn compare(objective: Objective, training: bool, state: &State) -> State {
    let optimiser = Optimiser {
        learning_rate: 1e-3,
        clip: 5.0,
    };
    let graphs = some_graphs(9, state.steps);
    let draws = graphs.rows() * SHAPE.latent;
    let mut noise = vec![0.0; draws];
    let mut dropout = vec![0.0; draws];
    fill_normal(&mut Stream::new(b"k", "noise", state.steps), &mut noise);
    fill_dropout(
        &mut Stream::new(b"k", "drop", state.steps),
        0.3,
        &mut dropout,
    );
    let mode = if training {
        Mode::Training {
            noise: &noise,
            dropout: &dropout,
        }
    } else {
        Mode::Evaluation
    };
    let build = |backend: &dyn Backend| {
        let state = state.clone();
        backend.engine(state, objective, optimiser).unwrap()
    };
    let mut native = build(&Native);
    let mut plain = build(&PLAIN);
    let what = format!("{objective:?}, training {training}, step {}", state.steps);
    let (mut latent, mut expected) = (Latent::default(), Latent::default());
    native.encode(&graphs, &mut latent);
    plain.encode(&graphs, &mut expected);
    assert!(
        largest_difference(&latent.mean, &expected.mean) < 1e-5,
        "{what}"
    );
    assert!(
        largest_difference(&latent.log_std, &expected.log_std) < 1e-5,
        "{what}"
    );
    let losses = (native.step(&graphs, mode), plain.step(&graphs, mode));
    assert!(
        (losses.0 - losses.1).abs() < 2e-6,
        "{what}: losses {losses:?}"
    );

    let (gradient, expected) = (native.gradient(), plain.gradient());
    let largest = expected.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
    let bound = 1e-5 * largest.max(0.1);
    for tensor in &state.params.layout.tensors {
        if tensor.store == Store::Parameters {
            let range = tensor.range.clone();
            let difference = largest_difference(&gradient[range.clone()], &expected[range]);
            assert!(difference < bound, "{what}: `{}` {difference}", tensor.name);
        }
    }
    assert!(largest > 1e-3, "{what}: no gradient");
    assert!(largest_difference(native.means(), plain.means()) < 1e-5);

    let (native, plain) = (native.state(), plain.state());
    let statistics = (&native.params.statistics, &plain.params.statistics);
    assert!(
        largest_difference(statistics.0, statistics.1) < 1e-5,
        "{what}"
    );
    assert_eq!(native.params.batches, plain.params.batches);
    plain
}

#[test]
fn both_engines_agree_in_every_mode_and_objective() {
    tch::set_num_threads(1);
    for operations in [OperationLoss::Sigmoid, OperationLoss::Softmax] {
        for kl in [Kl::Absent, Kl::DividedOnce, Kl::DividedTwice] {
            let objective = Objective { operations, kl };
            let mut state = State::new(Params::init(SHAPE, b"engines").unwrap());
            for training in [true, true, false, false] {
                state = compare(objective, training, &state);
            }
        }
    }
}

fn spec(protocol: Protocol) -> PretrainSpec {
    TestSpace::pretraining(protocol, 1)
}

fn graphs() -> Arc<GraphSet> {
    Arc::new(GraphSet::of_space(&TestSpace).unwrap())
}

fn start(spec: PretrainSpec, backend: &dyn Backend) -> Pretrainer {
    Pretrainer::new(spec, Arc::new(TestSpace), graphs(), backend).unwrap()
}

fn run(spec: PretrainSpec, backend: &dyn Backend) -> Pretrained {
    let mut pretrainer = start(spec, backend);
    assert!(pretrainer.advance(u64::MAX).unwrap().is_finished());
    pretrainer.finish().unwrap()
}

#[test]
fn a_resumed_run_is_bit_identical() {
    tch::set_num_threads(1);
    for protocol in [Protocol::Reference, Protocol::Corrected] {
        let spec = spec(protocol);
        let expected = run(spec, &PLAIN);
        // 30 training graphs make 4 steps an epoch: stops at the start, within and at
        // the end of epochs.
        for stop in [0, 3, 4, 6, 11, 12] {
            let mut first = start(spec, &PLAIN);
            first.advance(stop).unwrap();
            let bytes = first.checkpoint();
            let space = Arc::new(TestSpace);
            let mut second = Pretrainer::resume(&bytes, spec, space, graphs(), &PLAIN).unwrap();
            assert_eq!(second.checkpoint(), bytes);
            second.advance(u64::MAX).unwrap();
            assert_eq!(second.finish().unwrap(), expected, "stopped after {stop}");
        }
    }
}

#[test]
fn both_engines_pretrain_alike() {
    tch::set_num_threads(1);
    for protocol in [Protocol::Reference, Protocol::Corrected] {
        let native = run(spec(protocol), &Native);
        let plain = run(spec(protocol), &PLAIN);
        for (a, b) in native.epochs.iter().zip(&plain.epochs) {
            assert!((a.loss - b.loss).abs() < 1e-3, "{} {}", a.loss, b.loss);
            assert!((a.true_edge_probability - b.true_edge_probability).abs() < 1e-2);
        }
    }
}

#[test]
fn the_plain_engine_agrees_with_the_fixtures() {
    tch::set_num_threads(1);
    for (fixture, quantities) in [(FIXTURE, 16), (TRAINING, 15)] {
        let report = selftest::run(fixture, &PLAIN).unwrap();
        let wrong: Vec<_> = report.iter().filter(|line| !line.is_ok()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert_eq!(report.len(), quantities);
    }
}
