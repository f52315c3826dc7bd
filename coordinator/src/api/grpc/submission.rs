//! What a submitted study must be before it reaches the engine: within all bounds,
//! and on a benchmark and with files that this coordinator has. Specs come from anywhere, so
//! nothing that a study file checks is taken for granted.

use std::fmt::Write as _;
use std::sync::OnceLock;

use reprise_domain::study::StudySpec;
use reprise_domain::{BenchmarkRef, BuiltinBenchmark, Digest, SpecProblem};
use reprise_proto::status::{ApiError, ErrorCode};

use crate::artifact::{Area, ArtifactStore};

/// Problems that one message lists.
const LISTED: usize = 5;

/// Refuses a study that could not be run.
pub(super) async fn check(spec: &StudySpec, artifacts: &ArtifactStore) -> Result<(), ApiError> {
    spec.check().map_err(|problems| refused(&problems))?;
    for (index, plan) in spec.experiments.iter().enumerate() {
        for (place, file) in plan.files.iter().enumerate() {
            if !is_stored(artifacts, file.digest).await? {
                return Err(refused(&[SpecProblem {
                    path: format!("experiments[{index}].files[{place}].digest"),
                    found: format!("`{}`", file.digest),
                    expected: "the digest of a file that is stored, so put it first".to_owned(),
                }]));
            }
        }
    }
    let Some(search) = &spec.search else {
        return Ok(());
    };
    let problem = match search.benchmark {
        BenchmarkRef::Train { .. } => return Ok(()),
        BenchmarkRef::Table { digest } => {
            if is_stored(artifacts, digest).await? {
                return Ok(());
            }
            SpecProblem {
                path: "search.benchmark.digest".to_owned(),
                found: format!("`{digest}`"),
                expected: "the digest of a table that is stored, so put it first".to_owned(),
            }
        }
        BenchmarkRef::Builtin { name, digest } if digest == builtin(name) => return Ok(()),
        BenchmarkRef::Builtin { name, digest } => SpecProblem {
            path: "search.benchmark.digest".to_owned(),
            found: format!("`{digest}`"),
            expected: format!(
                "`{}`, that of this release's `{}`",
                builtin(name),
                name.as_str()
            ),
        },
    };
    Err(refused(&[problem]))
}

async fn is_stored(artifacts: &ArtifactStore, digest: Digest) -> Result<bool, ApiError> {
    artifacts.has(Area::Shared, digest).await.map_err(|error| {
        tracing::warn!(%digest, error = &error as &dyn std::error::Error, "look a file up");
        ApiError::new(ErrorCode::Unavailable, "the artifact store cannot be read")
    })
}

/// The digest of a builtin table, whose reading takes some milliseconds.
fn builtin(name: BuiltinBenchmark) -> Digest {
    static DIGITS: OnceLock<Digest> = OnceLock::new();
    let BuiltinBenchmark::Nasbench201Digits = name;
    *DIGITS.get_or_init(|| reprise_data::digest(&reprise_data::builtin(name)))
}

fn refused(problems: &[SpecProblem]) -> ApiError {
    let is_too_large = |problem: &SpecProblem| problem.path == SpecProblem::WHOLE_STUDY;
    let code = if problems.iter().any(is_too_large) {
        ErrorCode::TooLarge
    } else {
        ErrorCode::InvalidRequest
    };
    let mut message = String::new();
    for (position, problem) in problems.iter().take(LISTED).enumerate() {
        let separator = if position == 0 { "" } else { "; " };
        let _ = write!(message, "{separator}{problem}");
    }
    if problems.len() > LISTED {
        let _ = write!(message, "; and {} more", problems.len() - LISTED);
    }
    ApiError::new(code, message)
}
