//! Programs: what a grid is planned as, and who is given its tasks.

use std::collections::BTreeSet;

use reprise_core::lifecycle::{Core, Input, Settings, StageView};
use reprise_core::plan::{Plan, PlanError, Stage};
use reprise_domain::program::{Needs, Scalar};
use reprise_domain::status::Unserved;
use reprise_domain::study::{GridFactor, StudySpec};
use reprise_domain::{Capability, Factor, TaskSpec};

use crate::fixtures::{empty, experiment, noops, offer, planned, submission, worker};
use crate::lab::Lab;

fn study(name: &str, seeds: u64) -> StudySpec {
    StudySpec {
        space: None,
        experiments: vec![experiment("port", seeds)],
        ..empty(name)
    }
}

/// A worker that runs programs.
fn runs_programs(slots: u32) -> Capability {
    Capability {
        programs: true,
        ..offer(slots)
    }
}

fn hello(lab: &mut Lab, number: u8, capability: Capability) {
    lab.handle(Input::Hello {
        again: false,
        worker: worker(number.into()),
        capability,
        holding: Vec::new(),
    });
}

fn level(stage: &Stage) -> String {
    stage.to_string()
}

#[test]
fn every_combination_is_a_stage_with_all_seeds() {
    let mut spec = study("s", 3);
    spec.experiments[0].grid.push(GridFactor {
        name: "rate".to_owned(),
        values: vec![Scalar::Real(0.1), Scalar::Real(1.0)],
    });
    let plan = planned(&spec);
    assert_eq!(plan.len(), 12);
    let stages: Vec<String> = plan.tasks().map(|task| level(&task.stage)).collect();
    let expected = [
        "port size=8 rate=0.1",
        "port size=8 rate=1.0",
        "port size=16 rate=0.1",
        "port size=16 rate=1.0",
    ];
    let expected: Vec<_> = expected.iter().flat_map(|name| [*name; 3]).collect();
    assert_eq!(stages, expected);
    let keys: BTreeSet<_> = plan.tasks().map(|task| task.key).collect();
    assert_eq!(keys.len(), 12);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[test]
fn a_key_follows_what_decides_a_result_and_nothing_else() {
    let keys = |change: &dyn Fn(&mut StudySpec)| {
        let mut spec = study("s", 2);
        change(&mut spec);
        let plan = planned(&spec);
        plan.tasks().map(|task| task.key).collect::<Vec<_>>()
    };
    let before = keys(&|_| {});
    assert_eq!(
        keys(&|spec| spec.experiments[0].name = "other".to_owned()),
        before
    );
    assert_eq!(
        keys(&|spec| spec.experiments[0].metrics[0].unit = Some("percent".to_owned())),
        before
    );
    for change in [
        (|spec| spec.experiments[0].command.push("-v".to_owned())) as fn(&mut StudySpec),
        |spec| spec.experiments[0].metrics[0].name = "error".to_owned(),
        |spec| spec.experiments[0].needs.cores = 2,
    ] {
        let after = keys(&change);
        assert!(after.iter().all(|key| !before.contains(key)));
    }
}

#[test]
fn a_million_runs_are_written_in_few_bytes() {
    let mut spec = study("s", 10_000);
    let values = (0..50).map(Scalar::Whole).collect();
    spec.experiments[0].grid[0].values = values;
    let plan = planned(&spec);
    assert_eq!(plan.len(), 500_000);
    let text = serde_json::to_string(&plan).unwrap();
    assert!(text.len() < 50 * 500, "{}", text.len());
}

#[test]
fn what_cannot_be_planned_is_named() {
    let plan = |spec: &StudySpec| reprise_core::plan::plan(spec, &|_| Vec::new());
    let mut twice = study("s", 1);
    twice.experiments.push(experiment("port", 2));
    let name = "port".to_owned();
    assert_eq!(plan(&twice), Err(PlanError::RepeatedExperiment { name }));
    let mut large = study("s", 1);
    let grid = &mut large.experiments[0].grid;
    grid[0].values = (0..100).map(Scalar::Whole).collect();
    for name in ["a", "b", "c"] {
        let mut factor = grid[0].clone();
        factor.name = name.to_owned();
        grid.push(factor);
    }
    let stages = 100_000_000;
    let limit = 1000;
    assert_eq!(
        plan(&large),
        Err(PlanError::TooManyStages { stages, limit })
    );
}

#[test]
fn programs_go_to_workers_that_run_them_and_the_rest_goes_on() {
    let mut lab = Lab::with(&study("programs", 4));
    hello(&mut lab, 1, offer(2));
    assert_eq!(lab.lease(), []);
    let unserved = lab.core.unserved(&"programs".parse().unwrap());
    let needs = "`--allow-programs`".to_owned();
    assert_eq!(unserved, [Unserved { tasks: 8, needs }]);
    // What it can do comes behind what it cannot.
    lab.handle(submission(&noops("noops", 1), false));
    assert_eq!(lab.lease().len(), 1);
    hello(&mut lab, 2, runs_programs(2));
    assert_eq!(lab.core.unserved(&"programs".parse().unwrap()), []);
    let leased = lab.schedule();
    assert_eq!(leased.len(), 1);
    assert_eq!((leased[0].0, leased[0].1.len()), (worker(2), 2));
    let spec = lab.core.spec(leased[0].1[0].task).unwrap();
    let TaskSpec::Program(spec) = spec else {
        panic!("{spec}")
    };
    assert_eq!(spec.parameters["size"], Scalar::Whole(8));
    lab.restart();
}

#[test]
fn a_study_says_at_once_that_nobody_has_a_card() {
    let mut spec = study("cards", 1);
    spec.experiments[0].needs = Needs {
        gpus: 1,
        ..Needs::default()
    };
    let mut lab = Lab::with(&spec);
    assert_eq!(lab.core.unserved(&spec.name), [], "nobody is there yet");
    hello(&mut lab, 1, runs_programs(4));
    assert_eq!(lab.lease(), []);
    let needs = "`--allow-programs`, 1 graphics card".to_owned();
    assert_eq!(
        lab.core.unserved(&spec.name),
        [Unserved { tasks: 2, needs }]
    );
}

#[test]
fn a_snapshot_keeps_programs_and_who_may_have_them() {
    let mut lab = Lab::with(&study("s", 2));
    hello(&mut lab, 1, offer(1));
    let core = Core::restore(Settings::default(), &lab.core.snapshot()).unwrap();
    let name = "s".parse().unwrap();
    let stages = |core: &Core| {
        let study = core.study(&name).unwrap();
        study
            .stages
            .iter()
            .map(StageView::status)
            .collect::<Vec<_>>()
    };
    assert_eq!(stages(&core), stages(&lab.core));
    core.check_invariants().unwrap();
    let first = &stages(&core)[0].stage;
    let expected = Factor {
        name: "size".to_owned(),
        value: Scalar::Whole(8),
    };
    assert!(matches!(first, Stage::Experiment { level, .. } if level == &[expected]));
}
