//! How a program can fail, in words for whoever wrote it.

use std::io;

use reprise_domain::FailureClass;
use reprise_domain::bounds::program::in_units;

/// A program that gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It cannot be started.
    #[error("`{program}` cannot be started: {why}")]
    Unstartable {
        /// The program.
        program: String,
        /// Why not.
        why: String,
    },
    /// It exited with another code than 0.
    #[error("the program exited with code {code}")]
    Exit {
        /// The code.
        code: i32,
    },
    /// A signal ended it that was not sent from here.
    #[error("the program was ended by {signal}")]
    Signal {
        /// The signal's name.
        signal: String,
    },
    /// It exited with 0 and left no result.
    #[error(
        "the program exited with 0 and left no result: a JSON object is expected in the file that `REPRISE_RESULT` names"
    )]
    NoResult,
    /// What it left is not a result.
    #[error("the result in `REPRISE_RESULT` {why}")]
    BadResult {
        /// What is wrong with it.
        why: String,
    },
    /// It gives a metric that the study does not declare.
    #[error("{place} has the unknown metric `{metric}`; {hint}")]
    UnknownMetric {
        /// Where.
        place: String,
        /// The metric.
        metric: String,
        /// The nearest one, or those that there are.
        hint: String,
    },
    /// A metric is not a number.
    #[error("{place}: `{metric}` is {found}, expected a finite number")]
    NotFinite {
        /// Where.
        place: String,
        /// The metric.
        metric: String,
        /// What it is.
        found: String,
    },
    /// A metric never appeared.
    #[error("the metric `{metric}` never appeared, neither in the result nor before")]
    NoMetric {
        /// The metric.
        metric: String,
    },
    /// A line does not hold metrics.
    #[error("line {line} of `REPRISE_METRICS` {why}")]
    BadLine {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// It wrote more metrics than are kept.
    #[error("`REPRISE_METRICS` has more than {most}")]
    TooManyMetrics {
        /// What is too much.
        most: String,
    },
    /// It wrote more than it may.
    #[error("the program wrote more than {} to its output, its limit", in_units(*.most))]
    Output {
        /// The limit in bytes.
        most: u64,
    },
    /// It used more memory than it may.
    #[error("the program used {} MiB of memory, more than its limit of {}", .used >> 20, in_units(*.most))]
    Memory {
        /// What was in use.
        used: u64,
        /// The limit in bytes.
        most: u64,
    },
    /// A file that it left cannot be kept.
    #[error("the file `{path}` in `REPRISE_ARTIFACTS` {why}")]
    Artifact {
        /// Which one.
        path: String,
        /// Why not.
        why: String,
    },
    /// It says again and again that it was interrupted.
    #[error("the program exited with 75, interrupted, in each of {attempts} attempts")]
    Interrupted {
        /// How many.
        attempts: u32,
    },
    /// The process that watches over it has ended.
    #[error("the supervisor of the program ended before it: {why}")]
    Unsupervised {
        /// How.
        why: String,
    },
    /// The worker's own part failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl ProgramError {
    pub(super) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    /// What kind of failure it is: where the same program with the same seed would do
    /// the same, it is not tried again.
    pub(crate) const fn class(&self) -> FailureClass {
        match self {
            Self::Memory { .. } => FailureClass::OutOfMemory,
            Self::NoResult
            | Self::BadResult { .. }
            | Self::UnknownMetric { .. }
            | Self::NotFinite { .. }
            | Self::NoMetric { .. }
            | Self::BadLine { .. }
            | Self::TooManyMetrics { .. }
            | Self::Output { .. }
            | Self::Artifact { .. }
            | Self::Interrupted { .. } => FailureClass::Permanent,
            Self::Unstartable { .. }
            | Self::Exit { .. }
            | Self::Signal { .. }
            | Self::Unsupervised { .. }
            | Self::Io { .. } => FailureClass::Task,
        }
    }
}
