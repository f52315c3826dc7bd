//! A backup of the journal that was put back: what it does not know of is neither
//! repeated nor destroyed.

use std::time::Duration;

use reprise_core::Timestamp;
use reprise_core::lifecycle::{Action, AttemptEnd, Core, Event, Input, Settings, Step, TaskPhase};
use reprise_domain::measure::ArtifactRef;
use reprise_domain::study::StudySpec;
use reprise_domain::{AttemptId, FailureClass};

use crate::fixtures::{embedded, failure, noops, result, seconds, submission, worker};
use crate::lab::Lab;

/// The start of these tests: late enough that the clock says something.
const START: Timestamp = Timestamp(1_800_000_000_000);

fn lab() -> Lab {
    let mut lab = Lab::new();
    lab.now = START;
    lab
}

/// What a coordinator becomes that is given this journal as its backup.
fn restored(journal: &[(Timestamp, Event)], now: Timestamp) -> Lab {
    let mut core = Core::new(Settings::default());
    for (at, event) in journal {
        core.replay(event, *at).unwrap();
    }
    core.resume(now);
    let mut lab = Lab {
        core,
        now,
        journal: journal.to_vec(),
    };
    lab.handle(Input::Restored);
    lab
}

#[test]
fn attempts_that_were_made_after_a_backup_was_restored_twice_differ() {
    let mut lab = lab();
    lab.handle(submission(&noops("s", 1), false));
    lab.hello(worker(1), 1, &[]);
    let before = lab.lease()[0].number;
    let mut numbers = vec![before];
    for hours in [1, 2, 3] {
        let now = lab.now.after(Duration::from_hours(hours));
        let mut again = restored(&lab.journal, now);
        again.hello(worker(1), 1, &[]);
        for _ in 0..20 {
            let attempt = again.lease()[0];
            numbers.push(attempt.number);
            again.report(worker(1), attempt, AttemptEnd::Returned);
        }
        again.restart();
        again.restart_by_snapshot();
    }
    let mut distinct = numbers.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), numbers.len(), "{numbers:?}");
}

#[test]
fn a_journal_that_was_restored_by_an_earlier_version_is_read() {
    let restored: Event = serde_json::from_str(r#"{"event":"restored"}"#).unwrap();
    let mut core = Core::new(Settings::default());
    core.replay(&restored, START).unwrap();
    core.replay(&restored, START).unwrap();
    let mut lab = Lab {
        core,
        now: START,
        journal: vec![(START, restored.clone()), (START, restored)],
    };
    lab.handle(submission(&noops("s", 1), false));
    lab.hello(worker(1), 1, &[]);
    assert_eq!(lab.lease()[0].number, (2 << 20) + 1);
    lab.restart();
}

/// A restored coordinator that does not know the study of which a worker runs the
/// first attempt and has finished the second one.
fn without_the_study() -> (Lab, StudySpec, [AttemptId; 2]) {
    let spec = noops("s", 2);
    let mut lab = lab();
    lab.hello(worker(1), 2, &[]);
    let backup = lab.journal.clone();
    lab.handle(submission(&spec, false));
    let attempts = lab.lease();
    let lab = restored(&backup, lab.now.after(Duration::from_hours(1)));
    (lab, spec, [attempts[0], attempts[1]])
}

fn finished(attempt: AttemptId) -> Input {
    Input::Report {
        worker: worker(1),
        attempt,
        end: AttemptEnd::Finished {
            result: result(7),
            seconds: seconds(1.0),
        },
    }
}

fn says_hello_again(step: &Step) -> bool {
    let reconnect = Action::Reconnect { worker: worker(1) };
    step.actions.contains(&reconnect)
}

#[test]
fn work_at_a_study_that_a_backup_lacks_is_kept_and_taken_when_it_is_submitted() {
    let (mut lab, spec, held) = without_the_study();
    let [running, done] = held;
    assert_eq!(lab.hello(worker(1), 2, &held).actions, []);
    assert_eq!(lab.handle(finished(done)).actions, []);
    let checkpointed = Input::Checkpointed {
        worker: worker(1),
        attempt: running,
        checkpoint: ArtifactRef {
            digest: result(1),
            bytes: 9,
        },
        done: 5,
    };
    assert_eq!(lab.handle(checkpointed.clone()).actions, []);
    let other = lab.handle(submission(&embedded("t", 1, 1), false));
    assert!(!says_hello_again(&other));
    let submitted = lab.handle(submission(&spec, false));
    assert!(says_hello_again(&submitted));
    lab.hello(worker(1), 2, &held);
    lab.handle(finished(done));
    lab.handle(checkpointed);
    assert!(matches!(lab.phase(done.task), TaskPhase::Finished { .. }));
    let TaskPhase::Leased { attempt, .. } = lab.phase(running.task) else {
        panic!("{:?}", lab.phase(running.task));
    };
    assert_eq!(attempt, running);
    assert_eq!(lab.core.checkpoint(running.task).unwrap().done, 5);
    lab.restart();
}

#[test]
fn a_result_that_comes_before_its_study_is_asked_for_again() {
    let (mut lab, spec, [_, done]) = without_the_study();
    lab.hello(worker(1), 2, &[]);
    assert_eq!(lab.handle(finished(done)).actions, []);
    assert!(says_hello_again(&lab.handle(submission(&spec, false))));
    assert!(!says_hello_again(
        &lab.handle(submission(&noops("t", 3), false))
    ));
}

#[test]
fn what_nobody_can_want_is_let_go() {
    let (mut lab, _, held) = without_the_study();
    lab.hello(worker(1), 2, &held);
    // A failure says nothing that another attempt would not.
    lab.report(
        worker(1),
        held[0],
        AttemptEnd::Failed(failure(FailureClass::Task)),
    );
    lab.pass(Duration::from_hours(24 * 8));
    let stop = Action::Stop {
        worker: worker(1),
        attempts: held.to_vec(),
    };
    assert_eq!(lab.hello(worker(1), 2, &held).actions, [stop]);
    let acknowledged = lab.handle(finished(held[1])).actions;
    assert!(matches!(acknowledged[..], [Action::Acknowledge { .. }]));
}

#[test]
fn a_journal_that_was_never_restored_knows_all_there_is() {
    let mut lab = lab();
    let unknown = AttemptId {
        task: crate::lab::first_task(&noops("s", 1)),
        number: 1,
    };
    let step = lab.hello(worker(1), 2, &[unknown]);
    assert!(matches!(step.actions[..], [Action::Stop { .. }]));
    let acknowledged = lab.handle(finished(unknown)).actions;
    assert!(matches!(acknowledged[..], [Action::Acknowledge { .. }]));
}
