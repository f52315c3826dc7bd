//! The input of every statistic: the finished trials of one method on one data
//! set, and the count of those that are not there.

use reprise_domain::{Accuracy, ArchIndex, Dataset, Seconds, Seed, Trajectory};

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
    #[error(
        "the trajectory of `{label}` on `{dataset}` with seed `{seed}` has columns of different length"
    )]
    Ragged {
        /// Row label.
        label: String,
        /// Data set.
        dataset: Dataset,
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

/// One finished trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its repetition seed.
    pub seed: Seed,
    /// What it bought.
    pub trajectory: Trajectory,
}

impl Run {
    /// The numbers of the trial when it ended.
    pub fn final_numbers(&self) -> Final {
        let trajectory = &self.trajectory;
        let incumbent = trajectory.incumbents().last().map(|&query| Incumbent {
            arch: trajectory.arch[query],
            validation: trajectory.reported_validation[query],
            test: trajectory.test[query],
        });
        Final {
            seed: self.seed,
            queries: trajectory.len(),
            simulated: trajectory.cost.iter().copied().sum(),
            incumbent,
        }
    }
}

/// What a trial ended with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Final {
    /// Seed of the trial.
    pub seed: Seed,
    /// Charged queries.
    pub queries: usize,
    /// Simulated seconds charged for them.
    pub simulated: Seconds,
    /// The best architecture by guiding validation accuracy; absent when the
    /// trial bought none.
    pub incumbent: Option<Incumbent>,
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
    label: String,
    dataset: Dataset,
    planned: usize,
    failed: usize,
    runs: Vec<Run>,
}

impl RunSet {
    /// Sorts `runs` by seed, so that no statistic depends on the order in which
    /// they arrived (INV-8).
    ///
    /// # Errors
    /// When a seed occurs twice, a trajectory's columns differ in length, or more
    /// runs ended than were planned.
    pub fn new(
        label: impl Into<String>,
        dataset: Dataset,
        planned: usize,
        failed: usize,
        mut runs: Vec<Run>,
    ) -> Result<Self, SampleError> {
        let label = label.into();
        runs.sort_by_key(|run| run.seed);
        if let Some(pair) = runs.windows(2).find(|pair| pair[0].seed == pair[1].seed) {
            let seed = pair[0].seed;
            return Err(SampleError::DuplicateSeed {
                label,
                dataset,
                seed,
            });
        }
        if let Some(ragged) = runs.iter().find(|run| !run.trajectory.is_rectangular()) {
            let seed = ragged.seed;
            return Err(SampleError::Ragged {
                label,
                dataset,
                seed,
            });
        }
        if runs.len().saturating_add(failed) > planned {
            return Err(SampleError::MoreThanPlanned {
                label,
                dataset,
                planned,
                finished: runs.len(),
                failed,
            });
        }
        Ok(Self {
            label,
            dataset,
            planned,
            failed,
            runs,
        })
    }

    /// Row label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Data set.
    pub const fn dataset(&self) -> Dataset {
        self.dataset
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
        self.runs.len()
    }

    /// Runs that are neither finished nor failed: not run yet, or cancelled.
    pub fn missing(&self) -> usize {
        self.planned - self.failed - self.runs.len()
    }

    /// The finished runs by ascending seed.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The final numbers of the finished runs by ascending seed.
    pub fn finals(&self) -> Vec<Final> {
        self.runs.iter().map(Run::final_numbers).collect()
    }

    /// Final reported accuracy on `split` of every run that has an incumbent, in
    /// percent, by ascending seed.
    pub fn accuracies(&self, split: Split) -> Vec<f64> {
        self.seeded_accuracies(split)
            .into_iter()
            .map(|(_, percent)| percent)
            .collect()
    }

    /// The same with the seed of each run, for statistics that pair by seed.
    pub fn seeded_accuracies(&self, split: Split) -> Vec<(Seed, f64)> {
        self.finals()
            .iter()
            .filter_map(|end| {
                let incumbent = end.incumbent?;
                Some((end.seed, incumbent.accuracy(split).percent()))
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
    use crate::testing::{run, run_set};

    #[test]
    fn the_reported_accuracies_are_those_of_the_incumbent_by_guiding_validation() {
        // The second query guides best although its test accuracy is worst.
        let mut run = run(
            4,
            &[(91.0, 94.0, 10.0), (92.0, 93.0, 20.0), (90.0, 95.0, 5.0)],
        );
        run.trajectory.reported_validation[1] = Accuracy::from_percent(91.5).unwrap();
        let end = run.final_numbers();
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
        let set = RunSet::new("random", Dataset::Cifar10, 7, 3, runs).unwrap();
        assert_eq!((set.finished(), set.failed(), set.missing()), (2, 3, 2));
    }

    #[test]
    fn contradictions_are_refused() {
        let new = |planned, failed, runs| RunSet::new("m", Dataset::Cifar10, planned, failed, runs);
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
        let mut ragged = run(3, &[(91.0, 94.0, 1.0)]);
        ragged.trajectory.test.clear();
        assert!(matches!(
            new(2, 0, vec![ragged]),
            Err(SampleError::Ragged { seed: Seed(3), .. })
        ));
    }
}
