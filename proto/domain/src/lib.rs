//! The vocabulary of Reprise: ids, units, study and task specifications,
//! results, and what a worker offers.
//!
//! What belongs here is what crosses the wire, the journal or a study file, and
//! nothing else: a type that only one side needs stays on that side. No
//! behaviour beyond validation, no IO, no clock, no randomness.

#![warn(missing_docs)]

pub mod audit;
pub mod benchmark;
pub mod bounds;
pub mod capability;
pub mod check;
pub mod fit;
pub mod ids;
pub mod limits;
pub mod measure;
pub mod outcome;
pub mod program;
pub mod protocol;
pub mod record;
pub mod space;
pub mod stage;
pub mod status;
pub mod study;
pub mod suit;
pub mod task;
pub mod text;
pub mod units;

pub use uuid::Uuid;

pub use audit::AuditShare;
pub use benchmark::{BenchmarkRef, BuiltinBenchmark};
pub use capability::{Capability, Device};
pub use check::SpecProblem;
pub use fit::Misfit;
pub use ids::{AttemptId, Digest, ParseIdError, StudyName, TaskKey, WorkerId};
pub use limits::Limits;
pub use measure::{
    EpochMeasures, EvaluateResult, PretrainResult, SearchResult, TaskResult, Trajectory, Usage,
};
pub use outcome::{AttemptOutcome, Failure, FailureClass};
pub use program::{Factor, ProgramResult, ProgramSpec, Scalar};
pub use protocol::{Protocol, Quirks};

pub use space::{ArchIndex, Dataset, SpaceName};
pub use stage::Stage;
pub use suit::{Lack, Requirement};
pub use task::{
    Budget, EncodingName, EvaluateSpec, MethodSpec, ModelName, NoopSpec, PretrainSpec, Recipe,
    SearchSpec, TaskSpec,
};
pub use units::{Accuracy, Seconds, Seed, UnitError};
