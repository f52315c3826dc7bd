//! Whether a result can be one of its task: the kind, the lengths, the range of
//! every number. A coordinator that stores only results that fit can count a task
//! as finished and its report will show it.
//!
//! Not here: whether the numbers are right, which only a second run can tell, and
//! whether the artifacts of a result exist.

use crate::bounds;
use crate::bounds::program as program_bounds;
use crate::measure::{
    ArtifactRef, EpochMeasures, EvaluateResult, PretrainResult, SearchResult, TaskResult,
    Trajectory,
};
use crate::program::{ProgramResult, ProgramSpec};
use crate::space::ArchIndex;
use crate::task::{Budget, PretrainSpec, SearchSpec, TaskSpec};
use crate::units::Seconds;

/// What a fraction may exceed its range by: a mean of single-precision numbers is
/// rounded.
const ROUNDING: f64 = 1e-9;

/// Characters of a name that messages repeat.
const SHOWN: usize = 60;

/// Why a result is not one of its task.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Misfit {
    /// It is of another kind of task.
    #[error("the result is of kind `{found}`, expected `{expected}`")]
    Kind {
        /// The result's.
        found: &'static str,
        /// The task's.
        expected: &'static str,
    },
    /// A pretraining has more or fewer epochs than it was asked for.
    #[error("the result has {found} epochs, expected {expected}")]
    Epochs {
        /// How many are there.
        found: usize,
        /// How many were asked for.
        expected: u32,
    },
    /// A measure is out of its range.
    #[error("`{measure}` of epoch {epoch} is {value:e}, expected {expected}")]
    Measure {
        /// The epoch, from 1.
        epoch: usize,
        /// Which measure.
        measure: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// An artifact is too small or too large to be what it is named as.
    #[error("the {artifact} has {found} bytes, expected {least} to {most}")]
    Artifact {
        /// Which one.
        artifact: &'static str,
        /// The size that the result gives.
        found: u64,
        /// The least that it can have.
        least: u64,
        /// The most that an artifact may have.
        most: u64,
    },
    /// The columns of a trajectory are not equally long.
    #[error(
        "the trajectory has {found} values in `{column}`, expected one for each of {queries} queries"
    )]
    Ragged {
        /// The column that differs from the first.
        column: &'static str,
        /// Its length.
        found: usize,
        /// The length of the first.
        queries: usize,
    },
    /// There are more queries than the budget pays for, or none.
    #[error("the trajectory has {found} queries, expected 1 to {most}")]
    Queries {
        /// How many are there.
        found: usize,
        /// The most that the budget pays for.
        most: u32,
    },
    /// The search went on after its budget was spent.
    #[error("query {query} begins after {spent} s, expected less than the budget of {budget} s", spent = spent.get(), budget = budget.get())]
    Overspent {
        /// The first query too many, from 1.
        query: usize,
        /// What the queries before it cost.
        spent: Seconds,
        /// The budget.
        budget: Seconds,
    },
    /// An architecture is not of the space.
    #[error("query {query} buys architecture `{arch}`, expected one below {architectures}")]
    Arch {
        /// The query, from 1.
        query: usize,
        /// What it buys.
        arch: ArchIndex,
        /// How many the space has.
        architectures: u32,
    },
    /// A program gives a metric that its task does not declare, or lacks one.
    #[error("the result {what} the metric `{metric}`")]
    Metric {
        /// `lacks` or `has not declared`.
        what: &'static str,
        /// The metric.
        metric: String,
    },
    /// A metric is not a number.
    #[error("the metric `{metric}` is {value}, expected a finite number")]
    NotFinite {
        /// The metric.
        metric: String,
        /// What it is.
        value: f64,
    },
    /// There are more of something than may be.
    #[error("the result has {found} {what}, expected at most {most}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many are there.
        found: u64,
        /// How many may be.
        most: u64,
    },
    /// The name of a file that a program left cannot be one.
    #[error("a file of the result has the wrong name `{path}`, or has it twice")]
    Path {
        /// The start of the name.
        path: String,
    },
    /// A count that is never zero is.
    #[error("`{count}` is 0, expected at least 1")]
    Zero {
        /// Which count.
        count: &'static str,
    },
}

impl TaskResult {
    /// The kind's name, as [`TaskSpec::kind`] has it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Pretrain(_) => "pretrain",
            Self::Search(_) => "search",
            Self::Evaluate(_) => "evaluate",
            Self::Noop => "noop",
            Self::Program(_) => "program",
        }
    }
}

impl TaskSpec {
    /// Whether `result` can be a result of this task.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn accepts(&self, result: &TaskResult) -> Result<(), Misfit> {
        match (self, result) {
            (Self::Pretrain(spec), TaskResult::Pretrain(result)) => pretrain(spec, result),
            (Self::Search(spec), TaskResult::Search(result)) => search(spec, result),
            (Self::Evaluate(_), TaskResult::Evaluate(result)) => evaluate(result),
            (Self::Noop(_), TaskResult::Noop) => Ok(()),
            (Self::Program(spec), TaskResult::Program(result)) => program(spec, result),
            _ => Err(Misfit::Kind {
                found: result.kind(),
                expected: self.kind(),
            }),
        }
    }
}

fn pretrain(spec: &PretrainSpec, result: &PretrainResult) -> Result<(), Misfit> {
    if result.epochs.len() != spec.epochs as usize {
        return Err(Misfit::Epochs {
            found: result.epochs.len(),
            expected: spec.epochs,
        });
    }
    for (index, measures) in result.epochs.iter().enumerate() {
        epoch(index + 1, measures)?;
    }
    // Single-precision numbers, and a head that says what they are.
    let embedding = u64::from(spec.space.architectures()) * u64::from(spec.sizes.latent) * 4;
    artifact("checkpoint", result.checkpoint, 1)?;
    artifact("embedding", result.embedding, embedding + 1)
}

fn epoch(epoch: usize, measures: &EpochMeasures) -> Result<(), Misfit> {
    let wrong = |measure, value, expected| {
        Err(Misfit::Measure {
            epoch,
            measure,
            value,
            expected,
        })
    };
    if !measures.loss.is_finite() {
        return wrong("loss", measures.loss, "a finite number");
    }
    let fractions = [
        ("ops_accuracy", measures.ops_accuracy),
        ("ops_accuracy_real_nodes", measures.ops_accuracy_real_nodes),
        ("edge_accuracy", measures.edge_accuracy),
        ("true_edge_probability", measures.true_edge_probability),
        ("false_edge_probability", measures.false_edge_probability),
        ("exact_match", measures.exact_match),
        ("validity", measures.validity),
        ("uniqueness", measures.uniqueness),
    ];
    let is_fraction = |value: f64| (-ROUNDING..=1.0 + ROUNDING).contains(&value);
    match fractions.iter().find(|(_, value)| !is_fraction(*value)) {
        Some(&(measure, value)) => wrong(measure, value, "a fraction from 0 to 1"),
        None => Ok(()),
    }
}

fn artifact(artifact: &'static str, found: ArtifactRef, least: u64) -> Result<(), Misfit> {
    let most = bounds::ARTIFACT_BYTES;
    if (least..=most).contains(&found.bytes) {
        return Ok(());
    }
    Err(Misfit::Artifact {
        artifact,
        found: found.bytes,
        least,
        most,
    })
}

fn search(spec: &SearchSpec, result: &SearchResult) -> Result<(), Misfit> {
    let trajectory = &result.trajectory;
    let queries = trajectory.len();
    let columns = [
        ("validation", trajectory.validation.len()),
        ("reported_validation", trajectory.reported_validation.len()),
        ("test", trajectory.test.len()),
        ("cost", trajectory.cost.len()),
    ];
    if let Some(&(column, found)) = columns.iter().find(|(_, len)| *len != queries) {
        return Err(Misfit::Ragged {
            column,
            found,
            queries,
        });
    }
    // Fewer are right where a method has nothing left to buy.
    let most = match spec.budget {
        Budget::Queries(most) => most,
        Budget::Simulated(_) => bounds::search::QUERIES.most,
    };
    if queries == 0 || queries > most as usize {
        return Err(Misfit::Queries {
            found: queries,
            most,
        });
    }
    let architectures = spec.space.architectures();
    let beyond = trajectory
        .arch
        .iter()
        .position(|arch| arch.0 >= architectures);
    if let Some(index) = beyond {
        return Err(Misfit::Arch {
            query: index + 1,
            arch: trajectory.arch[index],
            architectures,
        });
    }
    match spec.budget {
        Budget::Queries(_) => Ok(()),
        Budget::Simulated(budget) => within(budget, trajectory),
    }
}

/// No query begins once the budget is spent; the last one may pass it. Costs are
/// added in the order in which the search adds them, so that both round alike.
fn within(budget: Seconds, trajectory: &Trajectory) -> Result<(), Misfit> {
    let mut spent = Seconds::ZERO;
    for (index, &cost) in trajectory.cost.iter().enumerate() {
        if spent >= budget {
            return Err(Misfit::Overspent {
                query: index + 1,
                spent,
                budget,
            });
        }
        spent = spent + cost;
    }
    Ok(())
}

fn program(spec: &ProgramSpec, result: &ProgramResult) -> Result<(), Misfit> {
    let metric = |what, metric: &String| {
        let metric = metric.chars().take(SHOWN).collect();
        Err(Misfit::Metric { what, metric })
    };
    let found = &result.metrics;
    if let Some(missing) = spec.metrics.iter().find(|name| !found.contains_key(*name)) {
        return metric("lacks", missing);
    }
    if let Some(unknown) = found.keys().find(|name| !spec.metrics.contains(name)) {
        return metric("has not declared", unknown);
    }
    if let Some((name, &value)) = found.iter().find(|(_, value)| !value.is_finite()) {
        let metric = name.clone();
        return Err(Misfit::NotFinite { metric, value });
    }
    for (what, found, most) in [
        ("steps", result.steps, program_bounds::STEPS),
        (
            "files",
            result.artifacts.len() as u64,
            program_bounds::ARTIFACTS as u64,
        ),
    ] {
        if found > most {
            return Err(Misfit::TooMany { what, found, most });
        }
    }
    if let Some(series) = result.series {
        artifact("series", series, 1)?;
    }
    let mut before: Option<&str> = None;
    for file in &result.artifacts {
        let is_next = before.is_none_or(|before| before < file.path.as_str());
        if !is_next || !program_bounds::is_path(&file.path) {
            let path = file.path.chars().take(SHOWN).collect();
            return Err(Misfit::Path { path });
        }
        artifact("file", file.content(), 0)?;
        before = Some(&file.path);
    }
    Ok(())
}

/// Accuracies are in range by their type.
fn evaluate(result: &EvaluateResult) -> Result<(), Misfit> {
    let counts = [("parameters", result.parameters), ("flops", result.flops)];
    match counts.iter().find(|(_, value)| *value == 0) {
        Some(&(count, _)) => Err(Misfit::Zero { count }),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;
