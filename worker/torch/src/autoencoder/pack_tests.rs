//! Tests of packs on a space of 34 cells.

use reprise_domain::protocol::Protocol;
use reprise_model::Native;
use reprise_model::Pretrainer;
use reprise_model::embed;
use reprise_model::test_space::TestSpace;

use super::*;

fn space() -> Arc<dyn SearchSpace> {
    Arc::new(TestSpace)
}

fn graphs() -> Arc<GraphSet> {
    Arc::new(GraphSet::of_space(&TestSpace).unwrap())
}

fn pack(members: &[(PretrainSpec, Option<Vec<u8>>)]) -> Result<Pack, PretrainError> {
    tch::set_num_threads(1);
    Pack::new(members, &space(), &graphs(), TorchDevice::Cpu)
}

fn fresh(protocol: Protocol, seeds: &[u64]) -> Pack {
    let members: Vec<_> = seeds
        .iter()
        .map(|&seed| (TestSpace::pretraining(protocol, seed), None))
        .collect();
    pack(&members).unwrap()
}

fn alone(spec: PretrainSpec, checkpoint: Option<&[u8]>) -> Pretrained {
    let mut pretrainer = match checkpoint {
        Some(bytes) => Pretrainer::resume(bytes, spec, space(), graphs(), &Native),
        None => Pretrainer::new(spec, space(), graphs(), &Native),
    }
    .unwrap();
    pretrainer.advance(u64::MAX).unwrap();
    pretrainer.finish().unwrap()
}

fn assert_close(found: &Pretrained, expected: &Pretrained) {
    assert_eq!(found.epochs.len(), expected.epochs.len());
    for (found, expected) in found.epochs.iter().zip(&expected.epochs) {
        assert!((found.loss - expected.loss).abs() < 1e-3);
        let edges = found.true_edge_probability - expected.true_edge_probability;
        assert!(edges.abs() < 1e-2, "{edges}");
        assert!((found.validity - expected.validity).abs() < 0.05);
    }
    assert_eq!(found.params.batches, expected.params.batches);
}

#[test]
fn every_seed_gets_the_result_that_it_would_get_alone() {
    for protocol in [Protocol::Reference, Protocol::Corrected] {
        let mut pack = fresh(protocol, &[1, 2, 5]);
        assert!(pack.advance(u64::MAX).is_finished());
        for (found, seed) in pack.results().iter().zip([1, 2, 5]) {
            let expected = alone(TestSpace::pretraining(protocol, seed), None);
            assert_close(found.as_ref().unwrap(), &expected);
        }
    }
}

#[test]
fn a_resumed_pack_is_bit_identical() {
    for protocol in [Protocol::Reference, Protocol::Corrected] {
        let seeds = [3, 1];
        let mut whole = fresh(protocol, &seeds);
        whole.advance(u64::MAX);
        // 30 training graphs make 4 steps an epoch: stops at the start, within and at
        // the end of epochs.
        for stop in [0, 3, 4, 6, 11, 12] {
            let mut first = fresh(protocol, &seeds);
            first.advance(stop);
            let checkpoints = first.checkpoints();
            let members: Vec<_> = seeds
                .iter()
                .zip(checkpoints.clone())
                .map(|(&seed, checkpoint)| (TestSpace::pretraining(protocol, seed), checkpoint))
                .collect();
            let mut second = pack(&members).unwrap();
            assert_eq!(second.checkpoints(), checkpoints, "stopped after {stop}");
            second.advance(u64::MAX);
            assert_eq!(
                second.checkpoints(),
                whole.checkpoints(),
                "stopped after {stop}"
            );
        }
    }
}

#[test]
fn a_member_goes_on_alone_and_one_alone_joins_a_pack() {
    let mut first = fresh(Protocol::Corrected, &[1, 2]);
    first.advance(6);
    let checkpoints = first.checkpoints();
    let expected = alone(TestSpace::pretraining(Protocol::Corrected, 2), None);
    let continued = alone(
        TestSpace::pretraining(Protocol::Corrected, 2),
        checkpoints[1].as_deref(),
    );
    assert_close(&continued, &expected);

    let mut single = Pretrainer::new(
        TestSpace::pretraining(Protocol::Corrected, 7),
        space(),
        graphs(),
        &Native,
    )
    .unwrap();
    single.advance(6).unwrap();
    let mut joined = pack(&[
        (
            TestSpace::pretraining(Protocol::Corrected, 1),
            checkpoints[0].clone(),
        ),
        (
            TestSpace::pretraining(Protocol::Corrected, 7),
            Some(single.checkpoint()),
        ),
    ])
    .unwrap();
    joined.advance(u64::MAX);
    let expected = alone(TestSpace::pretraining(Protocol::Corrected, 7), None);
    assert_close(joined.results()[1].as_ref().unwrap(), &expected);
}

#[test]
fn members_that_do_not_go_together_are_refused() {
    let refused = |members: &[(PretrainSpec, Option<Vec<u8>>)]| {
        pack(members).map(drop).unwrap_err().to_string()
    };
    assert_eq!(refused(&[]), "a pack has at least one member");
    let first = TestSpace::pretraining(Protocol::Reference, 1);
    let mut wider = TestSpace::pretraining(Protocol::Reference, 2);
    wider.sizes.hidden += 1;
    let expected = "seed 2 has other settings than seed 1, or is at another step";
    assert_eq!(refused(&[(first, None), (wider, None)]), expected);

    let mut ahead = fresh(Protocol::Reference, &[2]);
    ahead.advance(1);
    let ahead = ahead.checkpoints().remove(0);
    let second = TestSpace::pretraining(Protocol::Reference, 2);
    assert_eq!(refused(&[(first, None), (second, ahead)]), expected);
}

#[test]
fn a_member_that_diverges_does_so_alone() {
    let mut whole = fresh(Protocol::Reference, &[1, 2, 3]);
    whole.advance(2);
    // The third member's parameters become NaN.
    let mut states = whole.engine.states();
    states[2].params.values.fill(f32::NAN);
    let course = whole.course();
    let (objective, optimiser) = (course.objective(), course.optimiser());
    whole.engine = PackedEngine::new(&states, objective, optimiser, whole.device);
    whole.advance(u64::MAX);
    let results = whole.results();
    let message = results[2].as_ref().unwrap_err().to_string();
    assert_eq!(message, "the loss became `NaN` in epoch 0, step 2");
    assert!(whole.checkpoints()[2].is_none());

    let mut pair = fresh(Protocol::Reference, &[1, 2]);
    pair.advance(u64::MAX);
    for (found, expected) in results.iter().zip(pair.results()).take(2) {
        assert_close(found.as_ref().unwrap(), &expected.unwrap());
    }
}

#[test]
fn a_pack_of_which_nothing_is_left_is_over() {
    let mut pack = fresh(Protocol::Reference, &[1]);
    let mut states = pack.engine.states();
    states[0].params.values.fill(f32::INFINITY);
    let course = pack.course();
    let (objective, optimiser) = (course.objective(), course.optimiser());
    pack.engine = PackedEngine::new(&states, objective, optimiser, pack.device);
    assert!(!pack.advance(u64::MAX).is_finished());
    assert!(pack.is_over() && pack.results()[0].is_err());
}

#[test]
fn the_device_embeds_as_the_processor_does() {
    let mut pack = fresh(Protocol::Reference, &[1, 2]);
    pack.advance(u64::MAX);
    for result in pack.results() {
        let params = result.unwrap().params;
        let found = pack.embed(&params).unwrap();
        let expected = embed::embed(&params, &graphs()).unwrap();
        let pairs = found.rows().iter().zip(expected.rows());
        let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
        assert!(largest < 1e-6, "{largest}");
    }
}

#[test]
fn a_probe_tries_doubling_sizes() {
    let found = crate::autoencoder::probe::probe(
        TestSpace::pretraining(Protocol::Reference, 1),
        &space(),
        &graphs(),
        TorchDevice::Cpu,
        5,
    )
    .unwrap();
    let sizes: Vec<_> = found.iter().map(|probed| probed.members).collect();
    assert_eq!(sizes, [1, 2, 4]);
    assert!(found.iter().all(|probed| !probed.step.is_zero()));
}
