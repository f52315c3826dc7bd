//! Why a task in a child has no outcome.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use reprise_domain::FailureClass;

use crate::outcome::is_out_of_memory;

/// Why a task in a child has no outcome. One reason may be that of many members of a
/// pack.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TorchError {
    /// This worker has no such program.
    #[error(
        "this worker has no `reprise-torch`, which real training and graphics cards need: \
         put the one of its release beside it, or name it with `--torch`"
    )]
    Absent,
    /// The program cannot be started.
    #[error("`{program}` cannot be started: {reason}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        reason: String,
    },
    /// It is of another release than the worker.
    #[error(
        "`{program}` is `reprise-torch` {version} with protocol {found}, expected version {} with protocol {expected}; use the one of the worker's release",
        env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// The program.
        program: String,
        /// Its version.
        version: String,
        /// The protocol that it speaks.
        found: u32,
        /// The protocol that the worker speaks.
        expected: u32,
    },
    /// It has ended by itself.
    #[error("`reprise-torch` {how}")]
    Ended {
        /// How it ended, and what it said last.
        how: String,
        /// Whether it was for want of memory.
        out_of_memory: bool,
    },
    /// It gave no sign of life.
    #[error("`reprise-torch` gave no sign of {what} for {limit:?} and was killed")]
    Silent {
        /// Life, or progress.
        what: &'static str,
        /// The longest time allowed.
        limit: Duration,
    },
    /// It said what is no message, or none that is in turn.
    #[error("`reprise-torch` said what is not in its protocol and was killed: {0}")]
    Wrong(String),
    /// The task failed.
    #[error("{first}")]
    Failed {
        /// Whether it can never succeed.
        permanent: bool,
        /// What was tried, or what happened.
        first: String,
        /// Why.
        #[source]
        cause: Option<Cause>,
    },
    /// The task was stopped.
    #[error("stopped")]
    Stopped,
}

/// One cause of a failure, and its own cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    text: String,
    next: Option<Box<Self>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.next.as_deref().map(|next| next as _)
    }
}

impl TorchError {
    /// A failure as the child gives it: what was tried, then cause by cause.
    pub(crate) fn failed(permanent: bool, reason: Vec<String>) -> Self {
        let mut reason = reason.into_iter();
        let first = reason.next();
        let mut causes = reason.take(MOST_CAUSES).collect::<Vec<_>>();
        let mut cause = None;
        while let Some(text) = causes.pop() {
            let next = cause.map(Box::new);
            cause = Some(Cause { text, next });
        }
        Self::Failed {
            permanent,
            first: first.unwrap_or_else(|| "the task failed without a reason".to_owned()),
            cause,
        }
    }

    /// What kind of failure it is.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Failed {
                permanent: true, ..
            } => FailureClass::Permanent,
            Self::Ended {
                out_of_memory: true,
                ..
            } => FailureClass::OutOfMemory,
            Self::Failed { first, cause, .. } => {
                let mut causes =
                    std::iter::successors(cause.as_ref(), |cause| cause.next.as_deref());
                if is_out_of_memory(first) || causes.any(|cause| is_out_of_memory(&cause.text)) {
                    FailureClass::OutOfMemory
                } else {
                    FailureClass::Task
                }
            }
            // Another worker may have it.
            Self::Absent => FailureClass::Task,
            // The child is to blame and not the task: where the task stands is kept.
            _ => FailureClass::WorkerLost,
        }
    }
}

/// Causes that are kept of what the child gives.
const MOST_CAUSES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_chain_of_causes_in_order() {
        let texts = ["pretrain", "the loss became `NaN`", "bad luck"];
        let error = TorchError::failed(false, texts.map(str::to_owned).to_vec());
        let mut found = vec![error.to_string()];
        let mut source = error.source();
        while let Some(cause) = source {
            found.push(cause.to_string());
            source = cause.source();
        }
        assert_eq!(found, texts);
        assert_eq!(error.class(), FailureClass::Task);
        assert!(TorchError::failed(false, Vec::new()).source().is_none());
    }

    #[test]
    fn want_of_memory_is_told_from_other_failures() {
        let class = |permanent, text: &str| {
            TorchError::failed(permanent, vec!["pretrain".to_owned(), text.to_owned()]).class()
        };
        let lacked = "CUDA out of memory. Tried to allocate 2.00 GiB";
        assert_eq!(class(false, lacked), FailureClass::OutOfMemory);
        assert_eq!(class(true, lacked), FailureClass::Permanent);
    }
}
