//! A study within all bounds passes; each value out of them is named.

use super::*;
use crate::ids::Digest;
use crate::program::{Factor, Scalar};
use crate::protocol::{Protocol, Quirks};
use crate::study::{DatasetBudget, Pairing, RetryPolicy};
use crate::task::{Budget, ModelName, ModelSizes, Recipe};
use crate::units::Seconds;

fn seconds(seconds: f64) -> Seconds {
    Seconds::new(seconds).unwrap()
}

fn method(label: &str, method: MethodSpec, encoding: Option<ModelName>) -> MethodPlan {
    MethodPlan {
        label: label.to_owned(),
        level: Vec::new(),
        method,
        encoding: encoding.map(|model| model.to_string()),
        quirks: None,
        limits: Limits::NONE,
    }
}

/// A study with every section.
fn good() -> StudySpec {
    let model = ModelName::Arch2vec;
    let methods = vec![
        method("random", MethodSpec::Random, None),
        method(
            "evolution",
            MethodSpec::RegularizedEvolution {
                population: 10,
                sample: 3,
            },
            None,
        ),
        method(
            "reinforce",
            MethodSpec::Reinforce {
                episode: 16,
                learning_rate: 0.01,
                baseline: 0.4,
                discount: 0.4,
            },
            Some(model),
        ),
        method(
            "dngo",
            MethodSpec::Dngo {
                initial: 16,
                batch: 1,
                epochs: 100,
                target: 1.0,
            },
            Some(model),
        ),
    ];
    StudySpec {
        name: "good".parse().unwrap(),
        space: Some(SpaceName::Nasbench201),
        protocol: Protocol::Reference,
        quirks: Quirks::of(Protocol::Reference),
        pretrain: vec![PretrainPlan {
            name: None,
            level: Vec::new(),
            model,
            sizes: ModelSizes::default(),
            epochs: 10,
            batch: 32,
            learning_rate: 1e-3,
            clip: 5.0,
            latent_points: 10_000,
            quirks: None,
            seeds: Seeds::range(1, 3),
            limits: Limits::NONE,
        }],
        search: Some(SearchPlan {
            datasets: vec![
                DatasetBudget {
                    dataset: Dataset::Cifar10,
                    budget: Budget::Queries(100),
                },
                DatasetBudget {
                    dataset: Dataset::Cifar100,
                    budget: Budget::Simulated(seconds(12_000.0)),
                },
            ],
            benchmark: BenchmarkRef::Table {
                digest: Digest::from_bytes([1; 32]),
            },
            methods,
            seeds: Seeds::range(1, 500),
            pairing: Pairing::InTurn,
        }),
        evaluate: Some(EvaluatePlan {
            architectures: ArchSelection::Unique,
            dataset: Dataset::Digits,
            recipe: Recipe::DigitsSmall,
            seeds: Seeds::range(1, 3),
            limits: Limits::NONE,
        }),
        noop: Some(NoopPlan {
            tasks: 1,
            hold_ms: 0,
            failures: 0,
            limits: Limits {
                time: Some(seconds(7200.0)),
                silence: Some(seconds(1800.0)),
            },
        }),
        experiments: Vec::new(),
        retry: RetryPolicy::default(),
        on_failure: OnFailure::StopAfter(10),
        audit: None,
    }
}

/// What the check says of a good study after `change`.
fn said(change: impl FnOnce(&mut StudySpec)) -> String {
    let mut spec = good();
    change(&mut spec);
    let problems = spec.check().unwrap_err();
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

fn search(spec: &mut StudySpec) -> &mut SearchPlan {
    spec.search.as_mut().unwrap()
}

#[test]
fn a_good_study_passes() {
    assert_eq!(good().check(), Ok(()));
}

#[test]
fn every_number_out_of_its_bounds_is_named() {
    type Change = fn(&mut StudySpec);
    let whole: [(&str, Change); 21] = [
        ("pretrain[0].epochs", |s| s.pretrain[0].epochs = 0),
        ("pretrain[0].epochs", |s| s.pretrain[0].epochs = 50_001),
        ("pretrain[0].batch", |s| s.pretrain[0].batch = 0),
        ("pretrain[0].batch", |s| s.pretrain[0].batch = 65_537),
        ("pretrain[0].clip", |s| s.pretrain[0].clip = -1.0),
        ("pretrain[0].learning-rate", |s| {
            s.pretrain[0].learning_rate = 1e300
        }),
        ("pretrain[0].latent-points", |s| {
            s.pretrain[0].latent_points = u32::MAX
        }),
        ("pretrain[0].sizes.hidden", |s| {
            s.pretrain[0].sizes.hidden = 4_000_000_000
        }),
        ("pretrain[0].sizes.layers", |s| {
            s.pretrain[0].sizes.layers = 0
        }),
        ("pretrain[0].sizes.latent", |s| {
            s.pretrain[0].sizes.latent = 257
        }),
        ("pretrain[0].sizes.dropout", |s| {
            s.pretrain[0].sizes.dropout = 1.0
        }),
        ("retry.attempts", |s| s.retry.attempts = 0),
        ("retry.lost-workers", |s| s.retry.lost_workers = 0),
        ("retry.backoff", |s| s.retry.backoff = seconds(1e308)),
        ("on-failure.stop-after", |s| {
            s.on_failure = OnFailure::StopAfter(0)
        }),
        ("noop.tasks", |s| s.noop.as_mut().unwrap().tasks = 1_000_001),
        ("noop.hold-ms", |s| {
            s.noop.as_mut().unwrap().hold_ms = u32::MAX
        }),
        ("noop.time-limit", |s| {
            s.noop.as_mut().unwrap().limits.time = Some(Seconds::ZERO);
        }),
        ("noop.silence-limit", |s| {
            s.noop.as_mut().unwrap().limits.silence = Some(seconds(9.0));
        }),
        ("search.datasets[0].budget.queries", |s| {
            search(s).datasets[0].budget = Budget::Queries(100_001);
        }),
        ("search.datasets[1].budget.simulated", |s| {
            search(s).datasets[1].budget = Budget::Simulated(Seconds::ZERO);
        }),
    ];
    for (path, change) in whole {
        let said = said(change);
        assert!(said.starts_with(&format!("`{path}` is ")), "{path}: {said}");
    }
}

#[test]
fn methods_have_settings_in_bounds_and_labels_that_print() {
    let with = |changed: MethodSpec| {
        said(|spec| {
            let methods = &mut search(spec).methods;
            let known = methods
                .iter_mut()
                .find(|m| m.method.name() == changed.name());
            known.unwrap().method = changed;
        })
    };
    let sample = MethodSpec::RegularizedEvolution {
        population: 3,
        sample: 4,
    };
    assert_eq!(
        with(sample),
        "`search.methods[1].sample` is 4, expected a whole number from 1 to 3, the population"
    );
    let dngo = MethodSpec::Dngo {
        initial: 0,
        batch: 1,
        epochs: u32::MAX,
        target: 1.0,
    };
    assert_eq!(
        with(dngo),
        "`search.methods[3].initial` is 0, expected a whole number from 1 to 100000; \
         `search.methods[3].epochs` is 4294967295, expected a whole number from 1 to 100000"
    );
    for label in ["", " a", "a\nb", "\u{1b}[31mred", &"x".repeat(61)] {
        let said = said(|spec| search(spec).methods[0].label = label.to_owned());
        assert!(said.starts_with("`search.methods[0].label` is `"), "{said}");
        assert!(!said.contains(char::is_control), "{said}");
    }
    let said = said(|spec| search(spec).methods[0].encoding = Some("arch2vec".to_owned()));
    assert!(said.contains("does not look at an embedding"), "{said}");
}

#[test]
fn sections_agree_with_each_other() {
    let equal = said(|spec| {
        let methods = &mut search(spec).methods;
        methods.push(MethodPlan {
            label: "again".to_owned(),
            ..methods[0].clone()
        });
    });
    assert_eq!(
        equal,
        "`search.methods[4]` is equal to `methods[0]` but for the label, expected methods that \
         differ in a setting or in the encoding"
    );
    let label = said(|spec| search(spec).methods[1].label = "random".to_owned());
    assert!(label.contains("every label once"), "{label}");
    let model = said(|spec| spec.pretrain.push(spec.pretrain[0].clone()));
    assert!(model.contains("a name or a level of its own"), "{model}");
    let named = said(|spec| {
        spec.pretrain.push(spec.pretrain[0].clone());
        spec.pretrain[1].name = Some(" wide".to_owned());
    });
    assert!(
        named.starts_with("`pretrain[1].name` is ` wide`"),
        "{named}"
    );
    let factor = |name: &str, value| Factor {
        name: name.to_owned(),
        value,
    };
    let level = said(|spec| {
        let level = [1, 2].map(|value| factor("latent", Scalar::Whole(value)));
        spec.pretrain[0].level = level.to_vec();
    });
    assert!(level.contains("a list with `latent` twice"), "{level}");
    let level = said(|spec| {
        let many = (0..33).map(|place| factor(&format!("f{place}"), Scalar::Whole(1)));
        search(spec).methods[0].level = many.collect();
    });
    assert!(level.contains("a level of 33 factors"), "{level}");
    let missing = said(|spec| spec.pretrain.clear());
    assert!(
        missing.contains("the name of a `pretrain` entry"),
        "{missing}"
    );
    let twice = said(|spec| search(spec).datasets[1].dataset = Dataset::Cifar10);
    assert!(twice.contains("every data set once"), "{twice}");
    let seeds = said(|spec| search(spec).seeds = Seeds(vec![Seed(2), Seed(1), Seed(2)]));
    assert!(seeds.contains("a list with `2` twice"), "{seeds}");
    let none = said(|spec| spec.pretrain[0].seeds = Seeds(Vec::new()));
    assert!(none.contains("at least one seed"), "{none}");
    let beyond = said(|spec| {
        let listed = vec![ArchIndex(0), ArchIndex(15_625)];
        spec.evaluate.as_mut().unwrap().architectures = ArchSelection::Listed(listed);
    });
    assert!(beyond.contains("indices from 0 to 15624"), "{beyond}");
}

#[test]
fn a_study_is_bounded_as_a_whole() {
    let many = said(|spec| search(spec).seeds = Seeds::range(1, 130_000));
    assert!(many.starts_with("`study` is a plan of 1086879"), "{many}");
    // Two methods of four read an embedding, on two data sets.
    let crossed = said(|spec| {
        search(spec).pairing = Pairing::Crossed;
        search(spec).seeds = Seeds::range(1, 65_000);
    });
    assert!(
        crossed.contains(" tasks, expected at most 1000000"),
        "{crossed}"
    );
    let nothing = said(|spec| {
        spec.pretrain.clear();
        (spec.search, spec.evaluate, spec.noop) = (None, None, None);
    });
    assert!(nothing.starts_with("`tasks` is none"), "{nothing}");
    let mut spec = good();
    spec.pretrain[0].sizes = ModelSizes {
        hidden: 1024,
        layers: 32,
        ..ModelSizes::default()
    };
    let [large] = &spec.check().unwrap_err()[..] else {
        panic!("one problem");
    };
    assert_eq!(large.path, "pretrain[0].sizes");
    // However wrong a study is, the list of its problems is short.
    search(&mut spec).methods = vec![method("", MethodSpec::Random, None); 10_000];
    assert!(spec.check().unwrap_err().len() <= 20);
}
