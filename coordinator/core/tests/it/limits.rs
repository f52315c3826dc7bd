//! Attempts that run too long or stand still.

use std::time::Duration;

use reprise_core::lifecycle::{Action, Actor, Event, Input, Progress, TaskPhase};
use reprise_domain::study::OnFailure;
use reprise_domain::{AttemptId, FailureClass};

use crate::fixtures::{limited, noops, submission, worker};
use crate::lab::Lab;

/// A lab in which two workers, of which the first one has an attempt of a study
/// whose limits are 90 s, and 60 s without progress.
fn running() -> (Lab, AttemptId) {
    let mut lab = Lab::with(&limited(noops("s", 1)));
    lab.hello(worker(1), 1, &[]);
    let attempts = lab.lease();
    progress(&mut lab, attempts[0], 0);
    lab.hello(worker(2), 1, &[]);
    (lab, attempts[0])
}

/// Lets time pass in which both workers give signs of life.
fn pass(lab: &mut Lab, seconds: u64) -> Vec<Action> {
    let mut actions = Vec::new();
    for _ in 0..seconds {
        lab.pass(Duration::from_secs(1));
        for number in [1, 2] {
            lab.handle(Input::Heartbeat {
                worker: worker(number),
            });
        }
        actions.extend(lab.handle(Input::Tick).actions);
    }
    actions
}

fn progress(lab: &mut Lab, attempt: AttemptId, done: u64) {
    progress_after(lab, attempt, done, 0);
}

/// The same of an attempt that has run for so many seconds.
fn progress_after(lab: &mut Lab, attempt: AttemptId, done: u64, seconds: u64) {
    lab.handle(Input::Progress {
        worker: worker(1),
        attempt,
        progress: Progress {
            done,
            total: 100,
            running: Duration::from_secs(seconds),
        },
    });
}

fn ended(lab: &Lab) -> Option<FailureClass> {
    lab.journal.iter().rev().find_map(|(_, event)| match event {
        Event::Failed { failure, .. } => Some(failure.class),
        _ => None,
    })
}

#[test]
fn an_attempt_without_progress_is_ended_and_tried_elsewhere() {
    let (mut lab, attempt) = running();
    progress(&mut lab, attempt, 1);
    assert_eq!(pass(&mut lab, 59), []);
    let stop = Action::Stop {
        worker: worker(1),
        attempts: vec![attempt],
    };
    assert!(pass(&mut lab, 2).contains(&stop));
    assert_eq!(ended(&lab), Some(FailureClass::Stalled));
    pass(&mut lab, 2);
    let again = lab.schedule();
    assert_eq!(again[0].0, worker(2), "not where it stood still");
    lab.restart();
}

#[test]
fn progress_keeps_an_attempt_until_its_time_limit() {
    let (mut lab, attempt) = running();
    for done in 1..=3 {
        progress(&mut lab, attempt, done);
        assert_eq!(pass(&mut lab, 29), []);
    }
    pass(&mut lab, 4);
    assert_eq!(ended(&lab), Some(FailureClass::TimeLimit));
}

#[test]
fn a_worker_that_is_cut_off_is_not_taken_to_stand_still() {
    let (mut lab, attempt) = running();
    lab.handle(Input::Disconnected { worker: worker(1) });
    pass(&mut lab, 20);
    lab.hello(worker(1), 1, &[attempt]);
    progress(&mut lab, attempt, 0);
    assert_eq!(pass(&mut lab, 55), []);
    assert_eq!(ended(&lab), None);
    pass(&mut lab, 7);
    assert_eq!(ended(&lab), Some(FailureClass::Stalled));
}

#[test]
fn an_attempt_that_waits_for_its_turn_is_not_looked_at() {
    let mut lab = Lab::with(&limited(noops("s", 1)));
    lab.hello(worker(1), 1, &[]);
    let attempt = lab.lease()[0];
    pass_alone(&mut lab, 600);
    assert_eq!(ended(&lab), None);
    progress(&mut lab, attempt, 0);
    pass_alone(&mut lab, 40);
    progress(&mut lab, attempt, 1);
    pass_alone(&mut lab, 48);
    assert_eq!(ended(&lab), None);
    pass_alone(&mut lab, 2);
    assert_eq!(ended(&lab), Some(FailureClass::TimeLimit));
}

#[test]
fn limits_hold_after_a_restart() {
    for restart in [Lab::restart, Lab::restart_by_snapshot] {
        let (mut lab, attempt) = running();
        pass(&mut lab, 50);
        restart(&mut lab);
        lab.hello(worker(1), 1, &[attempt]);
        lab.hello(worker(2), 1, &[]);
        progress(&mut lab, attempt, 0);
        pass(&mut lab, 59);
        assert_eq!(ended(&lab), None, "nobody could tell of progress meanwhile");
        pass(&mut lab, 2);
        assert_eq!(ended(&lab), Some(FailureClass::Stalled));
    }
}

#[test]
fn a_limit_of_time_counts_on_over_restarts_and_losses() {
    let restart = |lab: &mut Lab| lab.restart();
    let by_snapshot = |lab: &mut Lab| lab.restart_by_snapshot();
    let lost = |lab: &mut Lab| {
        lab.handle(Input::Disconnected { worker: worker(1) });
        lab.pass_ticking(Duration::from_secs(31));
    };
    let disturbances: [fn(&mut Lab); 3] = [restart, by_snapshot, lost];
    for disturb in disturbances {
        let (mut lab, attempt) = running();
        let begun = lab.now;
        pass(&mut lab, 40);
        disturb(&mut lab);
        lab.hello(worker(1), 1, &[attempt]);
        lab.hello(worker(2), 1, &[]);
        let so_far = lab.now.since(begun).as_secs();
        progress_after(&mut lab, attempt, 1, so_far);
        pass(&mut lab, 88 - so_far);
        assert_eq!(ended(&lab), None);
        pass(&mut lab, 3);
        assert_eq!(ended(&lab), Some(FailureClass::TimeLimit));
    }
}

#[test]
fn limits_hold_again_for_a_study_that_is_taken_up_again() {
    let mut spec = limited(noops("s", 2));
    spec.on_failure = OnFailure::Stop;
    let again = submission(&spec, false);
    let retry = Input::Retry {
        study: spec.name.clone(),
        tasks: Vec::new(),
        by: Actor::Admin,
    };
    for take_up in [again, retry] {
        let mut lab = Lab::with(&spec);
        lab.hello(worker(1), 2, &[]);
        let attempts = lab.lease();
        progress(&mut lab, attempts[1], 0);
        lab.fail(worker(1), attempts[0], FailureClass::Permanent);
        pass_alone(&mut lab, 300);
        lab.handle(take_up);
        pass_alone(&mut lab, 1);
        let mut failed = lab.journal.iter().filter_map(|(_, event)| match event {
            Event::Failed {
                attempt, failure, ..
            } => Some((*attempt, failure.class)),
            _ => None,
        });
        let last = failed.next_back();
        assert_eq!(last, Some((attempts[1], FailureClass::Stalled)));
    }
}

#[test]
fn the_loss_of_a_worker_counts_against_those_that_it_said_it_had_begun() {
    let mut lab = Lab::with(&noops("s", 4));
    lab.hello(worker(1), 4, &[]);
    let attempts = lab.lease();
    assert_eq!(attempts.len(), 4);
    progress(&mut lab, attempts[0], 0);
    pass_alone(&mut lab, 60);
    lab.hello(worker(1), 4, &[]);
    let lost = lab.journal.iter().rev().find_map(|(_, event)| match event {
        Event::Lost {
            counted, unbegun, ..
        } => Some((counted.clone(), unbegun.clone())),
        _ => None,
    });
    assert_eq!(lost, Some((attempts[..1].to_vec(), attempts[1..].to_vec())));
    // Nothing was heard of these, so that the first ones probably ran. One of them was lost
    // before: it is blamed.
    let before = attempts[0].task;
    let attempts = lab.lease();
    lab.hello(worker(1), 4, &[]);
    let (_, last) = lab.journal.last().unwrap();
    let Event::Lost {
        counted, unbegun, ..
    } = last
    else {
        panic!("{last:?}")
    };
    assert_eq!(counted.len() + unbegun.len(), attempts.len());
    assert!(
        counted.len() == 1 && counted[0].task == before,
        "{counted:?}"
    );
}

#[test]
fn the_only_worker_gets_its_task_back() {
    let mut lab = Lab::with(&limited(noops("s", 1)));
    lab.hello(worker(1), 1, &[]);
    let attempt = lab.lease()[0];
    progress(&mut lab, attempt, 0);
    pass_alone(&mut lab, 63);
    assert_eq!(ended(&lab), Some(FailureClass::Stalled));
    let again = lab.lease();
    assert_eq!(again[0].number, attempt.number + 1);
}

#[test]
fn other_work_goes_past_a_task_that_a_worker_may_not_have() {
    let (mut lab, attempt) = running();
    let mut others = noops("t", 9);
    if let Some(noop) = &mut others.noop {
        // Tasks of their own.
        noop.hold_ms = 1;
    }
    lab.handle(submission(&others, false));
    // The second worker is busy with something else.
    let other = lab.schedule();
    assert_eq!(other[0].0, worker(2));
    pass(&mut lab, 63);
    assert_eq!(ended(&lab), Some(FailureClass::Stalled));
    let next = lab.schedule();
    assert_eq!(next[0].0, worker(1));
    assert_ne!(next[0].1[0].task, attempt.task);
    assert_eq!(lab.phase(attempt.task), TaskPhase::Ready);
}

fn pass_alone(lab: &mut Lab, seconds: u64) {
    for _ in 0..seconds {
        lab.pass(Duration::from_secs(1));
        lab.handle(Input::Heartbeat { worker: worker(1) });
        lab.handle(Input::Tick);
    }
}

/// A lab in which worker 1 may not have a task that it let stand still, and worker 2
/// has a free slot or is busy with something else.
fn avoided(is_busy: bool) -> (Lab, AttemptId) {
    let (mut lab, attempt) = running();
    if is_busy {
        let mut other = noops("t", 1);
        other.noop.as_mut().unwrap().hold_ms = 1;
        lab.handle(submission(&other, false));
        assert_eq!(lab.schedule()[0].0, worker(2));
    }
    pass(&mut lab, 64);
    assert_eq!(ended(&lab), Some(FailureClass::Stalled));
    assert_eq!(lab.phase(attempt.task), TaskPhase::Ready);
    (lab, attempt)
}

#[test]
fn a_free_worker_takes_what_it_was_to_leave_to_others_if_all_others_are_busy() {
    let (mut lab, _) = avoided(false);
    assert_eq!(lab.schedule()[0].0, worker(2));
    let (mut lab, attempt) = avoided(true);
    lab.restart_by_snapshot();
    lab.hello(worker(1), 1, &[]);
    let schedule = lab.schedule();
    assert_eq!(schedule[0].0, worker(1));
    assert_eq!(schedule[0].1[0].task, attempt.task);
}

#[test]
fn a_task_is_kept_from_a_worker_for_ten_minutes_while_there_is_other_work() {
    let (mut lab, attempt) = running();
    let mut others = noops("t", 50);
    others.noop.as_mut().unwrap().hold_ms = 1;
    pass(&mut lab, 55);
    lab.handle(submission(&others, false));
    // The second worker is busy for good.
    assert_eq!(lab.schedule()[0].0, worker(2));
    pass(&mut lab, 10);
    assert_eq!(ended(&lab), Some(FailureClass::Stalled));
    let mut waited = 0;
    loop {
        let schedule = lab.schedule();
        let own = schedule.iter().filter(|(holder, _)| *holder == worker(1));
        let own: Vec<_> = own.flat_map(|(_, attempts)| attempts.clone()).collect();
        if own.iter().any(|own| own.task == attempt.task) {
            break;
        }
        pass(&mut lab, 60);
        waited += 1;
        assert!(waited < 20, "it is never given to the first worker");
        for own in own {
            lab.finish(worker(1), own, 7);
        }
        lab.restart_by_snapshot();
        lab.hello(worker(1), 1, &[]);
        let held: Vec<_> = lab.core.all_held().map(|held| held.attempt).collect();
        lab.hello(worker(2), 1, &held);
    }
    assert!((9..=11).contains(&waited), "{waited} minutes");
}
