//! Audits: finished tasks run again on another worker, and the results are compared.

use reprise_core::lifecycle::{
    Action, Actor, AttemptEnd, Event, Input, Step, StudyControl, TaskPhase,
};
use reprise_domain::audit::AuditShare;
use reprise_domain::status::{AuditCounts, StudyState};
use reprise_domain::study::{NoopPlan, StudySpec};
use reprise_domain::{AttemptId, Capability, Device, FailureClass};

use crate::fixtures::{control, embedded, noops, offer, result, submission, worker};
use crate::lab::Lab;

fn audited(mut spec: StudySpec, share: f64) -> StudySpec {
    spec.audit = Some(AuditShare::new(share).unwrap());
    spec
}

fn counts(lab: &Lab, spec: &StudySpec) -> AuditCounts {
    lab.core.study(&spec.name).unwrap().audits
}

/// Counts of which one is one and the others are none.
fn one(count: impl FnOnce(&mut AuditCounts) -> &mut u64) -> AuditCounts {
    let mut counts = AuditCounts::default();
    *count(&mut counts) = 1;
    counts
}

/// A study whose only task worker 1 has finished, and is to be audited. Worker 2 is
/// there too.
fn due() -> (Lab, StudySpec, AttemptId) {
    let spec = audited(noops("s", 1), 1.0);
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 1, &[]);
    let won = lab.lease()[0];
    lab.hello(worker(2), 1, &[]);
    lab.finish(worker(1), won, 7);
    (lab, spec, won)
}

/// The same with the audit under way.
fn running() -> (Lab, StudySpec, AttemptId) {
    let (mut lab, spec, won) = due();
    let audit = begun(&mut lab);
    assert_eq!((audit.task, audit.number), (won.task, won.number + 1));
    (lab, spec, audit)
}

/// The audit that worker 2 is given, and nobody else gets anything.
fn begun(lab: &mut Lab) -> AttemptId {
    let given = lab.schedule();
    let [(holder, attempts)] = given.as_slice() else {
        panic!("{given:?}");
    };
    assert_eq!((*holder, attempts.len()), (worker(2), 1));
    attempts[0]
}

fn stopped(step: &Step) -> Vec<AttemptId> {
    let stopped = step.actions.iter().filter_map(|action| match action {
        Action::Stop { attempts, .. } => Some(attempts.clone()),
        _ => None,
    });
    stopped.flatten().collect()
}

fn recorded(lab: &Lab, attempt: AttemptId) -> u8 {
    let TaskPhase::Finished { result, .. } = lab.phase(attempt.task) else {
        panic!("{:?}", lab.phase(attempt.task));
    };
    result.as_bytes()[0]
}

#[test]
fn an_audit_runs_on_another_worker_and_its_study_ends_with_it() {
    let (mut lab, spec, audit) = running();
    assert_eq!(counts(&lab, &spec), one(|counts| &mut counts.running));
    assert!(!lab.is_done(&spec));
    let step = lab.finish(worker(2), audit, 7);
    let agrees = Event::Audited {
        attempt: audit,
        agrees: true,
    };
    assert_eq!(step.events, [agrees]);
    assert_eq!(counts(&lab, &spec), one(|counts| &mut counts.agreed));
    assert!(lab.is_done(&spec));
    assert_eq!(lab.lease(), []);
}

#[test]
fn a_result_that_differs_is_disputed_and_changes_nothing() {
    let (mut lab, spec, audit) = running();
    let step = lab.finish(worker(2), audit, 8);
    let expected = [
        Event::Audited {
            attempt: audit,
            agrees: false,
        },
        Event::Disputed {
            attempt: audit,
            worker: worker(2),
            result: result(8),
        },
    ];
    assert_eq!(step.events, expected);
    assert!(step.actions.contains(&Action::Nondeterminism {
        worker: worker(2),
        attempt: audit,
        recorded: result(7),
        reported: result(8),
    }));
    let stores = |action: &Action| matches!(action, Action::RecordResult { .. });
    assert!(!step.actions.iter().any(stores));
    assert_eq!(recorded(&lab, audit), 7);
    assert_eq!(counts(&lab, &spec), one(|counts| &mut counts.differing));
    assert!(lab.is_done(&spec));
    lab.restart();
    lab.restart_by_snapshot();
    assert_eq!(counts(&lab, &spec), one(|counts| &mut counts.differing));
}

#[test]
fn an_audit_that_ends_without_a_result_is_due_again() {
    let ends: [fn(&mut Lab, AttemptId); 3] = [
        |lab, audit| drop(lab.fail(worker(2), audit, FailureClass::Task)),
        |lab, audit| drop(lab.report(worker(2), audit, AttemptEnd::Returned)),
        |lab, _| drop(lab.hello(worker(2), 1, &[])),
    ];
    for end in ends {
        let (mut lab, spec, audit) = running();
        end(&mut lab, audit);
        assert_eq!(counts(&lab, &spec), one(|counts| &mut counts.due));
        let again = begun(&mut lab);
        assert_eq!(again.number, audit.number + 1);
        lab.finish(worker(2), again, 7);
        assert_eq!(counts(&lab, &spec), one(|counts| &mut counts.agreed));
    }
}

#[test]
fn an_audit_that_fails_too_often_is_given_up_and_its_task_stays_finished() {
    let (mut lab, spec, _) = due();
    for _ in 0..spec.retry.attempts {
        let audit = begun(&mut lab);
        lab.fail(worker(2), audit, FailureClass::Task);
    }
    assert_eq!(counts(&lab, &spec), one(|counts| &mut counts.given_up));
    assert_eq!(lab.lease(), []);
    assert_eq!(lab.core.study(&spec.name).unwrap().state, StudyState::Done);
    assert_eq!(lab.stage(&spec).failed, 0);
    lab.restart();
}

#[test]
fn an_audit_that_takes_workers_down_is_given_up() {
    let (mut lab, spec, _) = due();
    for _ in 0..spec.retry.lost_workers {
        begun(&mut lab);
        lab.hello(worker(2), 1, &[]);
    }
    assert_eq!(counts(&lab, &spec), one(|counts| &mut counts.given_up));
    assert!(lab.is_done(&spec));
}

#[test]
fn an_audit_that_nobody_wants_any_more_is_stopped() {
    let amended = submission(&noops("s", 1), true);
    let name = noops("s", 1).name;
    for end in [amended, control(name, StudyControl::Cancel)] {
        let (mut lab, spec, audit) = running();
        let step = lab.handle(end);
        assert_eq!(stopped(&step), [audit]);
        assert_eq!(counts(&lab, &spec).pending(), 0);
        assert_eq!(recorded(&lab, audit), 7);
        lab.restart();
        // Its result comes too late, and is compared all the same.
        lab.hello(worker(2), 1, &[]);
        let late = lab.finish(worker(2), audit, 8);
        assert!(matches!(late.events[..], [Event::Disputed { .. }]));
    }
}

#[test]
fn an_audit_of_a_deleted_study_is_stopped_unless_another_one_wants_it() {
    let (mut lab, spec, audit) = running();
    let step = lab.handle(control(spec.name.clone(), StudyControl::Delete));
    assert_eq!(stopped(&step), [audit]);
    assert!(lab.core.task(audit.task).is_none());
    lab.restart();

    let (mut lab, spec, audit) = running();
    let other = audited(noops("t", 1), 1.0);
    lab.handle(submission(&other, false));
    let step = lab.handle(control(spec.name, StudyControl::Delete));
    assert_eq!(stopped(&step), []);
    lab.finish(worker(2), audit, 7);
    assert_eq!(counts(&lab, &other), one(|counts| &mut counts.agreed));
    lab.restart();
}

#[test]
fn a_task_that_is_invalidated_is_audited_anew() {
    let (mut lab, spec, audit) = running();
    let step = lab.handle(Input::Invalidate {
        study: spec.name.clone(),
        tasks: vec![audit.task],
        by: Actor::Admin,
    });
    assert_eq!(stopped(&step), [audit]);
    assert_eq!(counts(&lab, &spec), AuditCounts::default());
    lab.handle(Input::Disconnected { worker: worker(2) });
    let again = lab.lease()[0];
    lab.finish(worker(1), again, 7);
    lab.hello(worker(2), 1, &[]);
    let audit = begun(&mut lab);
    lab.finish(worker(2), audit, 7);
    assert!(lab.is_done(&spec));
}

/// A lab with one worker, which has given up the audit of its task.
fn alone() -> (Lab, StudySpec, AttemptId) {
    let spec = audited(noops("s", 2), 1.0);
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 2, &[]);
    let attempts = lab.lease();
    lab.finish(worker(1), attempts[0], 7);
    assert_eq!(lab.lease(), []);
    assert_eq!(counts(&lab, &spec).due, 1, "another worker may come");
    lab.finish(worker(1), attempts[1], 7);
    assert_eq!(lab.lease(), []);
    assert_eq!(counts(&lab, &spec).given_up, 2);
    assert!(lab.is_done(&spec));
    (lab, spec, attempts[0])
}

#[test]
fn a_lone_worker_cannot_audit_itself_however_often_it_is_asked() {
    let (mut lab, spec, _) = alone();
    lab.restart();
    lab.restart_by_snapshot();
    lab.hello(worker(1), 2, &[]);
    lab.handle(submission(&spec, false));
    assert_eq!(counts(&lab, &spec).due, 2);
    assert_eq!(lab.lease(), [], "it made these results itself");
    assert_eq!(counts(&lab, &spec).given_up, 2);
}

#[test]
fn audits_that_were_given_up_run_when_the_study_is_submitted_again() {
    let (mut lab, spec, _) = alone();
    lab.hello(worker(2), 2, &[]);
    assert_eq!(lab.lease(), []);
    lab.handle(submission(&spec, false));
    for (holder, attempts) in lab.schedule() {
        assert_eq!(holder, worker(2));
        for attempt in attempts {
            lab.finish(worker(2), attempt, 7);
        }
    }
    assert_eq!(counts(&lab, &spec).agreed, 2);
    // What another study audits is of no concern to one that does not.
    let other = noops("t", 2);
    lab.handle(submission(&other, false));
    assert_eq!(lab.handle(submission(&other, false)).events, []);
}

#[test]
fn a_study_that_is_paused_keeps_nobody_elses_audits_waiting() {
    let many = audited(noops("many", 300), 1.0);
    let mut lab = Lab::with(&many);
    lab.hello(worker(1), 300, &[]);
    for attempt in lab.lease() {
        lab.finish(worker(1), attempt, 7);
    }
    lab.handle(control(many.name.clone(), StudyControl::Pause));
    let mut few = audited(noops("few", 1), 1.0);
    few.noop = few.noop.map(|noop| NoopPlan { hold_ms: 1, ..noop });
    lab.handle(submission(&few, false));
    let attempt = lab.lease()[0];
    lab.finish(worker(1), attempt, 7);
    lab.hello(worker(2), 1, &[]);
    let given: Vec<_> = (0..3).flat_map(|_| lab.lease()).collect();
    assert_eq!(given.len(), 1, "{given:?}");
    assert_eq!(given[0].task, attempt.task);
}

#[test]
fn a_task_whose_input_is_lost_is_audited_once_that_is_there_again() {
    let spec = audited(embedded("s", 1, 1), 1.0);
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 1, &[]);
    let pretraining = lab.lease()[0];
    lab.finish(worker(1), pretraining, 7);
    let trial = lab.lease()[0];
    lab.finish(worker(1), trial, 7);
    lab.handle(Input::ArtifactLost {
        task: pretraining.task,
    });
    let again = lab.lease();
    assert_eq!(again[0].task, pretraining.task);
    lab.hello(worker(2), 1, &[]);
    assert_eq!(lab.lease(), [], "it has nothing to read");
    lab.finish(worker(1), again[0], 7);
    let mut audits = 0;
    for _ in 0..2 {
        let audit = begun(&mut lab);
        lab.finish(worker(2), audit, 7);
        audits += 1;
    }
    assert_eq!((audits, counts(&lab, &spec).agreed), (2, 2));
    assert!(lab.is_done(&spec));
}

#[test]
fn an_audit_survives_a_restart_in_every_state() {
    type Reach = fn() -> (Lab, StudySpec, AttemptId);
    type Count = fn(&AuditCounts) -> u64;
    let reached: [(Reach, Count); 5] = [
        (due, |counts| counts.due),
        (running, |counts| counts.running),
        (
            || {
                let (mut lab, spec, audit) = running();
                lab.finish(worker(2), audit, 7);
                (lab, spec, audit)
            },
            |counts| counts.agreed,
        ),
        (
            || {
                let (mut lab, spec, audit) = running();
                lab.finish(worker(2), audit, 8);
                (lab, spec, audit)
            },
            |counts| counts.differing,
        ),
        (alone, |counts| counts.given_up),
    ];
    for (reach, count) in reached {
        let (mut lab, spec, attempt) = reach();
        let before = counts(&lab, &spec);
        assert!(count(&before) > 0);
        lab.restart();
        lab.restart_by_snapshot();
        assert_eq!(counts(&lab, &spec), before);
        assert_eq!(lab.is_done(&spec), before.pending() == 0);
        if before.pending() > 0 {
            lab.hello(worker(1), 1, &[]);
            lab.hello(worker(2), 1, &[attempt][..before.running as usize]);
            let audit = match before.running {
                1 => attempt,
                _ => begun(&mut lab),
            };
            lab.finish(worker(2), audit, 7);
            assert_eq!(counts(&lab, &spec), one(|counts| &mut counts.agreed));
        }
    }
}

#[test]
fn all_tasks_are_audited_once_where_the_share_is_the_whole() {
    for (share, tasks) in [(1.0, 40), (0.5, 40)] {
        let spec = audited(noops("s", tasks), share);
        let mut lab = Lab::with(&spec);
        let mut audits = std::collections::BTreeMap::new();
        for number in [1, 2, 3] {
            lab.hello(worker(number), 2, &[]);
        }
        while !lab.is_done(&spec) {
            let given = lab.schedule();
            assert!(!given.is_empty(), "{:?}", counts(&lab, &spec));
            for (holder, attempts) in given {
                for attempt in attempts {
                    let is_audit = matches!(lab.phase(attempt.task), TaskPhase::Finished { .. });
                    *audits.entry(attempt.task).or_insert(0) += u32::from(is_audit);
                    lab.finish(holder, attempt, 7);
                }
            }
        }
        let expected = |task| u32::from(spec.audit.unwrap().includes(task));
        assert!(audits.iter().all(|(task, times)| *times == expected(*task)));
        let chosen = audits.values().sum::<u32>();
        assert_eq!(counts(&lab, &spec).agreed, u64::from(chosen));
        assert!(share < 1.0 || chosen == tasks);
        assert!((chosen > 0) && (chosen < tasks || share >= 1.0));
    }
}

/// A pretraining that a processor has finished, and a graphics card beside it.
fn on_two_devices() -> (Lab, StudySpec) {
    let spec = StudySpec {
        search: None,
        ..audited(embedded("s", 1, 1), 1.0)
    };
    let mut lab = Lab::with(&spec);
    lab.hello(worker(1), 1, &[]);
    let won = lab.lease()[0];
    let card = Capability {
        device: Device::Cuda {
            index: 0,
            model: "card".to_owned(),
        },
        ..offer(1)
    };
    lab.handle(Input::Hello {
        worker: worker(2),
        capability: card,
        holding: Vec::new(),
        again: false,
    });
    lab.finish(worker(1), won, 7);
    (lab, spec)
}

#[test]
fn a_pretraining_is_audited_on_the_same_kind_of_device() {
    let (mut lab, spec) = on_two_devices();
    lab.hello(worker(3), 1, &[]);
    let given = lab.schedule();
    let holders: Vec<_> = given.iter().map(|(holder, _)| *holder).collect();
    assert_eq!(holders, [worker(3)]);
    assert_eq!(counts(&lab, &spec), one(|counts| &mut counts.running));
}

#[test]
fn an_audit_that_only_another_kind_of_device_could_run_is_given_up() {
    let (mut lab, spec) = on_two_devices();
    assert_eq!(lab.schedule(), []);
    assert_eq!(counts(&lab, &spec), one(|counts| &mut counts.given_up));
    assert!(lab.is_done(&spec));
}
