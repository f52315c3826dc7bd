//! From an error to what is said of it and to the exit code.

use std::fmt;
use std::process::ExitCode;

use nix::sys::signal::Signal;
use reprise_proto::credential::CredentialError;
use reprise_proto::status::{ApiError, ErrorCode};
use reprise_study::{StudyFileError, StudyFileErrors};

use super::terminal::{eprint_block, indented};
use crate::fleet::home::HomeError;
use crate::fleet::service::FleetError;
use crate::instance::InstanceError;
use crate::security::SecurityError;

/// A fault of state, disk or network.
const FAULT: u8 = 1;

/// The study file, another file or an argument is wrong.
const WRONG_INPUT: u8 = 2;

/// Some tasks of the study failed.
pub(super) const TASKS_FAILED: u8 = 3;

/// The coordinator does not allow it with this credential.
const NOT_ALLOWED: u8 = 4;

/// The fleet's budget was spent before the work was done.
pub(super) const BUDGET_SPENT: u8 = 5;

/// The table of exit codes, as `--help` shows it.
pub(super) const TABLE: &str = "\
Exit codes:
    0  done
    1  fault of the state directory, a disk or the network
    2  wrong input: an argument, a study file, a table, a credential's file
    3  some tasks of the study failed, were cancelled or have not finished yet
    4  not allowed with this credential
    5  budget of the fleet spent
  129  ended by SIGHUP
  130  ended by Ctrl-C (SIGINT)
  143  ended by SIGTERM";

/// An error that the user's input caused.
#[derive(Debug)]
struct WrongInput(anyhow::Error);

impl fmt::Display for WrongInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for WrongInput {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Marks the errors of a step as caused by the user's input.
pub(super) trait OrWrongInput<T> {
    fn or_wrong_input(self) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrWrongInput<T> for Result<T, E> {
    fn or_wrong_input(self) -> anyhow::Result<T> {
        self.map_err(|error| anyhow::Error::new(WrongInput(error.into())))
    }
}

/// Refuses input unless `holds`.
pub(super) fn ensure_input(holds: bool, message: impl FnOnce() -> String) -> anyhow::Result<()> {
    if holds {
        Ok(())
    } else {
        Err(anyhow::anyhow!("{}", message())).or_wrong_input()
    }
}

/// The user or the system asked this program to end.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub(super) struct Interrupted {
    pub(super) signal: Signal,
    pub(super) said: String,
}

/// Says what went wrong and tells the exit code.
pub(super) fn explain(error: &anyhow::Error) -> ExitCode {
    if let Some(study) = error.downcast_ref::<StudyFileErrors>() {
        tracing::debug!("study file refused");
        eprint_block(&study.report());
    } else if let Some(mistake) = error.downcast_ref::<StudyFileError>() {
        eprint_block(&mistake.report());
    } else if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        eprint_block(&interrupted.said);
    } else {
        eprint_block(&indented(&format!("error: {}", chain(error))));
        let told = error.downcast_ref::<ApiError>();
        if let Some(hint) = told.and_then(|error| error.hint.as_ref()) {
            eprint_block(&indented(&format!("hint: {hint}")));
        }
    }
    ExitCode::from(code(error))
}

/// An error with its causes. Some libraries repeat a cause in their own text; it
/// is said once.
fn chain(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if said.is_empty() {
            said = cause;
        } else if !said.ends_with(&cause) {
            said.push_str(": ");
            said.push_str(&cause);
        }
    }
    said
}

fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(FAULT)
}

/// The exit code that one link of a chain of errors decides.
fn code_of(error: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(Interrupted { signal, .. }) = error.downcast_ref() {
        // As a shell tells of a program that a signal ended.
        return u8::try_from(128 + *signal as i32).ok();
    }
    if let Some(FleetError::Coordinator(error)) = error.downcast_ref() {
        return Some(code_of_answer(error));
    }
    if let Some(error) = error.downcast_ref::<ApiError>() {
        return Some(code_of_answer(error));
    }
    let wrong = error.is::<WrongInput>()
        || error.is::<StudyFileError>()
        || error.is::<StudyFileErrors>()
        || error.is::<CredentialError>()
        || matches!(error.downcast_ref(), Some(InstanceError::Plaintext(_)))
        || matches!(
            error.downcast_ref(),
            Some(HomeError::Unknown { .. } | HomeError::InUse { .. })
        )
        || matches!(
            error.downcast_ref(),
            Some(
                SecurityError::NoAuthority(_)
                    | SecurityError::Host(_)
                    | SecurityError::Name(_)
                    | SecurityError::Unknown(_)
            )
        );
    wrong.then_some(WRONG_INPUT)
}

fn code_of_answer(error: &ApiError) -> u8 {
    match error.code {
        ErrorCode::Unauthenticated | ErrorCode::Forbidden => NOT_ALLOWED,
        ErrorCode::InvalidRequest
        | ErrorCode::NotFound
        | ErrorCode::SpecChanged
        | ErrorCode::TooLarge => WRONG_INPUT,
        _ => FAULT,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_that_is_said_already_is_not_said_again() {
        let cause = anyhow::anyhow!("file is not a database");
        let error = cause
            .context("(code: 26) file is not a database")
            .context("open `journal.sqlite`");
        assert_eq!(
            chain(&error),
            "open `journal.sqlite`: (code: 26) file is not a database"
        );
    }

    #[test]
    fn the_cause_decides_whatever_is_said_around_it() {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let api = |code| ApiError::new(code, "no");
        let interrupted = |signal| Interrupted {
            signal,
            said: String::new(),
        };
        let wrong = Err::<(), _>(missing()).context("read it").or_wrong_input();
        let around = wrong.context("submit").unwrap_err();
        assert_eq!(format!("{around:#}"), "submit: read it: entity not found");
        for (error, expected) in [
            (around, 2),
            (anyhow::Error::new(missing()).context("write"), 1),
            (api(ErrorCode::SpecChanged).into(), 2),
            (
                anyhow::Error::new(api(ErrorCode::Forbidden)).context("put"),
                4,
            ),
            (api(ErrorCode::Unavailable).into(), 1),
            (interrupted(Signal::SIGINT).into(), 130),
            (interrupted(Signal::SIGTERM).into(), 143),
            (interrupted(Signal::SIGHUP).into(), 129),
            (FleetError::from(api(ErrorCode::Unauthenticated)).into(), 4),
        ] {
            assert_eq!(code(&error), expected, "{error:#}");
        }
    }
}
