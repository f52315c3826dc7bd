//! Second attempts at tasks that take too long.

use std::time::Duration;

use reprise_core::lifecycle::{Action, Event, Input, Progress, TaskPhase};
use reprise_domain::study::StudySpec;
use reprise_domain::{AttemptId, FailureClass, Limits};

use crate::fixtures::{noops, result, seconds, worker};
use crate::lab::Lab;

const LATE: Duration = Duration::from_mins(2);

/// A lab whose worker 1 runs the last of three tasks; the others took a second.
fn last_one() -> (Lab, AttemptId) {
    last_one_of(&noops("s", 3))
}

/// The same with a study of three tasks.
fn last_one_of(spec: &StudySpec) -> (Lab, AttemptId) {
    let mut lab = Lab::with(spec);
    lab.hello(worker(1), 1, &[]);
    let mut held = Vec::new();
    for _ in 0..2 {
        held.extend(lab.lease());
        let done = held.remove(0);
        lab.finish(worker(1), done, 7);
    }
    held.extend(lab.lease());
    assert_eq!(held.len(), 1);
    (lab, held[0])
}

fn stopped(actions: &[Action]) -> Vec<AttemptId> {
    let stopped = actions.iter().filter_map(|action| match action {
        Action::Stop { attempts, .. } => Some(attempts.clone()),
        _ => None,
    });
    stopped.flatten().collect()
}

/// The same lab a while later: worker 2 has nothing to do and got the task too.
fn doubled() -> (Lab, AttemptId, AttemptId) {
    let (mut lab, slow) = last_one();
    lab.hello(worker(2), 1, &[]);
    assert_eq!(lab.lease(), [], "it is not late yet");
    lab.pass(LATE);
    lab.handle(Input::Heartbeat { worker: worker(1) });
    let second = lab.lease();
    let expected = AttemptId {
        number: slow.number + 1,
        ..slow
    };
    assert_eq!(second, [expected]);
    assert_eq!(lab.lease(), [], "two attempts are enough");
    (lab, slow, expected)
}

#[test]
fn a_task_that_takes_too_long_is_doubled_and_the_first_result_wins() {
    let (mut lab, slow, second) = doubled();
    lab.restart();
    lab.hello(worker(1), 1, &[slow]);
    lab.hello(worker(2), 1, &[second]);
    let end = lab.finish(worker(2), second, 7);
    assert_eq!(stopped(&end.actions), [slow]);
    assert!(lab.is_done(&noops("s", 3)));
    let late = lab.finish(worker(1), slow, 7);
    assert_eq!(late.events, []);
}

#[test]
fn the_slow_one_may_still_win() {
    let (mut lab, slow, second) = doubled();
    let end = lab.finish(worker(1), slow, 7);
    assert_eq!(stopped(&end.actions), [second]);
    let TaskPhase::Finished { result: won, .. } = lab.phase(slow.task) else {
        panic!()
    };
    assert_eq!(won, result(7));
}

#[test]
fn one_of_two_that_fails_leaves_the_task_to_the_other() {
    let (mut lab, slow, second) = doubled();
    let end = lab.fail(worker(2), second, FailureClass::Task);
    assert_eq!(stopped(&end.actions), []);
    assert!(matches!(lab.phase(slow.task), TaskPhase::Leased { .. }));
    lab.finish(worker(1), slow, 7);
    assert!(lab.is_done(&noops("s", 3)));
}

#[test]
fn a_permanent_failure_of_one_stops_the_other() {
    let (mut lab, slow, second) = doubled();
    let end = lab.fail(worker(2), second, FailureClass::Permanent);
    assert_eq!(stopped(&end.actions), [slow]);
}

#[test]
fn work_that_is_ready_goes_before_second_attempts() {
    let (mut lab, slow) = last_one();
    lab.pass(LATE);
    lab.handle(crate::fixtures::submission(&noops("t", 9), false));
    lab.hello(worker(2), 1, &[]);
    let leased = lab.lease();
    assert!(
        leased.iter().all(|attempt| attempt.task != slow.task),
        "{leased:?}"
    );
}

#[test]
fn two_attempts_that_stand_still_are_ended_in_one_tick() {
    for attempts in [1, 9] {
        let mut spec = noops("s", 3);
        spec.retry.attempts = attempts;
        spec.noop.as_mut().unwrap().limits = Limits {
            silence: Some(seconds(60.0)),
            ..Limits::NONE
        };
        let (mut lab, slow) = last_one_of(&spec);
        lab.hello(worker(2), 1, &[]);
        lab.pass(Duration::from_secs(40));
        let alive = |lab: &mut Lab| {
            for number in [1, 2] {
                let worker = worker(number);
                lab.handle(Input::Heartbeat { worker });
            }
        };
        alive(&mut lab);
        let second = lab.lease()[0];
        for (number, attempt) in [(1, slow), (2, second)] {
            lab.handle(Input::Progress {
                worker: worker(number),
                attempt,
                progress: Progress {
                    done: 1,
                    total: 9,
                    ..Progress::default()
                },
            });
        }
        lab.pass(Duration::from_mins(1));
        alive(&mut lab);
        let step = lab.handle(Input::Tick);
        let mut both = stopped(&step.actions);
        both.sort_unstable();
        both.dedup();
        assert_eq!(both, [slow, second]);
        let failed = step.events.iter();
        let failed = failed.filter(|event| matches!(event, Event::Failed { .. }));
        assert_eq!(failed.count(), if attempts == 1 { 1 } else { 2 });
        lab.restart();
    }
}

#[test]
fn a_round_looks_at_some_of_many_running_tasks_and_the_next_ones_at_the_rest() {
    const WORKERS: u32 = 600;
    let mut lab = Lab::with(&noops("s", WORKERS + 2));
    lab.hello(worker(1), 1, &[]);
    for _ in 0..2 {
        let done = lab.lease()[0];
        lab.finish(worker(1), done, 7);
    }
    for number in 1..=WORKERS {
        lab.hello(worker(u128::from(number)), 1, &[]);
    }
    assert_eq!(lab.lease().len(), WORKERS as usize);
    lab.pass(LATE);
    for number in 1..=WORKERS {
        let worker = worker(u128::from(number));
        lab.handle(Input::Heartbeat { worker });
    }
    lab.hello(worker(9_999), 4_000, &[]);
    let mut rounds: Vec<usize> = Vec::new();
    while rounds.iter().sum::<usize>() < WORKERS as usize && rounds.len() < 9 {
        rounds.push(lab.lease().len());
    }
    assert!(rounds.iter().all(|doubled| *doubled <= 257), "{rounds:?}");
    assert_eq!(rounds.iter().sum::<usize>(), WORKERS as usize, "{rounds:?}");
}
