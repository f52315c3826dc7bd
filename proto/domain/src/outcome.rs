//! How an attempt ends.

use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::measure::{TaskResult, Usage};

/// The end of one attempt, as its worker reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum AttemptOutcome {
    /// The task is done.
    Finished {
        /// Its result.
        result: TaskResult,
        /// What it cost.
        usage: Usage,
    },
    /// The task failed.
    Failed(Failure),
    /// The worker gave the task back unfinished, for no fault of the task.
    Returned,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure: decides whether and how it is retried.
    pub class: FailureClass,
    /// What happened, in one line.
    pub message: String,
    /// The last lines of the task's log, oldest first.
    pub log: Vec<String>,
}

impl Failure {
    /// The same within [`bounds::worker`]: the start of the message in one line, and
    /// the last lines of the log. What a worker says reaches a journal and terminals,
    /// so control characters are replaced.
    #[must_use]
    pub fn bounded(self) -> Self {
        let Self {
            class,
            message,
            log,
        } = self;
        let skipped = log.len().saturating_sub(bounds::worker::LOG_LINES);
        Self {
            class,
            message: line(&message, bounds::worker::MESSAGE_CHARS),
            log: log[skipped..]
                .iter()
                .map(|text| line(text, bounds::worker::LINE_CHARS))
                .collect(),
        }
    }
}

/// The start of a text as one line that moves no cursor.
fn line(text: &str, most: usize) -> String {
    let printable = |character: char| match character {
        '\t' | '\n' | '\r' => ' ',
        character if character.is_control() => char::REPLACEMENT_CHARACTER,
        character => character,
    };
    let mut line: String = text.chars().take(most).map(printable).collect();
    if text.chars().nth(most).is_some() {
        line.pop();
        line.push('…');
    }
    line
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The task itself failed; trying again may help.
    Task,
    /// The task can never succeed as specified: a missing input, a bad spec.
    Permanent,
    /// The worker was lost while it ran.
    WorkerLost,
    /// The device's memory was exhausted.
    OutOfMemory,
    /// It ran longer than its study allows.
    TimeLimit,
    /// It made no progress for longer than its study allows.
    Stalled,
    /// A file that it reads is lost or damaged, which is no fault of the task.
    InputLost,
}

impl FailureClass {
    /// The name as written in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task error",
            Self::Permanent => "permanent error",
            Self::WorkerLost => "worker lost",
            Self::OutOfMemory => "out of memory",
            Self::TimeLimit => "time limit",
            Self::Stalled => "no progress",
            Self::InputLost => "input lost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_bounded_to_its_first_words_and_last_lines() {
        let failure = Failure {
            class: FailureClass::Task,
            message: format!("one\nerror: two\u{1b}[31m{}", "é".repeat(1000)),
            log: (0..2000)
                .map(|n| format!("{n} {}", "x".repeat(1000)))
                .collect(),
        };
        let bounded = failure.bounded();
        assert!(bounded.message.starts_with("one error: two\u{fffd}[31mé"));
        assert_eq!(bounded.message.chars().count(), 500);
        assert_eq!(bounded.log.len(), 64);
        assert!(bounded.log[63].starts_with("1999 x") && bounded.log[63].ends_with("x…"));
        let lines = bounded.log.iter().chain([&bounded.message]);
        assert!(lines.clone().all(|line| line.chars().count() <= 500));
        assert!(lines.clone().all(|line| !line.contains(char::is_control)));
        assert_eq!(bounded.clone().bounded(), bounded);
    }
}
