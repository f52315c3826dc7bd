//! Finished tasks that are opened again, given-up ones that are retried, studies that
//! are deleted, and who may ask for it.

use reprise_core::lifecycle::{
    Action, Actor, AttemptEnd, Event, Input, Refusal, StudyControl, TaskPhase,
};
use reprise_domain::status::StudyState;
use reprise_domain::study::{OnFailure, StudySpec};
use reprise_domain::{AttemptId, FailureClass, StudyName, TaskKey};

use crate::fixtures::{control, embedded, noops, planned, result, submission, worker};
use crate::lab::{Lab, first_task};

fn forgotten(actions: &[Action]) -> Vec<TaskKey> {
    let tasks = actions.iter().filter_map(|action| match action {
        Action::ForgetResults { tasks } => Some(tasks.clone()),
        _ => None,
    });
    tasks.flatten().collect()
}

fn invalidate(study: &StudyName, task: TaskKey, by: Actor) -> Input {
    Input::Invalidate {
        study: study.clone(),
        tasks: vec![task],
        by,
    }
}

/// A pretraining that has finished, and trials of which one has and the others run.
fn half_done() -> (Lab, StudySpec, Vec<AttemptId>) {
    let spec = embedded("s", 1, 3);
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 3, &[]);
    let pretraining = lab.lease();
    lab.finish(worker(1), pretraining[0], 7);
    let mut trials = lab.lease();
    assert_eq!(trials.len(), 3);
    lab.finish(worker(1), trials.remove(0), 7);
    (lab, spec, trials)
}

#[test]
fn a_lost_embedding_runs_its_pretraining_again_and_nothing_that_has_finished() {
    let (mut lab, spec, trials) = half_done();
    for trial in &trials {
        lab.report(worker(1), *trial, AttemptEnd::Returned);
    }
    let pretraining = first_task(&spec);
    let step = lab.handle(Input::ArtifactLost { task: pretraining });
    assert_eq!(forgotten(&step.actions), [pretraining]);
    let counts = |lab: &Lab| -> Vec<u64> {
        let view = lab.core.study(&spec.name).unwrap();
        view.stages.iter().map(|stage| stage.finished).collect()
    };
    assert_eq!(counts(&lab), [0, 1], "the finished trial stays");
    assert!(!lab.is_done(&spec));
    lab.restart();
    lab.hello(worker(1), 3, &[]);
    let again = lab.lease();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].task, again[0].number), (pretraining, 2));
    lab.finish(worker(1), again[0], 7);
    for trial in lab.lease() {
        lab.finish(worker(1), trial, 7);
    }
    assert!(lab.is_done(&spec));
}

#[test]
fn trials_that_failed_for_want_of_their_embedding_start_with_a_clean_slate() {
    let (mut lab, spec, trials) = half_done();
    let trial = trials[0];
    lab.fail(worker(1), trial, FailureClass::InputLost);
    lab.handle(Input::ArtifactLost {
        task: first_task(&spec),
    });
    lab.pass_ticking(std::time::Duration::from_secs(5));
    assert_eq!(lab.phase(trial.task), TaskPhase::Waiting);
    assert_eq!(lab.lease()[0].task, first_task(&spec));
}

#[test]
fn a_different_result_after_reopening_is_reported() {
    let (mut lab, spec, trials) = half_done();
    let pretraining = first_task(&spec);
    lab.handle(invalidate(&spec.name, pretraining, Actor::Admin));
    // Trials that run go on: they have their embedding.
    lab.finish(worker(1), trials[0], 7);
    let again = lab.lease();
    let step = lab.finish(worker(1), again[0], 8);
    let expected = Action::Nondeterminism {
        worker: worker(1),
        attempt: again[0],
        recorded: result(7),
        reported: result(8),
    };
    assert!(step.actions.contains(&expected), "{:?}", step.actions);
    let disputed = Event::Disputed {
        attempt: again[0],
        worker: worker(1),
        result: result(8),
    };
    assert!(step.events.contains(&disputed), "{:?}", step.events);
    assert!(lab.core.task(pretraining).unwrap().disputed);
    lab.restart();
}

#[test]
fn only_finished_tasks_are_invalidated_and_only_given_up_ones_retried() {
    let (mut lab, spec, trials) = half_done();
    let keys: Vec<_> = planned(&spec).tasks().map(|task| task.key).collect();
    let refusal = lab
        .try_handle(invalidate(&spec.name, keys[3], Actor::Admin))
        .unwrap_err();
    assert!(matches!(refusal, Refusal::WrongPhase { .. }), "{refusal}");
    let retry = |tasks| Input::Retry {
        study: spec.name.clone(),
        tasks,
        by: Actor::Admin,
    };
    let refusal = lab.try_handle(retry(vec![keys[0]])).unwrap_err();
    assert!(matches!(refusal, Refusal::WrongPhase { .. }), "{refusal}");
    let trial = trials[0];
    lab.fail(worker(1), trial, FailureClass::Permanent);
    lab.handle(retry(Vec::new()));
    assert_eq!(lab.phase(trial.task), TaskPhase::Ready);
    let stranger = TaskKey(result(1));
    let refusal = lab.try_handle(retry(vec![stranger])).unwrap_err();
    assert!(matches!(refusal, Refusal::UnknownTask { .. }), "{refusal}");
}

#[test]
fn a_deleted_study_takes_along_what_nobody_else_has() {
    let (small, large) = (noops("small", 2), noops("large", 4));
    let mut lab = Lab::with(&small);
    lab.handle(submission(&large, false));
    lab.hello(worker(1), 4, &[]);
    let attempts = lab.lease();
    lab.finish(worker(1), attempts[0], 1);
    lab.finish(worker(1), attempts[2], 1);
    let step = lab.handle(control(large.name.clone(), StudyControl::Delete));
    assert_eq!(forgotten(&step.actions), [attempts[2].task]);
    assert!(step.actions.contains(&Action::Stop {
        worker: worker(1),
        attempts: vec![attempts[3]],
    }));
    assert!(lab.core.study(&large.name).is_none());
    assert!(lab.core.task(attempts[3].task).is_none());
    lab.restart();
    // It may come back under its name, and everything of it runs anew.
    lab.hello(worker(1), 4, &attempts[1..2]);
    lab.handle(submission(&large, false));
    assert_eq!(lab.stage(&large).finished, 1);
    assert_eq!(lab.lease().len(), 2);
    lab.restart();
}

#[test]
fn a_study_is_its_owners_and_an_admins() {
    let spec = noops("s", 2);
    let mut lab = Lab::new();
    let holder = |name: &str| Actor::Holder(name.to_owned());
    let submitted = |by: Actor| match submission(&spec, false) {
        Input::Submit {
            spec,
            digest,
            plan,
            amend,
            ..
        } => Input::Submit {
            spec,
            digest,
            plan,
            amend,
            by,
        },
        other => other,
    };
    lab.handle(submitted(holder("ada")));
    assert_eq!(lab.core.study(&spec.name).unwrap().owner, Some("ada"));
    let pause = |by| Input::Control {
        study: spec.name.clone(),
        control: StudyControl::Pause,
        by,
    };
    let expected = Refusal::NotYours {
        study: spec.name.clone(),
        owner: "ada".to_owned(),
    };
    assert_eq!(lab.try_handle(pause(holder("bob"))), Err(expected.clone()));
    assert_eq!(lab.try_handle(submitted(holder("bob"))), Err(expected));
    assert_eq!(lab.handle(pause(holder("ada"))).events.len(), 1);
    let resumed = lab.handle(control(spec.name.clone(), StudyControl::Resume));
    assert!(matches!(resumed.events[..], [Event::StudyResumed { .. }]));
}

#[test]
fn a_study_that_is_over_cannot_be_cancelled() {
    let spec = noops("s", 1);
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 1, &[]);
    let attempts = lab.lease();
    lab.finish(worker(1), attempts[0], 1);
    let cancel = control(spec.name.clone(), StudyControl::Cancel);
    let refusal = lab.try_handle(cancel).unwrap_err();
    assert!(matches!(refusal, Refusal::NothingToCancel { .. }));
}

/// A study that stops at its first failure, and has: of three tasks one was given up
/// and two were not begun.
fn stopped() -> (Lab, StudySpec, TaskKey) {
    let spec = StudySpec {
        on_failure: OnFailure::Stop,
        ..noops("s", 3)
    };
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 1, &[]);
    let attempts = lab.lease();
    lab.fail(worker(1), attempts[0], FailureClass::Permanent);
    for attempt in &attempts[1..] {
        lab.report(worker(1), *attempt, AttemptEnd::Returned);
    }
    assert_eq!(state(&lab, &spec), StudyState::Stopped);
    assert!(lab.is_done(&spec));
    (lab, spec, attempts[0].task)
}

fn state(lab: &Lab, spec: &StudySpec) -> StudyState {
    lab.core.study(&spec.name).unwrap().state
}

fn retry(spec: &StudySpec, tasks: Vec<TaskKey>) -> Input {
    Input::Retry {
        study: spec.name.clone(),
        tasks,
        by: Actor::Admin,
    }
}

fn finish_all(lab: &mut Lab) {
    loop {
        let leased = lab.lease();
        if leased.is_empty() {
            return;
        }
        for attempt in leased {
            lab.finish(worker(1), attempt, 7);
        }
    }
}

#[test]
fn a_stopped_study_goes_on_when_its_failed_tasks_are_tried_again() {
    let (mut lab, spec, failed) = stopped();
    lab.handle(retry(&spec, Vec::new()));
    assert_eq!(state(&lab, &spec), StudyState::Running);
    assert_eq!(lab.phase(failed), TaskPhase::Ready);
    assert_eq!(lab.stage(&spec).cancelled, 0, "what its stop cancelled");
    lab.restart();
    lab.hello(worker(1), 1, &[]);
    finish_all(&mut lab);
    assert_eq!(lab.stage(&spec).finished, 3);
    assert_eq!(state(&lab, &spec), StudyState::Done);
}

#[test]
fn one_task_of_a_stopped_study_can_be_tried_again_and_the_others_stay_given_up() {
    let spec = StudySpec {
        on_failure: OnFailure::StopAfter(2),
        ..embedded("s", 3, 2)
    };
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 2, &[]);
    let attempts = lab.lease();
    lab.fail(worker(1), attempts[0], FailureClass::Permanent);
    lab.fail(worker(1), attempts[1], FailureClass::Permanent);
    assert_eq!(state(&lab, &spec), StudyState::Stopped);
    lab.handle(retry(&spec, vec![attempts[0].task]));
    lab.restart();
    lab.hello(worker(1), 2, &[]);
    finish_all(&mut lab);
    assert!(matches!(lab.phase(attempts[1].task), TaskPhase::GivenUp(_)));
    let counts: Vec<_> = lab.core.study(&spec.name).unwrap().stages;
    let counts: Vec<_> = counts
        .iter()
        .map(|stage| (stage.finished, stage.failed, stage.blocked, stage.cancelled))
        .collect();
    assert_eq!(counts, [(2, 1, 0, 0), (1, 0, 1, 0)]);
    assert!(lab.is_done(&spec));
}

#[test]
fn tasks_of_a_cancelled_study_are_tried_again_only_where_another_study_wants_them() {
    let spec = noops("s", 2);
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 1, &[]);
    let attempts = lab.lease();
    lab.fail(worker(1), attempts[0], FailureClass::Permanent);
    lab.handle(control(spec.name.clone(), StudyControl::Cancel));
    let ended = Refusal::StudyEnded {
        study: spec.name.clone(),
        how: "cancelled",
    };
    for tasks in [Vec::new(), vec![attempts[0].task]] {
        assert_eq!(lab.try_handle(retry(&spec, tasks)), Err(ended.clone()));
    }
    let other = noops("t", 1);
    lab.handle(submission(&other, false));
    let again = lab.lease();
    lab.fail(worker(1), again[0], FailureClass::Permanent);
    lab.handle(retry(&spec, Vec::new()));
    assert_eq!(lab.phase(again[0].task), TaskPhase::Ready);
    assert_eq!(state(&lab, &spec), StudyState::Cancelled);
    lab.restart();
}

#[test]
fn trials_that_were_given_up_for_want_of_their_embedding_are_tried_again() {
    let (mut lab, pretraining, trial) = lost_input(1);
    let failed = lab.journal.iter().map(|(_, event)| event);
    let failed = failed.filter(|event| matches!(event, Event::Failed { .. }));
    assert_eq!(failed.count(), 3, "it is no fault of the task");
    lab.handle(Input::ArtifactLost { task: pretraining });
    assert_eq!(lab.phase(trial), TaskPhase::Waiting);
    lab.restart();
    lab.hello(worker(1), 1, &[]);
    finish_all(&mut lab);
    assert!(lab.is_done(&embedded("s", 1, 2)));
    assert!(matches!(lab.phase(trial), TaskPhase::Finished { .. }));
}

#[test]
fn trials_that_failed_of_something_else_stay_given_up() {
    let (mut lab, spec, trials) = half_done();
    lab.fail(worker(1), trials[0], FailureClass::Permanent);
    let pretraining = first_task(&spec);
    lab.handle(Input::ArtifactLost { task: pretraining });
    assert!(matches!(lab.phase(trials[0].task), TaskPhase::GivenUp(_)));
}

/// A lab with the keys of a pretraining and of a trial that was given up for want of
/// its embedding.
fn lost_input(attempts: u32) -> (Lab, TaskKey, TaskKey) {
    let mut spec = embedded("s", 1, 2);
    spec.retry.attempts = attempts;
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 1, &[]);
    let pretraining = lab.lease()[0];
    lab.finish(worker(1), pretraining, 7);
    let mut trial = None;
    loop {
        let leased = lab.lease();
        for attempt in &leased {
            if *trial.get_or_insert(attempt.task) == attempt.task {
                lab.fail(worker(1), *attempt, FailureClass::InputLost);
            } else {
                lab.report(worker(1), *attempt, AttemptEnd::Returned);
            }
        }
        let task = trial.unwrap();
        if matches!(lab.phase(task), TaskPhase::GivenUp(_)) {
            return (lab, pretraining.task, task);
        }
        lab.pass_ticking(std::time::Duration::from_secs(10));
        lab.handle(Input::Heartbeat { worker: worker(1) });
    }
}
