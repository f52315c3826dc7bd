//! The finished runs of an experiment's program with one value of each factor, and
//! the count of those that are not there.

use std::collections::BTreeMap;

use reprise_domain::program::titled;
use reprise_domain::study::MetricPlan;
use reprise_domain::{Factor, Seed};

use crate::sample::SampleError;

/// One finished run.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgramRun {
    /// Its repetition seed.
    pub seed: Seed,
    /// Its metrics by name.
    pub metrics: BTreeMap<String, f64>,
}

/// The runs of one level.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelSet {
    experiment: String,
    level: Vec<Factor>,
    metrics: Vec<MetricPlan>,
    planned: usize,
    failed: usize,
    runs: Vec<ProgramRun>,
}

impl LevelSet {
    /// Sorts `runs` by seed, so that no statistic depends on the order in which they
    /// arrived (INV-8).
    ///
    /// # Errors
    /// When a seed occurs twice, or more runs ended than were planned.
    pub fn new(
        experiment: impl Into<String>,
        level: Vec<Factor>,
        metrics: Vec<MetricPlan>,
        (planned, failed): (usize, usize),
        mut runs: Vec<ProgramRun>,
    ) -> Result<Self, SampleError> {
        runs.sort_by_key(|run| run.seed);
        let set = Self {
            experiment: experiment.into(),
            level,
            metrics,
            planned,
            failed,
            runs,
        };
        if let Some(pair) = set
            .runs
            .windows(2)
            .find(|pair| pair[0].seed == pair[1].seed)
        {
            return Err(SampleError::DuplicateRun {
                label: set.label(),
                seed: pair[0].seed,
            });
        }
        if set.runs.len().saturating_add(failed) > planned {
            return Err(SampleError::MoreRunsThanPlanned {
                label: set.label(),
                planned,
                finished: set.runs.len(),
                failed,
            });
        }
        Ok(set)
    }

    /// The experiment's name.
    pub fn experiment(&self) -> &str {
        &self.experiment
    }

    /// The value of each factor, in the order of the study.
    pub fn level(&self) -> &[Factor] {
        &self.level
    }

    /// The metrics, in the order of the study.
    pub fn metrics(&self) -> &[MetricPlan] {
        &self.metrics
    }

    /// The experiment with its values, for people.
    pub fn label(&self) -> String {
        titled(&self.experiment, &self.level)
    }

    /// Runs planned.
    pub const fn planned(&self) -> usize {
        self.planned
    }

    /// Runs given up after failing.
    pub const fn failed(&self) -> usize {
        self.failed
    }

    /// Runs that are neither finished nor failed: not run yet, or cancelled.
    pub fn missing(&self) -> usize {
        self.planned - self.failed - self.runs.len()
    }

    /// The finished runs by ascending seed.
    pub fn runs(&self) -> &[ProgramRun] {
        &self.runs
    }

    /// A metric of all finished runs that have it, by ascending seed.
    pub fn values(&self, metric: &str) -> Vec<f64> {
        let values = self.runs.iter().map(|run| run.metrics.get(metric));
        values.flatten().copied().collect()
    }
}
