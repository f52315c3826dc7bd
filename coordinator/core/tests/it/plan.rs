//! Planning: which tasks a study has, and which studies have none.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use reprise_core::plan::{MAX_TASKS, PlanError, Stage, plan};
use reprise_domain::study::{
    ArchSelection, EvaluatePlan, MethodPlan, NoopPlan, Pairing, Seeds, StudySpec,
};
use reprise_domain::{
    ArchIndex, Dataset, EncodingName, Factor, Limits, ModelName, Recipe, Scalar, SearchSpec, Seed,
    TaskSpec,
};

use crate::fixtures::{embedded, empty, method, noops, planned, pretraining, searches};

const MODEL: ModelName = ModelName::Arch2vec;

fn refused(spec: &StudySpec) -> PlanError {
    plan(spec, &|_| vec![ArchIndex(3), ArchIndex(3)]).unwrap_err()
}

#[test]
fn trials_are_dealt_out_over_the_embeddings_in_turn() {
    let plan = planned(&embedded("s", 3, 7));
    let pretrained: Vec<_> = plan.tasks().take(3).map(|task| task.key).collect();
    for (position, task) in plan.tasks().skip(3).enumerate() {
        let TaskSpec::Search(SearchSpec { encoding, seed, .. }) = task.spec else {
            panic!()
        };
        let pretrain = pretrained[position % 3];
        assert_eq!(encoding, EncodingName::Embedding { pretrain });
        assert_eq!(seed, Seed(position as u64 + 1));
    }
}

/// Three sizes of a model, each with three embeddings, and a method on each of them.
fn sizes(pairing: Pairing) -> StudySpec {
    let mut spec = embedded("s", 3, 7);
    let (entry, search) = (spec.pretrain.remove(0), spec.search.as_mut().unwrap());
    let searched = search.methods.remove(0);
    for latent in [8, 16, 32] {
        let mut entry = entry.clone();
        entry.sizes.latent = latent;
        entry.level = vec![Factor {
            name: "latent".to_owned(),
            value: Scalar::Whole(latent.into()),
        }];
        search.methods.push(MethodPlan {
            level: entry.level.clone(),
            encoding: Some(entry.title()),
            ..searched.clone()
        });
        spec.pretrain.push(entry);
    }
    search.pairing = pairing;
    spec
}

#[test]
fn a_method_searches_the_embeddings_of_its_level() {
    for (pairing, trials) in [(Pairing::InTurn, 7), (Pairing::Crossed, 21)] {
        let plan = planned(&sizes(pairing));
        let tasks: Vec<_> = plan.tasks().collect();
        assert_eq!(tasks.len(), 9 + 3 * trials);
        let made: HashMap<_, _> = tasks[..9]
            .iter()
            .map(|task| (task.key, task.stage.level().to_vec()))
            .collect();
        let mut met = HashSet::new();
        for task in &tasks[9..] {
            let input = task.spec.inputs()[0];
            assert_eq!(made[&input], task.stage.level());
            assert!(met.insert((input, task.spec.seed())), "twice: {task:?}");
        }
        let names: HashSet<_> = tasks.iter().map(|task| task.stage.to_string()).collect();
        assert!(names.contains("pretrain arch2vec latent=8"), "{names:?}");
        assert!(names.contains("dngo latent=32 on cifar10"), "{names:?}");
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(
            serde_json::from_str::<reprise_core::plan::Plan>(&text).unwrap(),
            plan
        );
    }
}

#[test]
fn a_crossed_seed_keeps_the_trials_that_it_had_in_turn() {
    let keys = |pairing| -> HashSet<_> {
        let plan = planned(&sizes(pairing));
        plan.tasks().map(|task| task.key).collect()
    };
    assert!(keys(Pairing::Crossed).is_superset(&keys(Pairing::InTurn)));
}

#[test]
fn a_study_has_every_method_on_every_data_set_with_every_seed() {
    let mut spec = embedded("s", 2, 5);
    let search = spec.search.as_mut().unwrap();
    search.methods.push(method("random", None));
    search.datasets.push(search.datasets[0]);
    search.datasets[1].dataset = Dataset::Cifar100;
    spec.noop = Some(NoopPlan {
        tasks: 3,
        hold_ms: 0,
        failures: 0,
        limits: Limits::NONE,
    });
    let tasks: Vec<_> = planned(&spec).tasks().collect();
    assert_eq!(tasks.len(), 2 + 2 * 2 * 5 + 3);
    let keys: HashSet<_> = tasks.iter().map(|task| task.key).collect();
    assert_eq!(keys.len(), tasks.len());
    let mut stages: Vec<String> = tasks.iter().map(|task| task.stage.to_string()).collect();
    stages.dedup();
    let expected = [
        "pretrain arch2vec",
        "dngo on cifar10",
        "dngo on cifar100",
        "random on cifar10",
        "random on cifar100",
        "noop",
    ];
    assert_eq!(stages, expected);
}

#[test]
fn inputs_come_before_what_reads_them() {
    let mut seen = HashSet::new();
    for task in planned(&embedded("s", 3, 9)).tasks() {
        assert!(task.spec.inputs().iter().all(|input| seen.contains(input)));
        seen.insert(task.key);
    }
}

#[test]
fn the_name_and_the_retries_of_a_study_are_in_no_key() {
    let mut other = embedded("other", 2, 4);
    other.retry.attempts = 9;
    assert_eq!(planned(&embedded("s", 2, 4)), planned(&other));
}

#[test]
fn more_seeds_keep_the_tasks_of_the_old_ones() {
    let keys = |spec| {
        planned(&spec)
            .tasks()
            .map(|task| task.key)
            .collect::<HashSet<_>>()
    };
    assert!(keys(embedded("s", 3, 10)).is_superset(&keys(embedded("s", 3, 6))));
}

#[test]
fn every_selected_architecture_is_trained_with_every_seed() {
    let evaluate = EvaluatePlan {
        architectures: ArchSelection::FirstUnique(2),
        dataset: Dataset::Digits,
        recipe: Recipe::DigitsSmall,
        seeds: Seeds::range(1, 2),
        limits: Limits::NONE,
    };
    let spec = StudySpec {
        evaluate: Some(evaluate),
        ..empty("s")
    };
    let select = |selection: &ArchSelection| match selection {
        ArchSelection::FirstUnique(2) => vec![ArchIndex(0), ArchIndex(7)],
        other => panic!("{other:?}"),
    };
    let tasks: Vec<_> = plan(&spec, &select).unwrap().tasks().collect();
    let titles: Vec<_> = tasks.iter().map(|task| task.spec.to_string()).collect();
    let expected = [
        "evaluate 0 on digits seed 1",
        "evaluate 0 on digits seed 2",
        "evaluate 7 on digits seed 1",
        "evaluate 7 on digits seed 2",
    ];
    assert_eq!(titles, expected);
    let repeated = RepeatedTask(refused(&spec));
    assert_eq!(repeated.stages(), (Stage::Evaluate, Stage::Evaluate));
}

struct RepeatedTask(PlanError);

impl RepeatedTask {
    fn stages(self) -> (Stage, Stage) {
        match self.0 {
            PlanError::RepeatedTask { first, second, .. } => (first, second),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn studies_that_mean_nothing_are_refused() {
    assert_eq!(refused(&empty("s")), PlanError::NoTasks);

    let mut spec = embedded("s", 1, 1);
    spec.pretrain.clear();
    let expected = PlanError::EncodingWithoutPretrain {
        label: "dngo".to_owned(),
        entry: MODEL.to_string(),
    };
    assert_eq!(refused(&spec), expected);

    let mut spec = embedded("s", 1, 1);
    spec.pretrain.push(pretraining(MODEL, Seeds::range(5, 6)));
    let title = MODEL.to_string();
    assert_eq!(refused(&spec), PlanError::RepeatedEntry { title });

    let with_methods = |labels: [&str; 2], seeds| StudySpec {
        search: Some(searches(
            labels.map(|label| method(label, None)).to_vec(),
            seeds,
        )),
        ..empty("s")
    };
    let spec = with_methods(["a", "a"], Seeds::range(1, 2));
    assert_eq!(
        refused(&spec),
        PlanError::RepeatedLabel {
            label: "a".to_owned()
        }
    );
    let (first, second) =
        RepeatedTask(refused(&with_methods(["a", "b"], Seeds::range(1, 2)))).stages();
    assert_eq!(
        (first.to_string(), second.to_string()),
        ("a on cifar10".into(), "b on cifar10".into())
    );

    let sweep = || "search".to_owned();
    let spec = with_methods(["a", "b"], Seeds(vec![]));
    assert_eq!(refused(&spec), PlanError::NoSeeds { sweep: sweep() });
    let spec = with_methods(["a", "b"], Seeds(vec![Seed(1), Seed(2), Seed(1)]));
    assert_eq!(
        refused(&spec),
        PlanError::RepeatedSeed {
            sweep: sweep(),
            seed: Seed(1)
        }
    );

    let mut spec = embedded("s", 1, 1);
    let search = spec.search.as_mut().unwrap();
    search.datasets.push(search.datasets[0]);
    assert_eq!(
        refused(&spec),
        PlanError::RepeatedDataset {
            dataset: Dataset::Cifar10
        }
    );
}

#[test]
fn a_typing_error_cannot_plan_a_billion_tasks() {
    assert_eq!(
        refused(&noops("s", u32::MAX)),
        PlanError::TooManyTasks { limit: MAX_TASKS }
    );
    let mut spec = embedded("s", 1, 1);
    let search = spec.search.as_mut().unwrap();
    search.methods = (0..2000)
        .map(|number| method(&number.to_string(), None))
        .collect();
    assert_eq!(
        refused(&spec),
        PlanError::TooManyStages {
            stages: 2001,
            limit: 1000
        }
    );
}

proptest! {
    #[test]
    fn no_embedding_gets_two_trials_more_than_another(
        pretrainings in 1u64..12,
        trials in 1u64..60,
    ) {
        let tasks: Vec<_> = planned(&embedded("s", pretrainings, trials)).tasks().collect();
        let mut readers: HashMap<_, u64> =
            tasks[..pretrainings as usize].iter().map(|task| (task.key, 0)).collect();
        for input in tasks.iter().flat_map(|task| task.spec.inputs()) {
            *readers.get_mut(&input).unwrap() += 1;
        }
        let (least, most) = (readers.values().min().unwrap(), readers.values().max().unwrap());
        prop_assert!(most - least <= 1, "{readers:?}");
    }
}

/// Every shape that a study can have, written and read again.
#[test]
fn plans_come_back_from_the_form_in_which_they_are_kept() {
    let mut spec = embedded("s", 3, 1000);
    let search = spec.search.as_mut().unwrap();
    search.methods.push(method("random", None));
    search.seeds = Seeds((0..1000).map(|seed| Seed(seed * seed)).collect());
    spec.evaluate = Some(EvaluatePlan {
        architectures: ArchSelection::All,
        dataset: Dataset::Digits,
        recipe: Recipe::DigitsSmall,
        seeds: Seeds::range(3, 4),
        limits: Limits::NONE,
    });
    let archs = |_: &ArchSelection| vec![ArchIndex(5), ArchIndex(6), ArchIndex(9)];
    let plan = plan(&spec, &archs).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    let read: reprise_core::plan::Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(read, plan);
}

#[test]
fn a_plan_of_the_most_tasks_takes_few_bytes() {
    let mut spec = embedded("s", 10, 0);
    let search = spec.search.as_mut().unwrap();
    search.seeds = Seeds::range(1, MAX_TASKS as u64 - 10);
    let plan = planned(&spec);
    let text = serde_json::to_string(&plan).unwrap();
    assert!(text.len() < 4000, "{} bytes", text.len());
    let read: reprise_core::plan::Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(read, plan);
}
