//! Deleted studies: what they leave behind, and what it costs.

use std::time::Instant;

use reprise_core::lifecycle::StudyControl;
use reprise_domain::ModelName;
use reprise_domain::study::{Seeds, StudySpec};

use crate::fixtures::{control, empty, method, pretraining, searches, submission, worker};
use crate::lab::Lab;

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
