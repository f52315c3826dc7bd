//! Where the next attempt at a task can go on, and what ends that.

use std::time::Duration;

use reprise_core::lifecycle::{Action, Event, Input, Step, StudyControl, TaskPhase};
use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, FailureClass};

use crate::fixtures::{control, noops, result, submission, worker};
use crate::lab::Lab;

/// A file by number.
fn file(number: u8) -> ArtifactRef {
    ArtifactRef {
        digest: result(number),
        bytes: 100,
    }
}

fn checkpoint(lab: &mut Lab, holder: u128, attempt: AttemptId, number: u8, done: u64) -> Step {
    lab.handle(Input::Checkpointed {
        worker: worker(holder),
        attempt,
        checkpoint: file(number),
        done,
    })
}

fn known(lab: &Lab, attempt: AttemptId) -> Option<(u32, u64)> {
    let known = lab.core.checkpoint(attempt.task);
    known.map(|known| (known.attempt.number, known.done))
}

/// A task whose first attempt has come far, and whose second one another worker has.
fn handed_over() -> (Lab, AttemptId, AttemptId) {
    let mut lab = Lab::with(&noops("s", 1));
    lab.hello(worker(1), 1, &[]);
    let first = lab.lease()[0];
    checkpoint(&mut lab, 1, first, 1, 8000);
    lab.handle(Input::Disconnected { worker: worker(1) });
    lab.pass_ticking(Duration::from_secs(30));
    lab.hello(worker(2), 1, &[]);
    let second = lab.lease()[0];
    assert_eq!(known(&lab, second), Some((1, 8000)));
    (lab, first, second)
}

fn lost(attempt: AttemptId, number: u8) -> Input {
    Input::CheckpointLost {
        attempt,
        checkpoint: result(number),
    }
}

#[test]
fn a_checkpoint_whose_file_is_gone_does_not_stand_in_the_way_of_later_ones() {
    let (mut lab, first, second) = handed_over();
    lab.handle(lost(first, 1));
    assert_eq!(known(&lab, second), None);
    checkpoint(&mut lab, 2, second, 2, 5);
    assert_eq!(known(&lab, second), Some((2, 5)));
    lab.restart();
}

#[test]
fn only_the_loss_of_the_known_checkpoint_counts() {
    let (mut lab, first, second) = handed_over();
    for other in [lost(first, 2), lost(second, 1)] {
        assert_eq!(lab.handle(other).events, []);
    }
    let behind = checkpoint(&mut lab, 2, second, 2, 5);
    let discarded = Action::DiscardCheckpoint {
        attempt: second,
        checkpoint: file(2),
    };
    assert_eq!(behind.actions, [discarded]);
    assert_eq!(known(&lab, second), Some((1, 8000)));
}

/// What is left of the checkpoint of a task that failed and is tried again.
fn after_retry(class: FailureClass) -> Option<(u32, u64)> {
    let mut spec = noops("s", 1);
    spec.retry.attempts = 1;
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 1, &[]);
    let attempt = lab.lease()[0];
    checkpoint(&mut lab, 1, attempt, 1, 8000);
    lab.fail(worker(1), attempt, class);
    assert!(matches!(lab.phase(attempt.task), TaskPhase::GivenUp(_)));
    lab.handle(submission(&spec, false));
    lab.restart();
    known(&lab, attempt)
}

#[test]
fn a_task_that_was_given_up_goes_on_only_if_it_lacked_nothing_but_time() {
    assert_eq!(after_retry(FailureClass::TimeLimit), Some((1, 8000)));
    for class in [
        FailureClass::Stalled,
        FailureClass::Permanent,
        FailureClass::OutOfMemory,
    ] {
        assert_eq!(after_retry(class), None, "{class:?}");
    }
}

#[test]
fn a_cancelled_task_goes_on_where_it_was() {
    let spec = noops("s", 1);
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 1, &[]);
    let attempt = lab.lease()[0];
    let saved = checkpoint(&mut lab, 1, attempt, 1, 8000).events;
    assert!(matches!(saved[..], [Event::Checkpointed { .. }]));
    lab.handle(control(spec.name.clone(), StudyControl::Cancel));
    lab.handle(submission(&spec, false));
    assert_eq!(known(&lab, attempt), Some((1, 8000)));
}

#[test]
fn a_worker_discards_no_file_of_an_attempt_that_another_one_has() {
    let (mut lab, _, second) = handed_over();
    let foreign = checkpoint(&mut lab, 1, second, 3, 9000);
    assert_eq!(foreign, Step::default());
    // Its holder announces the same file.
    let own = checkpoint(&mut lab, 2, second, 3, 9000);
    assert!(matches!(own.events[..], [Event::Checkpointed { .. }]));
    assert_eq!(known(&lab, second), Some((2, 9000)));
}
