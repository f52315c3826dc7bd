//! A machine that is taken away with notice: what it was doing goes on elsewhere
//! and ends with the same bytes.

use std::time::Duration;

use reprise_tests::serving::{Serving, until};

const STUDY: &str = "version: 1
name: preempted
space: nasbench201
pretrain:
  - {model: arch2vec, seeds: 1..1, epochs: 2, batch: 32}
";

#[test]
fn pretraining_goes_on_elsewhere_and_ends_with_the_same_digests() {
    let calm = tempfile::tempdir().unwrap();
    let calm = Serving::start(calm.path(), None).unwrap();
    calm.submit(STUDY).unwrap();
    let _alone = calm.worker("alone", &[]).unwrap();
    calm.succeed(&["watch", "preempted"]).unwrap();
    let expected = calm.artifacts().unwrap();
    assert_eq!(expected.len(), 2, "a checkpoint and an embedding");

    let rough = tempfile::tempdir().unwrap();
    let rough = Serving::start(rough.path(), None).unwrap();
    rough.submit(STUDY).unwrap();
    let mut first = rough.worker("first", &["--checkpoint-every", "1"]).unwrap();
    // The periodic one: the task is under way by then.
    first.wait_for("checkpoint stored").unwrap();
    let left = first.leave().unwrap();
    assert!(left < Duration::from_secs(20), "left after {left:?}");
    let log = first.log().unwrap();
    assert!(log.matches("checkpoint stored").count() >= 2, "{log}");
    assert_eq!(
        rough.artifacts().unwrap().len(),
        1,
        "only the newest checkpoint is kept"
    );

    let second = rough.worker("second", &[]).unwrap();
    second.wait_for("resumed from a checkpoint").unwrap();
    rough.succeed(&["watch", "preempted"]).unwrap();
    // The checkpoint that nobody needs any more is removed after the commit.
    until("the artifacts are those of the calm run", || {
        Ok(rough.artifacts()? == expected)
    })
    .unwrap();
}
