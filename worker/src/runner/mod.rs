//! Runs one task from its spec and inputs to its result, on a slot's thread; what needs
//! libtorch in a child process.

mod benchmarks;
mod evaluate;
mod noop;
pub(crate) mod pack;
mod pretrain;
pub mod program;
mod search;
mod shared;
mod spare;

use reprise_domain::{AttemptOutcome, FailureClass, Seconds, TaskResult, TaskSpec};
use reprise_proto::status::ErrorCode;
use reprise_search::embedding::Embedding;

use crate::artifacts::{ArtifactError, Artifacts};
use crate::checkpoints::Checkpoints;
use crate::logs::Logs;
use crate::slots::{Assignment, Cancel};
use crate::torch::{Lease, Torch, TorchError};
use benchmarks::Benchmarks;
use program::{ProgramError, Programs};
use shared::Shared;
use spare::Spare;

/// What all slots of a worker share.
#[derive(Debug)]
pub struct Runner {
    artifacts: Artifacts,
    checkpoints: Checkpoints,
    logs: Logs,
    benchmarks: Benchmarks,
    embeddings: Shared<Embedding>,
    /// Absent where programs are not allowed.
    programs: Option<Programs>,
    /// The program that computes with libtorch, where there is one.
    torch: Option<Torch>,
    /// Cores of slots that have nothing to run.
    pub(crate) spare: Spare,
}

/// A task that is done.
#[derive(Debug)]
pub struct Done {
    /// Its result.
    pub result: TaskResult,
    /// Wall-clock time of its training loop, where it has one.
    pub training: Option<Seconds>,
}

/// A task that is not done.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It was asked to stop.
    #[error("stopped")]
    Stopped,
    /// An artifact cannot be had.
    #[error(transparent)]
    Artifact(ArtifactError),
    /// A file that a client stored for the study is not there any more; none of the
    /// study's tasks makes it.
    #[error(
        "a file of the study is lost or damaged at the coordinator; submit the study again, \
         which uploads it"
    )]
    Upload(#[source] ArtifactError),
    /// A program gave no result.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The child that was to do it did not.
    #[error(transparent)]
    Torch(TorchError),
    /// It failed; trying again may help.
    #[error("{doing}")]
    Failed {
        /// What was tried.
        doing: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It can never succeed.
    #[error("{doing}")]
    Impossible {
        /// What was tried.
        doing: String,
        /// Why it cannot be.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl RunError {
    /// What kind of failure it is.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Impossible { .. } => FailureClass::Permanent,
            Self::Program(error) => error.class(),
            Self::Torch(error) => error.class(),
            Self::Artifact(error) if is_lost(error) => FailureClass::InputLost,
            Self::Upload(_) => FailureClass::InputLost,
            Self::Stopped | Self::Artifact(_) | Self::Failed { .. } => FailureClass::Task,
        }
    }

    /// What follows when a file cannot be had that a client stored for the study.
    fn of_upload(error: ArtifactError) -> Self {
        if is_lost(&error) {
            Self::Upload(error)
        } else {
            error.into()
        }
    }

    fn failed(
        doing: impl Into<String>,
    ) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        let doing = doing.into();
        move |source| Self::Failed { doing, source }
    }

    fn impossible(
        doing: impl Into<String>,
    ) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        let doing = doing.into();
        move |source| Self::Impossible { doing, source }
    }
}

/// Whether the coordinator has no such file, or a damaged one.
const fn is_lost(error: &ArtifactError) -> bool {
    match error {
        ArtifactError::Fetch { source, .. } => {
            matches!(source.code, ErrorCode::NotFound | ErrorCode::Corrupt)
        }
        ArtifactError::Cache { .. } | ArtifactError::Stopped(_) => false,
    }
}

impl From<ArtifactError> for RunError {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Stopped(_) => Self::Stopped,
            error => Self::Artifact(error),
        }
    }
}

impl From<TorchError> for RunError {
    fn from(error: TorchError) -> Self {
        match error {
            TorchError::Stopped => Self::Stopped,
            error => Self::Torch(error),
        }
    }
}

/// What was done, if its result fits the task: the coordinator refuses another,
/// and NaN could not even be sent.
fn fitting(spec: &TaskSpec, done: Done) -> Result<Done, RunError> {
    match spec.accepts(&done.result) {
        Ok(()) => Ok(done),
        Err(misfit) => Err(RunError::failed("check the result")(misfit.into())),
    }
}

impl Runner {
    /// A runner with nothing read yet.
    pub fn new(
        artifacts: Artifacts,
        checkpoints: Checkpoints,
        logs: Logs,
        torch: Option<Torch>,
    ) -> Self {
        Self {
            artifacts,
            checkpoints,
            logs,
            benchmarks: Benchmarks::default(),
            embeddings: Shared::embeddings(),
            programs: None,
            torch,
            spare: Spare::default(),
        }
    }

    /// The same, which runs programs.
    #[must_use]
    pub(crate) fn with_programs(mut self, programs: Option<Programs>) -> Self {
        self.programs = programs;
        self
    }

    /// A child for this thread.
    fn lease(&self) -> Result<Lease, TorchError> {
        let torch = self.torch.as_ref();
        torch.ok_or(TorchError::Absent)?.lease()
    }

    /// Notes that an attempt begins.
    pub(crate) fn begin(&self, assignment: &Assignment) {
        let Assignment {
            attempt, spec, log, ..
        } = assignment;
        // A program begins once it has its cores.
        if !matches!(spec, TaskSpec::Program(_)) {
            assignment.progress.begin();
        }
        self.logs.begin(*attempt, spec, log);
    }

    /// Notes how an attempt has ended.
    pub(crate) fn end(&self, assignment: &Assignment, outcome: &AttemptOutcome) {
        self.logs.end(assignment.attempt, &assignment.log, outcome);
    }

    /// Runs one attempt to its end.
    pub fn run(&self, assignment: &Assignment, cancel: &Cancel) -> Result<Done, RunError> {
        let done = match &assignment.spec {
            TaskSpec::Noop(spec) => noop::run(spec, assignment.attempt.number, cancel),
            TaskSpec::Evaluate(spec) => self.evaluate(spec, &assignment.progress, cancel),
            TaskSpec::Pretrain(spec) => self.pretrain(spec, assignment, cancel),
            TaskSpec::Search(spec) => self.search(spec, assignment, cancel),
            TaskSpec::Program(spec) => self.program(spec, assignment, cancel),
        }?;
        fitting(&assignment.spec, done)
    }
}

#[cfg(test)]
mod tests {
    use reprise_domain::Digest;
    use reprise_proto::status::ApiError;

    use super::*;

    #[test]
    fn an_input_that_is_lost_or_damaged_is_no_fault_of_the_task() {
        let check = |code, expected: FailureClass| {
            let error = || ArtifactError::Fetch {
                digest: Digest::from_bytes([1; 32]),
                source: ApiError::new(code, "no"),
            };
            assert_eq!(RunError::from(error()).class(), expected, "{code:?}");
            let of_upload = RunError::of_upload(error());
            assert_eq!(of_upload.class(), expected, "{code:?}");
            let has_way_out = of_upload.to_string().contains("submit the study again");
            assert_eq!(has_way_out, expected == FailureClass::InputLost, "{code:?}");
        };
        check(ErrorCode::NotFound, FailureClass::InputLost);
        check(ErrorCode::Corrupt, FailureClass::InputLost);
        check(ErrorCode::TooLarge, FailureClass::Task);
    }
}
