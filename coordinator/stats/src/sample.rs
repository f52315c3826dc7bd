//! The input of every statistic: the finished trials of one method on one data
//! set, and the count of those that are not there.

use reprise_domain::program::titled;
use reprise_domain::{Accuracy, ArchIndex, Dataset, Factor, Seconds, Seed, Trajectory};

/// A set of runs that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// One seed, two runs: the statistics would count it twice.
    #[error("`{label}` on `{dataset}` has two runs of seed `{seed}`, expected one")]
    DuplicateSeed {
        /// Row label.
        label: String,
        /// Data set.
        dataset: Dataset,
        /// The seed that occurs twice.
        seed: Seed,
    },
    /// The same of a program's runs.
    #[error("`{label}` has two runs of seed `{seed}`, expected one")]
    DuplicateRun {
        /// The experiment with its values.
        label: String,
        /// The seed that occurs twice.
        seed: Seed,
    },
    /// More runs of a program ended than were planned.
    #[error(
        "`{label}` has `{finished}` finished and `{failed}` failed runs, more than the `{planned}` planned"
    )]
    MoreRunsThanPlanned {
        /// The experiment with its values.
        label: String,
        /// Runs planned.
        planned: usize,
        /// Runs finished.
        finished: usize,
        /// Runs failed.
        failed: usize,
    },
    /// The columns of a trajectory differ in length.
    #[error("the trajectory with seed `{seed}` has columns of different length")]
    Ragged {
        /// Seed of the run.
        seed: Seed,
    },
    /// More runs ended than were planned.
    #[error(
        "`{label}` on `{dataset}` has `{finished}` finished and `{failed}` failed runs, more than the `{planned}` planned"
    )]
    MoreThanPlanned {
        /// Row label.
        label: String,
        /// Data set.
        dataset: Dataset,
        /// Runs planned.
        planned: usize,
        /// Runs finished.
        finished: usize,
        /// Runs failed.
        failed: usize,
    },
}

/// Which held-out data an accuracy is of. The two are never mixed (INV-9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// The split that guides a search.
    Validation,
    /// The split that is only reported.
    Test,
}

impl Split {
    /// Both, in the order of the published tables.
    pub const ALL: [Self; 2] = [Self::Validation, Self::Test];

    /// The name as written in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// What the runs of a set share.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Label of the method.
    pub method: String,
    /// Values of its factors, in the order of the study.
    pub level: Vec<Factor>,
    /// Data set.
    pub dataset: Dataset,
    /// Whether a search seed has a run on every embedding, so that a run is known by
    /// both seeds.
    pub crossed: bool,
}

impl Group {
    /// A method without factors whose runs are known by their search seeds.
    pub fn new(method: impl Into<String>, dataset: Dataset) -> Self {
        Self {
            method: method.into(),
            level: Vec::new(),
            dataset,
            crossed: false,
        }
    }
}

/// By what a run is known in its set: its search seed, and the seed of the pretraining
/// that made its embedding where seeds and embeddings are crossed.
pub type RunId = (Seed, Option<Seed>);

/// Finished trials as statistics look at them: what each ended with, and where its
/// incumbent changed. There may be a million, so their other queries are not kept, and
/// the changes of all trials lie in one piece.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Runs {
    rows: Vec<Row>,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    end: Final,
    first_step: u32,
    steps: u32,
}

/// A query after which a trial recommends another architecture than before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Which query, from 1.
    pub query: u32,
    /// Simulated seconds of the trial when it was answered.
    pub seconds: f64,
    /// Reported test accuracy of the new incumbent, in percent.
    pub test: f64,
}

/// One finished trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run<'a> {
    /// The numbers of the trial when it ended.
    pub end: &'a Final,
    /// Where its incumbent changed, in order; the first query is the first step.
    pub steps: &'a [Step],
}

impl Runs {
    /// Adds the trial of a seed.
    ///
    /// # Errors
    /// When the columns of `trajectory` differ in length.
    pub fn push(&mut self, seed: Seed, trajectory: &Trajectory) -> Result<(), SampleError> {
        self.push_on(seed, None, trajectory)
    }

    /// Adds the trial of a seed on the embedding of a pretraining seed.
    ///
    /// # Errors
    /// When the columns of `trajectory` differ in length.
    pub fn push_on(
        &mut self,
        seed: Seed,
        pretrain_seed: Option<Seed>,
        trajectory: &Trajectory,
    ) -> Result<(), SampleError> {
        if !trajectory.is_rectangular() {
            return Err(SampleError::Ragged { seed });
        }
        let first_step = self.steps.len();
        let incumbents = trajectory.incumbents();
        let mut clock = 0.0;
        for (query, &incumbent) in incumbents.iter().enumerate() {
            clock += trajectory.cost[query].get();
            // An architecture becomes the incumbent when it is bought.
            if incumbent == query {
                self.steps.push(Step {
                    query: query as u32 + 1,
                    seconds: clock,
                    test: trajectory.test[query].percent(),
                });
            }
        }
        let incumbent = incumbents.last().map(|&query| Incumbent {
            arch: trajectory.arch[query],
            validation: trajectory.reported_validation[query],
            test: trajectory.test[query],
        });
        self.rows.push(Row {
            end: Final {
                seed,
                pretrain_seed,
                queries: trajectory.len(),
                simulated: trajectory.cost.iter().copied().sum(),
                incumbent,
            },
            first_step: first_step as u32,
            steps: (self.steps.len() - first_step) as u32,
        });
        Ok(())
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = Run<'_>> {
        self.rows.iter().map(|row| Run {
            end: &row.end,
            steps: &self.steps[row.first_step as usize..][..row.steps as usize],
        })
    }
}

/// What a trial ended with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Final {
    /// Seed of the trial.
    pub seed: Seed,
    /// Seed of the pretraining that made its embedding, where tables tell it.
    pub pretrain_seed: Option<Seed>,
    /// Charged queries.
    pub queries: usize,
    /// Simulated seconds charged for them.
    pub simulated: Seconds,
    /// The best architecture by guiding validation accuracy; absent when the
    /// trial bought none.
    pub incumbent: Option<Incumbent>,
}

impl Final {
    fn id(&self, crossed: bool) -> RunId {
        (self.seed, self.pretrain_seed.filter(|_| crossed))
    }
}

/// The architecture that a trial recommends, with its reported accuracies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Incumbent {
    /// Which architecture.
    pub arch: ArchIndex,
    /// Reported validation accuracy (mean over training seeds).
    pub validation: Accuracy,
    /// Reported test accuracy.
    pub test: Accuracy,
}

impl Incumbent {
    /// The reported accuracy on one split.
    pub const fn accuracy(&self, split: Split) -> Accuracy {
        match split {
            Split::Validation => self.validation,
            Split::Test => self.test,
        }
    }
}

/// The runs of one method on one data set.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSet {
    group: Group,
    /// The method with its level.
    label: String,
    planned: usize,
    failed: usize,
    runs: Runs,
}

impl RunSet {
    /// The runs of a method without factors, as [`RunSet::of`] takes them.
    ///
    /// # Errors
    /// As there.
    pub fn new(
        label: impl Into<String>,
        dataset: Dataset,
        planned: usize,
        failed: usize,
        runs: Runs,
    ) -> Result<Self, SampleError> {
        Self::of(Group::new(label, dataset), (planned, failed), runs)
    }

    /// Sorts `runs` by seed, so that no statistic depends on the order in which
    /// they arrived (INV-8).
    ///
    /// # Errors
    /// When a run occurs twice, or more runs ended than were planned.
    pub fn of(
        group: Group,
        (planned, failed): (usize, usize),
        mut runs: Runs,
    ) -> Result<Self, SampleError> {
        let label = titled(&group.method, &group.level);
        let dataset = group.dataset;
        let rows = &mut runs.rows;
        let id = |row: &Row| row.end.id(group.crossed);
        rows.sort_unstable_by_key(id);
        let mut pairs = rows.windows(2);
        if let Some(pair) = pairs.find(|pair| id(&pair[0]) == id(&pair[1])) {
            let seed = pair[0].end.seed;
            return Err(SampleError::DuplicateSeed {
                label,
                dataset,
                seed,
            });
        }
        let finished = rows.len();
        if finished.saturating_add(failed) > planned {
            return Err(SampleError::MoreThanPlanned {
                label,
                dataset,
                planned,
                finished,
                failed,
            });
        }
        Ok(Self {
            group,
            label,
            planned,
            failed,
            runs,
        })
    }

    /// The method with its level, by which a set is known on its data set.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Label of the method.
    pub fn method(&self) -> &str {
        &self.group.method
    }

    /// Values of its factors, in the order of the study.
    pub fn level(&self) -> &[Factor] {
        &self.group.level
    }

    /// Whether runs are known by their search seeds and pretraining seeds.
    pub const fn is_crossed(&self) -> bool {
        self.group.crossed
    }

    /// Data set.
    pub const fn dataset(&self) -> Dataset {
        self.group.dataset
    }

    /// Runs planned.
    pub const fn planned(&self) -> usize {
        self.planned
    }

    /// Runs given up after failing.
    pub const fn failed(&self) -> usize {
        self.failed
    }

    /// Runs finished.
    pub fn finished(&self) -> usize {
        self.runs.rows.len()
    }

    /// Runs that are neither finished nor failed: not run yet, or cancelled.
    pub fn missing(&self) -> usize {
        self.planned - self.failed - self.finished()
    }

    /// The finished runs by ascending seed.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = Run<'_>> {
        self.runs.iter()
    }

    /// The final numbers of the finished runs by ascending seed.
    pub fn finals(&self) -> impl Iterator<Item = &Final> {
        self.runs.iter().map(|run| run.end)
    }

    /// Final reported accuracy on `split` of every run that has an incumbent, in
    /// percent, by ascending seed.
    pub fn accuracies(&self, split: Split) -> Vec<f64> {
        let incumbents = self.finals().filter_map(|end| end.incumbent);
        incumbents
            .map(|incumbent| incumbent.accuracy(split).percent())
            .collect()
    }

    /// The same with the identity of each run, for statistics that pair by it.
    pub fn seeded_accuracies(&self, split: Split) -> Vec<(RunId, f64)> {
        self.finals()
            .filter_map(|end| {
                let incumbent = end.incumbent?;
                let id = end.id(self.group.crossed);
                Some((id, incumbent.accuracy(split).percent()))
            })
            .collect()
    }
}

/// The data sets of `sets`, in the order of the published tables.
pub fn datasets(sets: &[RunSet]) -> Vec<Dataset> {
    let mut datasets: Vec<_> = sets.iter().map(RunSet::dataset).collect();
    datasets.sort_unstable();
    datasets.dedup();
    datasets
}

/// The labels of `sets`, in order of first appearance: the order of the study.
pub fn labels(sets: &[RunSet]) -> Vec<&str> {
    let mut labels: Vec<&str> = Vec::new();
    for set in sets {
        if !labels.contains(&set.label()) {
            labels.push(set.label());
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{gathered, run, run_set, trajectory};

    #[test]
    fn the_reported_accuracies_are_those_of_the_incumbent_by_guiding_validation() {
        // The second query guides best although its test accuracy is worst.
        let mut trajectory =
            trajectory(&[(91.0, 94.0, 10.0), (92.0, 93.0, 20.0), (90.0, 95.0, 5.0)]);
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
        let new = |planned, failed, runs| {
            RunSet::new("m", Dataset::Cifar10, planned, failed, gathered(runs))
        };
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
        let found: Vec<_> = set.finals().map(|end| (end.seed, end.pretrain_seed)).collect();
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
}
