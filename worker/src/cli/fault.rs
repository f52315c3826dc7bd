//! How a command that failed says so: one line an error and one a cause on standard
//! error, and an exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;

use reprise_domain::text::printable;
use reprise_proto::status::ErrorCode;

use crate::session::SessionError;

/// Exit code for what the user gave and can correct.
const WRONG_INPUT: u8 = 2;

/// Exit code when the coordinator does not allow this worker.
const NOT_ALLOWED: u8 = 4;

/// Characters of a line: file names may be long, and come from outside.
const LONGEST_LINE: usize = 2000;

/// Marks an error as one of the user's input.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongInput(String);

/// Says what cannot be done with what the user gave.
pub(super) fn wrong_input(doing: impl Into<String>) -> impl FnOnce(anyhow::Error) -> anyhow::Error {
    let doing = doing.into();
    move |error| error.context(WrongInput(doing))
}

/// The exit code of an error.
pub(super) fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref() {
        Some(SessionError::Refused(reason)) if reason.is_not_allowed() => {
            ExitCode::from(NOT_ALLOWED)
        }
        Some(SessionError::Refused(reason)) if reason.code == ErrorCode::InvalidRequest => {
            ExitCode::from(WRONG_INPUT)
        }
        _ if error.is::<WrongInput>() => ExitCode::from(WRONG_INPUT),
        _ => ExitCode::FAILURE,
    }
}

/// Writes an error and its causes.
pub(super) fn say(error: &anyhow::Error) {
    let mut out = io::stderr().lock();
    let mut before = String::new();
    for (depth, cause) in error.chain().enumerate() {
        let text = printable(&cause.to_string(), LONGEST_LINE);
        // Some libraries repeat their cause in their own text.
        if before.ends_with(&text) {
            continue;
        }
        let prefix = if depth == 0 { "error" } else { "caused by" };
        // There is nowhere else to say it.
        let _ = writeln!(out, "{prefix}: {text}");
        before = text;
    }
}
