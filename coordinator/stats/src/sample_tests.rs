//! Runs are kept, sorted and counted; contradictions are refused.

use super::*;
use crate::testing::{gathered, run, run_set, trajectory};

#[test]
fn the_reported_accuracies_are_those_of_the_incumbent_by_guiding_validation() {
    // The second query guides best although its test accuracy is worst.
    let mut trajectory = trajectory(&[(91.0, 94.0, 10.0), (92.0, 93.0, 20.0), (90.0, 95.0, 5.0)]);
    trajectory.reported_validation[1] = Accuracy::from_percent(91.5).unwrap();
    let mut runs = Runs::default();
    runs.push(Seed(4), &trajectory).unwrap();
    let run = runs.iter().next().unwrap();
    let end = run.end;
    let incumbent = end.incumbent.unwrap();
    assert_eq!(end.queries, 3);
    assert!((end.simulated.get() - 35.0).abs() < 1e-12);
    assert!((incumbent.validation.percent() - 91.5).abs() < 1e-9);
    assert!((incumbent.test.percent() - 93.0).abs() < 1e-9);
}

#[test]
fn a_run_without_a_query_has_no_accuracy_rather_than_zero() {
    let set = run_set("random", vec![run(1, &[]), run(2, &[(91.0, 94.0, 1.0)])]);
    assert_eq!(set.finished(), 2);
    assert_eq!(set.accuracies(Split::Test).len(), 1);
}

#[test]
fn missing_runs_are_those_neither_finished_nor_failed() {
    let runs = vec![run(1, &[]), run(2, &[])];
    let set = RunSet::new("random", Dataset::Cifar10, 7, 3, gathered(runs)).unwrap();
    assert_eq!((set.finished(), set.failed(), set.missing()), (2, 3, 2));
}

#[test]
fn contradictions_are_refused() {
    let new =
        |planned, failed, runs| RunSet::new("m", Dataset::Cifar10, planned, failed, gathered(runs));
    assert!(matches!(
        new(5, 0, vec![run(1, &[]), run(2, &[]), run(1, &[])]),
        Err(SampleError::DuplicateSeed { seed: Seed(1), .. })
    ));
    assert!(matches!(
        new(2, 2, vec![run(1, &[])]),
        Err(SampleError::MoreThanPlanned { planned: 2, .. })
    ));
    assert!(matches!(
        new(2, usize::MAX, vec![run(1, &[])]),
        Err(SampleError::MoreThanPlanned { .. })
    ));
    let mut ragged = trajectory(&[(91.0, 94.0, 1.0)]);
    ragged.test.clear();
    assert_eq!(
        Runs::default().push(Seed(3), &ragged),
        Err(SampleError::Ragged { seed: Seed(3) })
    );
}

#[test]
fn crossed_runs_are_known_by_both_seeds() {
    let on = |seed, pretrain_seed, runs: &mut Runs| {
        let trajectory = trajectory(&[(91.0, 90.0 + pretrain_seed as f64, 1.0)]);
        runs.push_on(Seed(seed), Some(Seed(pretrain_seed)), &trajectory)
            .unwrap();
    };
    let mut runs = Runs::default();
    for (seed, pretrain_seed) in [(2, 1), (1, 2), (1, 1), (2, 2)] {
        on(seed, pretrain_seed, &mut runs);
    }
    let crossed = Group {
        crossed: true,
        ..Group::new("rl", Dataset::Cifar10)
    };
    let set = RunSet::of(crossed.clone(), (4, 0), runs.clone()).unwrap();
    let found: Vec<_> = set
        .finals()
        .map(|end| (end.seed, end.pretrain_seed))
        .collect();
    let expected = [(1, 1), (1, 2), (2, 1), (2, 2)];
    assert_eq!(found, expected.map(|(a, b)| (Seed(a), Some(Seed(b)))));
    assert!(RunSet::of(Group::new("rl", Dataset::Cifar10), (4, 0), runs.clone()).is_err());
    on(1, 2, &mut runs);
    assert!(RunSet::of(crossed, (5, 0), runs).is_err());
}

#[test]
fn a_run_keeps_the_queries_that_change_its_incumbent() {
    let queries = [(80.0, 81.0, 10.0), (70.0, 99.0, 5.0), (90.0, 91.0, 1.0)];
    let runs = gathered(vec![run(1, &queries)]);
    let run = runs.iter().next().unwrap();
    let found: Vec<_> = run
        .steps
        .iter()
        .map(|step| (step.query, step.seconds))
        .collect();
    assert_eq!(found, [(1, 10.0), (3, 16.0)]);
}
