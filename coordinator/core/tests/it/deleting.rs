//! Deleted studies: what they leave behind, and what it costs.

use std::time::Instant;

use reprise_core::lifecycle::{Core, Input, Refusal, Settings, StudyControl};
use reprise_domain::ModelName;
use reprise_domain::study::{Seeds, StudySpec};

use crate::fixtures::{
    control, embedded, empty, method, noops, offer, pretraining, searches, submission, worker,
};
use crate::lab::Lab;

#[expect(clippy::disallowed_methods, reason = "a test of what it costs")]
#[test]
fn deleting_many_readers_of_few_inputs_is_quicker_than_submitting_them() {
    let methods = (0..30).map(|number| {
        let mut method = method(&format!("dngo{number}"), Some(ModelName::Arch2vec));
        if let reprise_domain::MethodSpec::Dngo { epochs, .. } = &mut method.method {
            *epochs = 100 + number;
        }
        method
    });
    let many = |name: &str, trials| StudySpec {
        pretrain: vec![pretraining(ModelName::Arch2vec, Seeds::range(1, 3))],
        search: Some(searches(methods.clone().collect(), Seeds::range(1, trials))),
        ..empty(name)
    };
    let small = many("small", 3);
    let large = many("large", 200_000 / 30);
    let mut lab = Lab::with(&small);
    let begun = Instant::now();
    let submission = submission(&large, false);
    lab.core.handle(submission, lab.now).unwrap();
    let submitted = begun.elapsed();
    let tasks = lab.core.study(&large.name).unwrap().summary().tasks;
    assert!(tasks.planned > 199_000, "{}", tasks.planned);
    let begun = Instant::now();
    lab.core
        .handle(control(large.name, StudyControl::Delete), lab.now)
        .unwrap();
    let deleted = begun.elapsed();
    assert!(
        deleted * 2 < submitted,
        "submitted in {submitted:?}, deleted in {deleted:?}"
    );
    // What the other study reads is found as before.
    lab.core.check_invariants().unwrap();
    lab.hello(worker(1), 9, &[]);
    for pretraining in lab.lease() {
        lab.finish(worker(1), pretraining, 7);
    }
    let ready = lab.core.study(&small.name).unwrap().summary().tasks.ready;
    assert_eq!(ready, 90);
}

#[test]
fn deleted_tasks_make_room_for_others() {
    let settings = Settings {
        most_tasks: 10,
        ..Settings::default()
    };
    let mut core = Core::new(settings);
    let now = reprise_core::Timestamp(1);
    let mut sizes = Vec::new();
    for _ in 0..100 {
        let spec = noops("s", 6);
        core.handle(submission(&spec, false), now).unwrap();
        core.handle(control(spec.name, StudyControl::Delete), now)
            .unwrap();
        sizes.push(core.snapshot().len());
    }
    let refused = core.handle(submission(&noops("s", 11), false), now);
    let Err(Refusal::Full {
        what: "tasks",
        found: 11,
        limit: 10,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    // A study keeps its place, which takes some hundred bytes.
    assert!(sizes[99] < sizes[0] + 100 * 1000, "{sizes:?}");
}

#[test]
fn studies_are_bounded_and_a_deleted_one_makes_room() {
    let settings = Settings {
        most_studies: 2,
        ..Settings::default()
    };
    let mut core = Core::new(settings);
    let now = reprise_core::Timestamp(1);
    let mut submit = |name| {
        core.handle(submission(&noops(name, 1), false), now)
            .map(drop)
    };
    submit("a").unwrap();
    submit("b").unwrap();
    // A known one needs no room.
    submit("a").unwrap();
    let refused = submit("c");
    let Err(Refusal::Full {
        what: "studies",
        found: 3,
        limit: 2,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    let deleted = noops("a", 1).name;
    core.handle(control(deleted, StudyControl::Delete), now)
        .unwrap();
    core.handle(submission(&noops("c", 1), false), now).unwrap();
}

#[test]
fn workers_are_bounded_and_a_known_one_is_welcome() {
    let settings = Settings {
        most_workers: 2,
        ..Settings::default()
    };
    let mut core = Core::new(settings);
    let now = reprise_core::Timestamp(1);
    let mut greet = |number| {
        let hello = Input::Hello {
            worker: worker(number),
            capability: offer(1),
            holding: Vec::new(),
            again: false,
        };
        core.handle(hello, now).map(drop)
    };
    greet(1).unwrap();
    greet(2).unwrap();
    let refused = greet(3);
    let Err(Refusal::Full {
        what: "workers",
        found: 3,
        limit: 2,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    greet(1).unwrap();
}

#[test]
fn a_task_comes_after_what_it_reads_also_in_places_that_were_deleted() {
    let mut lab = Lab::new();
    for (round, trials) in [2, 9, 4, 1, 7, 3].into_iter().enumerate() {
        let kept = embedded(&format!("kept{round}"), 1 + round as u64, trials);
        let deleted = noops("deleted", 5 + round as u32);
        lab.handle(submission(&deleted, false));
        lab.handle(submission(&kept, false));
        lab.handle(control(deleted.name, StudyControl::Delete));
        lab.hello(worker(1), 3, &[]);
        for attempt in lab.lease() {
            lab.finish(worker(1), attempt, 7);
        }
        lab.handle(Input::Tick);
        lab.restart();
        lab.restart_by_snapshot();
        if round % 2 == 1 {
            let before = embedded(&format!("kept{}", round - 1), 1, 1).name;
            lab.handle(control(before, StudyControl::Delete));
        }
    }
    lab.restart_by_snapshot();
}
