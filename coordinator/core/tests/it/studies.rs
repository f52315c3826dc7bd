//! Studies: submitting again, amending, sharing, cancelling, stopping.

use std::time::Duration;

use reprise_core::lifecycle::{
    Action, Event, Input, PlanChanges, Refusal, StudyControl, TaskPhase,
};
use reprise_core::plan::PlannedTask;
use reprise_domain::status::StudyState;
use reprise_domain::study::{OnFailure, StudySpec};
use reprise_domain::{AttemptId, FailureClass};

use crate::fixtures::{control, embedded, noops, planned, submission, worker};
use crate::lab::{Lab, first_task};

fn lab_with_worker(spec: &StudySpec, slots: u32) -> Lab {
    let mut lab = Lab::with(spec);
    lab.hello(worker(1), slots, &[]);
    lab
}

fn finish_all(lab: &mut Lab) -> usize {
    let mut finished = 0;
    loop {
        let attempts = lab.lease();
        if attempts.is_empty() {
            return finished;
        }
        for attempt in attempts {
            lab.finish(worker(1), attempt, 1);
            finished += 1;
        }
    }
}

fn stopped(step: &reprise_core::lifecycle::Step) -> Vec<AttemptId> {
    let attempts = step.actions.iter().filter_map(|action| match action {
        Action::Stop { attempts, .. } => Some(attempts.clone()),
        _ => None,
    });
    attempts.flatten().collect()
}

#[test]
fn the_same_study_submitted_again_is_the_same_study() {
    let spec = noops("s", 3);
    let mut lab = lab_with_worker(&spec, 8);
    let step = lab.handle(submission(&spec, false));
    assert_eq!((step.events, step.actions), (vec![], vec![]));
    assert_eq!(finish_all(&mut lab), 3);
    lab.handle(submission(&spec, false));
    assert_eq!(finish_all(&mut lab), 0);
}

#[test]
fn submitting_again_gives_failed_tasks_a_fresh_budget() {
    let spec = noops("s", 2);
    let mut lab = lab_with_worker(&spec, 1);
    let attempt = lab.lease()[0];
    lab.fail(worker(1), attempt, FailureClass::Permanent);
    finish_all(&mut lab);
    assert!(lab.is_done(&spec));
    lab.handle(submission(&spec, false));
    assert!(!lab.is_done(&spec));
    let second = lab.lease();
    assert_eq!(
        second,
        [AttemptId {
            number: 2,
            ..attempt
        }],
        "attempt numbers never repeat"
    );
    for _ in 0..2 {
        let attempt = lab.core.task(attempt.task).unwrap().attempts;
        lab.fail(
            worker(1),
            AttemptId {
                number: attempt,
                ..second[0]
            },
            FailureClass::Task,
        );
        lab.pass_ticking(Duration::from_secs(5));
        assert_eq!(lab.lease().len(), 1);
    }
}

#[test]
fn another_spec_under_the_same_name_is_refused_with_counts() {
    let mut lab = Lab::with(&noops("s", 5));
    let refusal = lab
        .try_handle(submission(&noops("s", 8), false))
        .unwrap_err();
    let study = noops("s", 1).name;
    let expected = Refusal::SpecChanged {
        study: study.clone(),
        changes: PlanChanges {
            reused: 5,
            added: 3,
            dropped: 0,
        },
    };
    assert_eq!(refusal, expected);
    let refusal = lab
        .try_handle(submission(&noops("s", 2), false))
        .unwrap_err();
    assert_eq!(
        refusal,
        Refusal::SpecChanged {
            study,
            changes: PlanChanges {
                reused: 2,
                added: 0,
                dropped: 3
            }
        }
    );
}

#[test]
fn amending_keeps_results_and_stops_what_is_dropped() {
    let spec = noops("s", 4);
    let mut lab = lab_with_worker(&spec, 4);
    let attempts = lab.lease();
    lab.finish(worker(1), attempts[0], 1);
    let smaller = noops("s", 2);
    let step = lab.handle(submission(&smaller, true));
    assert_eq!(stopped(&step), attempts[2..]);
    let stage = lab.stage(&smaller);
    assert_eq!((stage.planned, stage.finished, stage.running), (2, 1, 1));
    lab.handle(submission(&spec, true));
    let stage = lab.stage(&spec);
    assert_eq!(
        (stage.planned, stage.finished, stage.running, stage.ready),
        (4, 1, 1, 2)
    );
    lab.restart();
}

#[test]
fn a_task_finished_for_one_study_serves_another() {
    let small = noops("small", 3);
    let mut lab = lab_with_worker(&small, 8);
    finish_all(&mut lab);
    let large = noops("large", 5);
    lab.handle(submission(&large, false));
    assert_eq!(lab.stage(&large).finished, 3);
    assert_eq!(finish_all(&mut lab), 2);
    lab.restart();
}

#[test]
fn cancelling_stops_only_what_nobody_else_wants() {
    let (small, large) = (noops("small", 2), noops("large", 4));
    let mut lab = lab_with_worker(&small, 4);
    lab.handle(submission(&large, false));
    let attempts = lab.lease();
    let step = lab.handle(control(large.name.clone(), StudyControl::Cancel));
    assert_eq!(stopped(&step), attempts[2..]);
    assert_eq!(
        lab.core.study(&large.name).unwrap().state,
        StudyState::Cancelled
    );
    let late = lab.finish(worker(1), attempts[3], 1);
    assert!(matches!(late.events[..], [Event::Superseded { .. }]));
    lab.finish(worker(1), attempts[0], 1);
    assert_eq!(lab.stage(&small).finished, 1);
    lab.restart();
}

#[test]
fn a_cancelled_study_is_taken_up_again_by_submitting_it() {
    let spec = embedded("s", 2, 4);
    let mut lab = lab_with_worker(&spec, 4);
    let attempts = lab.lease();
    lab.finish(worker(1), attempts[0], 1);
    lab.handle(control(spec.name.clone(), StudyControl::Cancel));
    assert!(lab.is_done(&spec));
    assert_eq!(lab.lease(), []);
    let refusal = lab
        .try_handle(control(spec.name.clone(), StudyControl::Resume))
        .unwrap_err();
    assert!(matches!(refusal, Refusal::StudyEnded { .. }));
    lab.handle(submission(&spec, false));
    assert_eq!(finish_all(&mut lab), 5);
    assert!(lab.is_done(&spec));
}

#[test]
fn a_paused_study_starts_nothing_and_loses_nothing() {
    let spec = noops("s", 6);
    let mut lab = lab_with_worker(&spec, 2);
    let attempts = lab.lease();
    lab.handle(control(spec.name.clone(), StudyControl::Pause));
    lab.finish(worker(1), attempts[0], 1);
    assert_eq!(lab.lease(), []);
    assert_eq!(
        lab.core.study(&spec.name).unwrap().state,
        StudyState::Paused
    );
    assert!(!lab.is_done(&spec));
    lab.handle(control(spec.name.clone(), StudyControl::Resume));
    assert!(!lab.lease().is_empty());
}

#[test]
fn controls_say_what_they_do_not_know() {
    let mut lab = Lab::new();
    let study = noops("s", 1).name;
    for input in [
        control(study.clone(), StudyControl::Cancel),
        control(study.clone(), StudyControl::Pause),
        control(study.clone(), StudyControl::Resume),
    ] {
        let refusal = lab.try_handle(input).unwrap_err();
        assert_eq!(
            refusal,
            Refusal::UnknownStudy {
                study: study.clone()
            }
        );
    }
}

#[test]
fn a_plan_that_cannot_run_is_refused() {
    let spec = embedded("s", 1, 1);
    let check = |change: &dyn Fn(&mut Vec<PlannedTask>)| {
        let Input::Submit {
            spec,
            digest,
            plan,
            amend,
            by,
        } = submission(&spec, false)
        else {
            panic!()
        };
        let mut tasks: Vec<_> = plan.tasks().collect();
        change(&mut tasks);
        let plan = tasks.into_iter().collect();
        Lab::new()
            .try_handle(Input::Submit {
                spec,
                digest,
                plan,
                amend,
                by,
            })
            .unwrap_err()
    };
    let repeated = check(&|tasks| tasks.push(tasks[0].clone()));
    assert_eq!(
        repeated,
        Refusal::RepeatedTask {
            task: first_task(&spec)
        }
    );
    let trial = planned(&spec).tasks().nth(1).unwrap().key;
    let missing = check(&|tasks| drop(tasks.remove(0)));
    assert_eq!(
        missing,
        Refusal::InputNotPlanned {
            task: trial,
            input: first_task(&spec)
        }
    );
}

/// Fails the first `failures` tasks of ten for good, one at a time; returns how
/// many tasks were cancelled because of it.
fn cancelled_after(failures: u32, on_failure: OnFailure) -> u64 {
    let spec = StudySpec {
        on_failure,
        ..noops("s", 10)
    };
    let mut lab = lab_with_worker(&spec, 2);
    for _ in 0..failures {
        let attempts = lab.lease();
        lab.fail(worker(1), attempts[0], FailureClass::Permanent);
    }
    let view = lab.core.study(&spec.name).unwrap();
    let is_stopped = view.state == StudyState::Stopped;
    assert_eq!(is_stopped, view.stages[0].cancelled > 0);
    view.stages[0].cancelled
}

#[test]
fn failures_stop_a_study_as_it_says() {
    assert_eq!(cancelled_after(1, OnFailure::Continue), 0);
    assert_eq!(cancelled_after(1, OnFailure::StopAfter(2)), 0);
    assert_eq!(
        cancelled_after(1, OnFailure::Stop),
        8,
        "one failed, one runs on"
    );
    assert_eq!(cancelled_after(2, OnFailure::StopAfter(2)), 7);
}

#[test]
fn a_stopped_study_is_done_when_what_runs_has_ended() {
    let spec = StudySpec {
        on_failure: OnFailure::Stop,
        ..noops("s", 10)
    };
    let mut lab = lab_with_worker(&spec, 2);
    let attempts = lab.lease();
    lab.fail(worker(1), attempts[0], FailureClass::Permanent);
    assert!(!lab.is_done(&spec));
    lab.fail(worker(1), attempts[1], FailureClass::Task);
    assert!(lab.is_done(&spec));
    assert_eq!(
        lab.phase(attempts[1].task),
        TaskPhase::Cancelled,
        "nothing is started again"
    );
    lab.restart();
    lab.handle(submission(&spec, false));
    lab.hello(worker(1), 2, &[]);
    assert_eq!(finish_all(&mut lab), 10);
}

#[test]
fn times_of_a_study_are_noted() {
    let spec = noops("s", 1);
    let mut lab = Lab::with(&spec);
    let submitted = lab.now;
    lab.pass(Duration::from_secs(10));
    lab.hello(worker(1), 1, &[]);
    let attempts = lab.lease();
    let started = lab.now;
    lab.pass(Duration::from_secs(10));
    lab.finish(worker(1), attempts[0], 1);
    let view = lab.core.study(&spec.name).unwrap();
    assert_eq!(view.submitted, submitted);
    assert_eq!(
        (view.started, view.finished),
        (Some(started), Some(lab.now))
    );
    let tasks = view.summary().tasks;
    assert_eq!((tasks.finished, tasks.remaining()), (1, 0));
}
