//! Tests of pretraining on a space of 34 cells.

use reprise_domain::protocol::Protocol;
use reprise_domain::{ModelName, Seed, SpaceName};

use super::*;
use crate::engine::Native;
use crate::test_space::TestSpace;

fn spec(protocol: Protocol) -> PretrainSpec {
    TestSpace::pretraining(protocol, 1)
}

fn graphs() -> Arc<GraphSet> {
    Arc::new(GraphSet::of_space(&TestSpace).unwrap())
}

fn start(spec: PretrainSpec) -> Pretrainer {
    Pretrainer::new(spec, Arc::new(TestSpace), graphs(), &Native).unwrap()
}

fn run(spec: PretrainSpec) -> Pretrained {
    let mut pretrainer = start(spec);
    assert!(pretrainer.advance(u64::MAX).unwrap().is_finished());
    pretrainer.finish().unwrap()
}

#[test]
fn a_resumed_run_is_bit_identical() {
    for protocol in [Protocol::Reference, Protocol::Corrected] {
        let spec = spec(protocol);
        let expected = run(spec);
        // 30 training graphs make 4 steps an epoch: stops at the start, within and at
        // the end of epochs.
        for stop in [0, 3, 4, 6, 11, 12] {
            let mut first = start(spec);
            first.advance(stop).unwrap();
            let bytes = first.checkpoint();
            let space = Arc::new(TestSpace);
            let mut second = Pretrainer::resume(&bytes, spec, space, graphs(), &Native).unwrap();
            assert_eq!(second.checkpoint(), bytes);
            second.advance(u64::MAX).unwrap();
            assert_eq!(second.finish().unwrap(), expected, "stopped after {stop}");
        }
    }
}

#[test]
fn the_space_is_learnt() {
    let spec = PretrainSpec {
        epochs: 150,
        learning_rate: 5e-3,
        ..spec(Protocol::Reference)
    };
    let epochs = run(spec).epochs;
    let (first, last) = (epochs[0], epochs[149]);
    assert!(last.loss < 0.3 * first.loss, "{first:?} {last:?}");
    assert!(last.ops_accuracy_real_nodes > 0.9, "{last:?}");
    assert!(last.edge_accuracy > 0.9, "{last:?}");
    assert!(last.true_edge_probability > last.false_edge_probability + 0.5);
    assert!(last.validity > first.validity, "{first:?} {last:?}");
    assert!((0.0..=1.0).contains(&last.uniqueness));
    // No decoded node is padding, so a padded one is never right as published.
    assert!(last.ops_accuracy <= last.ops_accuracy_real_nodes);
}

/// Measures of a run under the reference protocol with one change.
fn epochs(change: impl Fn(&mut PretrainSpec)) -> Vec<EpochMeasures> {
    let mut spec = spec(Protocol::Reference);
    change(&mut spec);
    run(spec).epochs
}

#[test]
fn a_longer_run_continues_the_shorter_one() {
    let (short, long) = (epochs(|s| s.epochs = 2), epochs(|s| s.epochs = 3));
    assert_eq!(long[..2], short);
}

#[test]
fn each_quirk_acts_and_only_from_where_it_should() {
    let reference = epochs(|_| ());
    let differs_from = |change: fn(&mut PretrainSpec)| {
        let changed = epochs(change);
        let pairs = changed.iter().zip(&reference);
        let first = pairs
            .map(|(a, b)| a.loss.to_bits() == b.loss.to_bits())
            .position(|equal| !equal);
        first.map(|epoch| epoch + 1)
    };
    assert_eq!(differs_from(|_| ()), None);
    assert_eq!(
        differs_from(|s| s.quirks.eval_mode_after_first_epoch = false),
        Some(2)
    );
    assert_eq!(
        differs_from(|s| s.quirks.batches_never_reshuffled = false),
        Some(2)
    );
    assert_eq!(
        differs_from(|s| s.quirks.ops_decoded_by_sigmoid = false),
        Some(1)
    );
    assert_eq!(differs_from(|s| s.quirks.kl_divided_twice = false), Some(1));
    assert_eq!(differs_from(|s| s.model = ModelName::Arch2vecNoKl), Some(1));

    assert_eq!(differs_from(|s| s.quirks.lenient_validity = false), None);
    // Twelve steps decode nothing valid under either rule; these learn enough.
    let longer = |lenient| {
        epochs(move |s| {
            (s.epochs, s.learning_rate) = (60, 1e-2);
            s.quirks.lenient_validity = lenient;
        })
    };
    let (strict, lenient) = (longer(false), longer(true));
    let pairs = || strict.iter().zip(&lenient);
    assert!(pairs().all(|(strict, lenient)| strict.validity <= lenient.validity));
    assert!(pairs().any(|(strict, lenient)| strict.validity < lenient.validity));
}

#[test]
fn batches_repeat_under_the_quirk_and_cover_the_training_graphs() {
    for (protocol, repeats) in [(Protocol::Reference, true), (Protocol::Corrected, false)] {
        let mut pretrainer = start(spec(protocol));
        let first = pretrainer.order.clone();
        pretrainer.advance(4).unwrap();
        assert_eq!(first == pretrainer.order, repeats, "{protocol:?}");
        let mut sorted = pretrainer.order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..30).collect::<Vec<u32>>());
    }
}

#[test]
fn statistics_freeze_with_evaluation_mode() {
    for (protocol, batches) in [(Protocol::Reference, 4), (Protocol::Corrected, 12)] {
        assert_eq!(run(spec(protocol)).params.batches, batches);
    }
}

#[test]
fn a_task_that_cannot_run_is_refused() {
    let message = |change: fn(&mut PretrainSpec)| {
        let mut spec = spec(Protocol::Reference);
        change(&mut spec);
        let made = Pretrainer::new(spec, Arc::new(TestSpace), graphs(), &Native);
        made.unwrap_err().to_string()
    };
    assert_eq!(
        message(|spec| spec.batch = 0),
        "`batch` is 0, expected a whole number from 1 to 65536"
    );
    assert!(message(|spec| spec.learning_rate = f64::NAN).contains("`learning-rate` is NaN"));
    assert!(message(|spec| spec.sizes.dropout = 1.0).contains("`sizes.dropout` is 1"));
    assert!(message(|spec| spec.sizes.hidden = 1 << 30).contains("`sizes.hidden` is 1073741824"));
    assert!(message(|spec| spec.space = SpaceName::Nasbench101).contains("nasbench101"));
    let unfinished = start(spec(Protocol::Reference)).finish();
    assert_eq!(
        unfinished.unwrap_err().to_string(),
        "0 of 3 epochs are done"
    );
}

#[test]
fn a_checkpoint_of_something_else_is_refused() {
    let spec = spec(Protocol::Reference);
    let mut pretrainer = start(spec);
    pretrainer.advance(5).unwrap();
    let bytes = pretrainer.checkpoint();
    let resume = |bytes: &[u8], spec| {
        let space = Arc::new(TestSpace);
        Pretrainer::resume(bytes, spec, space, graphs(), &Native)
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    let other = PretrainSpec {
        seed: Seed(2),
        ..spec
    };
    assert!(resume(&bytes, other).contains("another task"));
    assert!(resume(&bytes[..bytes.len() - 1], spec).contains("not safetensors"));
    let replaced = |from: &str, to: &str| {
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes());
        let mut bytes = bytes.clone();
        bytes[at.unwrap()..][..to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let found = resume(&replaced("checkpoint 1", "checkpoint 9"), spec);
    assert!(
        found.contains("`reprise pretraining checkpoint 9`"),
        "{found}"
    );
    let found = resume(&replaced("\\\"step\\\":1", "\\\"step\\\":3"), spec);
    assert!(found.contains("at step 3 of epoch 1"), "{found}");
    let found = resume(&replaced("\"adam.first\"", "\"adam.thing\""), spec);
    assert_eq!(found, "tensor `adam.first` is missing");
}
