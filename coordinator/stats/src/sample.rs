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
    blocked: usize,
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
            blocked: 0,
            runs,
        })
    }

    /// The same set, of whose missing runs so many cannot begin, because what they read
    /// has failed; never more than are missing.
    #[must_use]
    pub fn with_blocked(self, blocked: usize) -> Self {
        let blocked = blocked.min(self.missing());
        Self { blocked, ..self }
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

    /// Runs that are neither finished nor failed: not run yet, blocked, or cancelled.
    pub fn missing(&self) -> usize {
        self.planned - self.failed - self.finished()
    }

    /// Those of the missing runs that cannot begin, because their pretraining has failed.
    pub const fn blocked(&self) -> usize {
        self.blocked
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
#[path = "sample_tests.rs"]
mod tests;
