//! Attempts: fencing, retrying, quarantine.

use std::time::Duration;

use reprise_core::lifecycle::{Action, AttemptEnd, Input, TaskPhase};
use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Digest, FailureClass, TaskKey};

use crate::fixtures::{embedded, noops, planned, result, submission, worker};
use crate::lab::{Lab, first_task};

const LONG: Duration = Duration::from_mins(1);

fn started(slots: u32, tasks: u32) -> (Lab, Vec<AttemptId>) {
    let mut lab = Lab::with(&noops("s", tasks));
    lab.hello(worker(1), slots, &[]);
    let attempts = lab.lease();
    (lab, attempts)
}

fn records(step: &reprise_core::lifecycle::Step) -> usize {
    let recorded = |action: &&Action| matches!(action, Action::RecordResult { .. });
    step.actions.iter().filter(recorded).count()
}

#[test]
fn a_finished_attempt_wins_its_task() {
    let (mut lab, attempts) = started(1, 1);
    let step = lab.finish(worker(1), attempts[0], 7);
    assert_eq!(records(&step), 1);
    let TaskPhase::Finished { result: won, .. } = lab.phase(attempts[0].task) else {
        panic!()
    };
    assert_eq!(won, result(7));
    assert!(lab.is_done(&noops("s", 1)));
}

#[test]
fn a_repeated_report_is_acknowledged_and_changes_nothing() {
    let (mut lab, attempts) = started(1, 1);
    lab.finish(worker(1), attempts[0], 7);
    let again = lab.finish(worker(1), attempts[0], 7);
    assert_eq!(again.events, []);
    assert_eq!(records(&again), 0);
}

#[test]
fn a_result_of_a_lost_attempt_finishes_its_task() {
    let (mut lab, attempts) = started(1, 1);
    lab.handle(Input::Disconnected { worker: worker(1) });
    lab.pass_ticking(LONG);
    assert_eq!(lab.phase(attempts[0].task), TaskPhase::Ready);
    let late = lab.finish(worker(1), attempts[0], 7);
    assert_eq!(records(&late), 1);
    assert!(matches!(
        lab.phase(attempts[0].task),
        TaskPhase::Finished { .. }
    ));
    lab.restart();
}

#[test]
fn a_result_that_the_journal_does_not_know_the_attempt_of_finishes_its_task() {
    let (mut lab, attempts) = started(1, 1);
    let unknown = AttemptId {
        number: 7,
        ..attempts[0]
    };
    let step = lab.finish(worker(9), unknown, 7);
    assert_eq!(records(&step), 1);
    assert_eq!(lab.core.task(unknown.task).unwrap().attempts, 7);
    lab.restart();
}

#[test]
fn a_result_of_a_lost_attempt_ends_the_one_that_replaced_it() {
    let (mut lab, old) = started(1, 1);
    lab.handle(Input::Disconnected { worker: worker(1) });
    lab.pass_ticking(LONG);
    lab.hello(worker(2), 1, &[]);
    let new = lab.lease();
    assert_eq!(
        (new[0].task, new[0].number),
        (old[0].task, old[0].number + 1)
    );
    // Its failure does not count any more; its result does.
    lab.fail(worker(1), old[0], FailureClass::Permanent);
    let leased = TaskPhase::Leased {
        attempt: new[0],
        worker: worker(2),
    };
    assert_eq!(lab.phase(new[0].task), leased);
    let step = lab.finish(worker(1), old[0], 7);
    let stop = Action::Stop {
        worker: worker(2),
        attempts: new.clone(),
    };
    assert!(step.actions.contains(&stop), "{:?}", step.actions);
    assert!(matches!(lab.phase(new[0].task), TaskPhase::Finished { .. }));
}

#[test]
fn only_the_holder_may_report_a_failure() {
    let (mut lab, attempts) = started(1, 1);
    lab.hello(worker(2), 1, &[]);
    let step = lab.fail(worker(2), attempts[0], FailureClass::Permanent);
    assert_eq!(step.events, []);
    assert!(matches!(
        lab.phase(attempts[0].task),
        TaskPhase::Leased { .. }
    ));
}

#[test]
fn a_differing_second_result_is_reported_once_and_never_counts() {
    let (mut lab, old) = started(1, 1);
    lab.handle(Input::Disconnected { worker: worker(1) });
    lab.pass_ticking(LONG);
    lab.hello(worker(2), 1, &[]);
    let new = lab.lease();
    lab.finish(worker(2), new[0], 7);
    assert_eq!(
        lab.finish(worker(1), old[0], 7).events,
        [],
        "an equal one changes nothing"
    );
    let dispute = lab.finish(worker(1), old[0], 8);
    let expected = Action::Nondeterminism {
        worker: worker(1),
        attempt: old[0],
        recorded: result(7),
        reported: result(8),
    };
    assert!(dispute.actions.contains(&expected));
    assert_eq!(lab.finish(worker(1), old[0], 9).events, []);
    let TaskPhase::Finished { result: won, .. } = lab.phase(old[0].task) else {
        panic!()
    };
    assert_eq!(won, result(7));
}

#[test]
fn attempts_that_cannot_be_are_acknowledged_and_ignored() {
    let (mut lab, attempts) = started(1, 1);
    for wrong in [
        AttemptId {
            number: 0,
            ..attempts[0]
        },
        AttemptId {
            number: u32::MAX,
            ..attempts[0]
        },
        AttemptId {
            task: TaskKey(result(1)),
            number: 1,
        },
    ] {
        assert_eq!(lab.finish(worker(1), wrong, 7).events, []);
        let step = lab.hello(worker(2), 1, &[wrong]);
        let stop = Action::Stop {
            worker: worker(2),
            attempts: vec![wrong],
        };
        assert_eq!(step.actions, [stop]);
    }
}

#[test]
fn a_failing_task_is_retried_with_doubling_waits_and_then_given_up() {
    let (mut lab, mut attempts) = started(1, 1);
    for wait in [1, 2] {
        lab.fail(worker(1), attempts[0], FailureClass::Task);
        lab.pass_ticking(Duration::from_millis(wait * 1000 - 1));
        lab.handle(Input::Heartbeat { worker: worker(1) });
        assert_eq!(lab.lease(), [], "not before {wait} s");
        lab.pass_ticking(Duration::from_millis(1));
        attempts = lab.lease();
        assert_eq!(attempts.len(), 1, "after {wait} s");
    }
    lab.fail(worker(1), attempts[0], FailureClass::OutOfMemory);
    let view = lab.core.study(&noops("s", 1).name).unwrap();
    assert!(view.done);
    let name = noops("s", 1).name;
    let failed = lab.core.failed_page(&name, 0).unwrap();
    assert_eq!(failed.tasks.len(), 1);
    let (entry, studies) = lab.core.task_entry(failed.tasks[0].key).unwrap();
    assert_eq!((entry.task.attempts, studies), (3, vec![name]));
    let failure = entry.task.state.failure().unwrap();
    assert_eq!(failure.class, FailureClass::OutOfMemory);
    assert_eq!(failure.log, ["the last line"]);
}

#[test]
fn a_permanent_failure_is_not_retried() {
    let (mut lab, attempts) = started(1, 1);
    lab.fail(worker(1), attempts[0], FailureClass::Permanent);
    assert!(matches!(lab.phase(attempts[0].task), TaskPhase::GivenUp(_)));
}

#[test]
fn a_task_handed_back_any_number_of_times_is_not_blamed() {
    let (mut lab, mut attempts) = started(1, 1);
    for _ in 0..50 {
        lab.report(worker(1), attempts[0], AttemptEnd::Returned);
        attempts = lab.lease();
        assert_eq!(attempts.len(), 1);
    }
}

/// Loses so many workers with two slots and a deep queue of tasks; returns how
/// many tasks were given up.
fn given_up_after(losses: u128) -> u64 {
    let spec = noops("s", 200);
    let mut lab = Lab::with(&spec);
    // One finished task of a millisecond makes the queues deep.
    lab.hello(worker(100), 1, &[]);
    let first = lab.lease();
    let seconds = crate::fixtures::seconds(0.001);
    let end = AttemptEnd::Finished {
        result: result(1),
        seconds,
    };
    lab.report(worker(100), first[0], end);
    lab.handle(Input::Draining {
        worker: worker(100),
    });
    for number in 0..losses {
        lab.hello(worker(number), 2, &[]);
        assert!(lab.lease().len() > 100);
        lab.handle(Input::Disconnected {
            worker: worker(number),
        });
        lab.pass_ticking(LONG);
    }
    lab.stage(&spec).failed
}

#[test]
fn a_task_that_takes_workers_down_is_quarantined_and_its_neighbours_are_not() {
    assert_eq!(given_up_after(4), 0);
    // Both were there three times. From then on they run one after the other.
    assert_eq!(given_up_after(5), 1);
    assert_eq!(given_up_after(7), 2);
}

#[test]
fn of_the_tasks_of_a_lost_worker_only_the_one_that_takes_it_down_is_given_up() {
    let spec = noops("s", 8);
    let mut lab = Lab::with(&spec);
    let poison = planned(&spec).tasks().nth(5).unwrap().key;
    let mut losses = 0;
    while !lab.is_done(&spec) {
        assert!(losses < 10, "{:?}", lab.stage(&spec));
        lab.hello(worker(losses), 8, &[]);
        // All others take so long that none of them ends before the worker does, unless
        // the one that ends it is not among them.
        loop {
            let leased = lab.lease();
            if leased.is_empty() || leased.iter().any(|attempt| attempt.task == poison) {
                break;
            }
            for attempt in leased {
                lab.finish(worker(losses), attempt, 1);
            }
        }
        lab.handle(Input::Disconnected {
            worker: worker(losses),
        });
        lab.pass_ticking(LONG);
        losses += 1;
    }
    assert!(matches!(lab.phase(poison), TaskPhase::GivenUp(_)));
    assert_eq!(lab.stage(&spec).failed, 1);
}

#[test]
fn what_reads_a_given_up_task_is_blocked_and_says_why() {
    let spec = embedded("s", 1, 2);
    let mut lab = Lab::with(&spec);
    let trial = planned(&spec).tasks().nth(1).unwrap().key;
    assert_eq!(lab.phase(trial), TaskPhase::Waiting);
    lab.hello(worker(1), 4, &[]);
    let pretraining = lab.lease();
    assert_eq!(pretraining.len(), 1, "only the pretraining is ready");
    lab.fail(worker(1), pretraining[0], FailureClass::Permanent);
    let TaskPhase::Blocked { by, failure } = lab.phase(trial) else {
        panic!()
    };
    assert_eq!(
        (by, failure.message.as_str()),
        (first_task(&spec), "it broke")
    );
    assert!(lab.is_done(&spec));
    lab.handle(submission(&spec, false));
    assert_eq!(lab.phase(trial), TaskPhase::Waiting);
    let again = lab.lease();
    lab.finish(worker(1), again[0], 1);
    assert_eq!(lab.lease().len(), 2);
}

fn checkpoint(byte: u8) -> ArtifactRef {
    ArtifactRef {
        digest: Digest::from_bytes([byte; 32]),
        bytes: 1,
    }
}

/// Saves where an attempt stands, after as many units of work as the file's number.
fn checkpointed(lab: &mut Lab, number: u128, attempt: AttemptId, byte: u8) -> Vec<Action> {
    let input = Input::Checkpointed {
        worker: worker(number),
        attempt,
        checkpoint: checkpoint(byte),
        done: u64::from(byte),
    };
    lab.handle(input).actions
}

fn discard(attempt: AttemptId, byte: u8) -> Action {
    Action::DiscardCheckpoint {
        attempt,
        checkpoint: checkpoint(byte),
    }
}

fn saved(lab: &Lab, task: TaskKey) -> Option<ArtifactRef> {
    lab.core.checkpoint(task).map(|saved| saved.artifact)
}

#[test]
fn a_lost_attempts_checkpoint_goes_with_the_task() {
    let (mut lab, attempts) = started(1, 1);
    let task = attempts[0].task;
    assert_eq!(checkpointed(&mut lab, 1, attempts[0], 1), []);
    lab.handle(Input::Disconnected { worker: worker(1) });
    lab.pass_ticking(LONG);
    assert_eq!(saved(&lab, task), Some(checkpoint(1)));

    // The lost worker is heard of again: its place is of no use to anybody.
    let late = checkpointed(&mut lab, 1, attempts[0], 9);
    assert_eq!(late, [discard(attempts[0], 9)]);
    assert_eq!(saved(&lab, task), Some(checkpoint(1)));

    lab.hello(worker(2), 1, &[]);
    let second = lab.lease();
    let first = discard(attempts[0], 1);
    assert_eq!(checkpointed(&mut lab, 2, second[0], 2), [first]);
    assert_eq!(checkpointed(&mut lab, 2, second[0], 2), []);
    let end = lab.finish(worker(2), second[0], 7);
    let last = discard(second[0], 2);
    assert!(end.actions.contains(&last), "{:?}", end.actions);
    assert_eq!(saved(&lab, task), None);
}

#[test]
fn a_checkpoint_never_goes_backwards() {
    let (mut lab, attempts) = started(1, 1);
    checkpointed(&mut lab, 1, attempts[0], 5);
    for stale in [4, 3] {
        let step = checkpointed(&mut lab, 1, attempts[0], stale);
        assert_eq!(step, [discard(attempts[0], stale)]);
    }
    assert_eq!(saved(&lab, attempts[0].task), Some(checkpoint(5)));
}

#[test]
fn a_task_that_advances_between_losses_is_not_given_up() {
    let (mut lab, attempts) = started(1, 1);
    let task = attempts[0].task;
    let mut held = attempts[0];
    for round in 1..=20 {
        checkpointed(&mut lab, 1, held, round);
        // The process is killed: its successor holds nothing.
        lab.hello(worker(1), 1, &[]);
        held = lab.lease()[0];
    }
    lab.finish(worker(1), held, 7);
    assert!(matches!(lab.phase(task), TaskPhase::Finished { .. }));
}

#[test]
fn a_failed_attempts_checkpoint_is_not_taken_up() {
    let (mut lab, attempts) = started(1, 1);
    checkpointed(&mut lab, 1, attempts[0], 1);
    lab.fail(worker(1), attempts[0], FailureClass::Task);
    assert_eq!(saved(&lab, attempts[0].task), None);
}
