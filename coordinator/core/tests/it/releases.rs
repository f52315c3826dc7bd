//! Studies that an earlier release planned, by another version of its algorithms.

use reprise_core::lifecycle::{Actor, Input, PlanChanges, Refusal, TaskPhase};
use reprise_core::plan::{Plan, PlannedTask};
use reprise_domain::study::StudySpec;
use reprise_domain::{AttemptId, Digest, TaskKey};

use crate::fixtures::{noops, planned, result, seconds, submission, worker};
use crate::lab::Lab;

/// The plan of a study under the keys of another version.
fn earlier(spec: &StudySpec) -> Plan {
    let tasks = planned(spec);
    let tasks = tasks.tasks().map(|task| {
        let mut key = *task.key.0.as_bytes();
        key[31] ^= 1;
        PlannedTask {
            key: TaskKey(Digest::from_bytes(key)),
            ..task
        }
    });
    tasks.collect()
}

fn submitted(spec: &StudySpec) -> Input {
    let Input::Submit {
        spec,
        digest,
        amend,
        by,
        ..
    } = submission(spec, false)
    else {
        unreachable!("a submission")
    };
    Input::Submit {
        plan: earlier(&spec),
        spec,
        digest,
        amend,
        by,
    }
}

/// A study of three tasks, one of which an earlier release finished.
fn upgraded(spec: &StudySpec) -> Lab {
    let mut lab = Lab::new();
    lab.handle(submitted(spec));
    let task = earlier(spec).tasks().next().unwrap().key;
    lab.handle(Input::Unarchive {
        study: spec.name.clone(),
        attempt: AttemptId { task, number: 1 },
        result: result(7),
        seconds: seconds(1.0),
        by: Actor::Admin,
    });
    lab
}

#[test]
fn its_open_tasks_are_leased_to_nobody_and_reported() {
    let spec = noops("s", 3);
    let mut lab = upgraded(&spec);
    for restart in [Lab::restart, Lab::restart_by_snapshot] {
        restart(&mut lab);
        lab.hello(worker(1), 4, &[]);
        assert_eq!(lab.lease(), []);
        let unserved = lab.core.unserved(&spec.name);
        assert_eq!(unserved.len(), 1);
        assert_eq!(unserved[0].tasks, 2);
        assert!(
            unserved[0].needs.contains("earlier release"),
            "{unserved:?}"
        );
    }
}

#[test]
fn it_is_planned_anew_on_demand_only() {
    let spec = noops("s", 3);
    let mut lab = upgraded(&spec);
    let changes = PlanChanges {
        reused: 0,
        added: 3,
        dropped: 3,
    };
    let study = spec.name.clone();
    assert_eq!(
        lab.try_handle(submission(&spec, false)).unwrap_err(),
        Refusal::PlanOutdated { study, changes }
    );
    lab.handle(submission(&spec, true));
    lab.hello(worker(1), 4, &[]);
    assert_eq!(lab.lease().len(), 3);
}

#[test]
fn its_results_stay_and_are_not_thrown_away() {
    let spec = noops("s", 1);
    let mut lab = upgraded(&spec);
    assert!(lab.is_done(&spec));
    lab.handle(submission(&spec, false));
    let task = earlier(&spec).tasks().next().unwrap().key;
    let invalidate = Input::Invalidate {
        study: spec.name.clone(),
        tasks: vec![task],
        by: Actor::Admin,
    };
    assert_eq!(
        lab.try_handle(invalidate).unwrap_err(),
        Refusal::CannotRunAgain { task }
    );
    assert!(matches!(lab.phase(task), TaskPhase::Finished { .. }));
}
