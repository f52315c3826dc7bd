//! Results that are brought back from an archive.

use reprise_core::lifecycle::{Action, Actor, Event, Input, Refusal, TaskPhase};
use reprise_domain::audit::AuditShare;
use reprise_domain::study::StudySpec;
use reprise_domain::{AttemptId, StudyName, TaskKey};

use crate::fixtures::{embedded, noops, planned, result, seconds, submission, worker};
use crate::lab::{Lab, first_task};

fn unarchive(study: &StudyName, task: TaskKey, number: u32, found: u8) -> Input {
    Input::Unarchive {
        study: study.clone(),
        attempt: AttemptId { task, number },
        result: result(found),
        seconds: seconds(1.0),
        by: Actor::Admin,
    }
}

fn keys(spec: &StudySpec) -> Vec<TaskKey> {
    planned(spec).tasks().map(|task| task.key).collect()
}

#[test]
fn a_study_whose_results_come_back_is_done_without_a_worker() {
    let spec = embedded("s", 1, 3);
    let mut lab = Lab::with(&spec);
    // Readers first: the order of an archive does not matter.
    for task in keys(&spec).into_iter().rev() {
        let step = lab.handle(unarchive(&spec.name, task, 3, 7));
        let attempt = AttemptId { task, number: 3 };
        assert_eq!(step.actions, [Action::RecordResult { attempt }]);
    }
    assert!(lab.is_done(&spec));
    lab.restart();
    lab.restart_by_snapshot();
    assert!(lab.is_done(&spec));
}

#[test]
fn a_result_that_comes_back_frees_what_waits_for_it_and_stops_who_runs_it() {
    let spec = embedded("s", 1, 2);
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 2, &[]);
    let running = lab.lease();
    assert_eq!(running.len(), 1, "the pretraining");
    // The archive has it from another coordinator, with the same number.
    let step = lab.handle(unarchive(&spec.name, running[0].task, 1, 7));
    let stop = Action::Stop {
        worker: worker(1),
        attempts: running.clone(),
    };
    assert!(step.actions.contains(&stop), "{:?}", step.actions);
    assert_eq!(lab.lease().len(), 2, "its trials");
    // The worker had finished it meanwhile, with the same result.
    let step = lab.finish(worker(1), running[0], 7);
    assert_eq!(step.events, []);
    lab.restart();
}

#[test]
fn attempts_after_it_have_higher_numbers() {
    let spec = noops("s", 1);
    let mut lab = Lab::with(&spec);
    let task = first_task(&spec);
    lab.handle(unarchive(&spec.name, task, 5, 7));
    lab.handle(Input::Invalidate {
        study: spec.name.clone(),
        tasks: vec![task],
        by: Actor::Admin,
    });
    lab.hello(worker(1), 1, &[]);
    assert_eq!(lab.lease()[0].number, 6);
}

#[test]
fn a_task_that_has_finished_keeps_its_result() {
    let spec = noops("s", 1);
    let mut lab = Lab::with(&spec);
    let task = first_task(&spec);
    lab.handle(unarchive(&spec.name, task, 1, 7));
    for (number, found) in [(1, 7), (2, 7), (1, 8)] {
        let step = lab.handle(unarchive(&spec.name, task, number, found));
        assert_eq!((step.events, step.actions), (vec![], vec![]));
    }
    let phase = lab.phase(task);
    assert!(
        matches!(phase, TaskPhase::Finished { result: kept, .. } if kept == result(7)),
        "{phase:?}"
    );
}

#[test]
fn only_results_of_the_study_are_taken_and_only_from_its_owner() {
    let spec = noops("s", 2);
    let mut lab = Lab::with(&spec);
    let stranger = TaskKey(result(1));
    let refusal = lab.try_handle(unarchive(&spec.name, stranger, 1, 7));
    let refusal = refusal.unwrap_err();
    assert!(matches!(refusal, Refusal::UnknownTask { .. }), "{refusal}");
    let other: StudyName = "other".parse().unwrap();
    let refusal = lab.try_handle(unarchive(&other, first_task(&spec), 1, 7));
    let refusal = refusal.unwrap_err();
    assert!(matches!(refusal, Refusal::UnknownStudy { .. }), "{refusal}");
    for number in [0, u32::MAX] {
        let refusal = lab.try_handle(unarchive(&spec.name, first_task(&spec), number, 7));
        let refusal = refusal.unwrap_err();
        assert!(
            matches!(refusal, Refusal::AttemptNumber { .. }),
            "{refusal}"
        );
    }
    let is_unarchived = |(_, event): &(_, Event)| matches!(event, Event::Unarchived { .. });
    assert!(!lab.journal.iter().any(is_unarchived));
}

#[test]
fn a_task_of_somebody_elses_study_is_finished_by_its_owner_alone() {
    let spec = noops("s", 1);
    let mut lab = Lab::new();
    let submitted = |name: &str, owner: &str| {
        let Input::Submit {
            spec, digest, plan, ..
        } = submission(&noops(name, 1), false)
        else {
            unreachable!("a submission")
        };
        Input::Submit {
            spec,
            digest,
            plan,
            amend: false,
            by: Actor::Holder(owner.to_owned()),
        }
    };
    lab.handle(submitted("s", "ann"));
    lab.handle(submitted("t", "bob"));
    let brought = |by: Actor| {
        let Input::Unarchive {
            study,
            attempt,
            result,
            seconds,
            ..
        } = unarchive(&spec.name, first_task(&spec), 1, 7)
        else {
            unreachable!("a result")
        };
        Input::Unarchive {
            study,
            attempt,
            result,
            seconds,
            by,
        }
    };
    // Bob wants the same task.
    let refusal = lab.try_handle(brought(Actor::Holder("ann".to_owned())));
    let refusal = refusal.unwrap_err();
    assert!(
        matches!(&refusal, Refusal::NotYours { owner, .. } if owner == "bob"),
        "{refusal}"
    );
    lab.handle(brought(Actor::Admin));
    assert!(lab.is_done(&spec));
}

#[test]
fn nobody_waits_for_an_audit_that_has_nothing_to_compare_with() {
    let mut spec = embedded("s", 1, 1);
    spec.audit = Some(AuditShare::new(1.0).unwrap());
    let mut lab = Lab::with(&spec);
    for task in keys(&spec) {
        lab.handle(unarchive(&spec.name, task, 1, 7));
    }
    // Of the pretraining nobody knows what kind of device it is of; the trial could be
    // audited by any worker, but there is none.
    lab.schedule();
    let audits = lab.core.study(&spec.name).unwrap().audits;
    assert_eq!((audits.pending(), audits.given_up), (0, 1), "{audits:?}");
    assert!(lab.is_done(&spec));
}

#[test]
fn durations_of_an_archive_make_no_stragglers() {
    let spec = noops("s", 2);
    let mut lab = Lab::with(&spec);
    let brought = keys(&spec)[1];
    lab.handle(unarchive(&spec.name, brought, 1, 7));
    lab.hello(worker(1), 1, &[]);
    lab.hello(worker(2), 1, &[]);
    assert_eq!(lab.lease().len(), 1);
    // A hundred times as long as the archive says.
    for _ in 0..10 {
        lab.pass_ticking(std::time::Duration::from_secs(10));
        assert_eq!(lab.lease(), [], "a second attempt");
    }
}
