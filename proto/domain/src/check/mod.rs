//! Whether a specification keeps the bounds and agrees with itself. A study that
//! passes can be planned and run; what it needs from outside, such as a table, is
//! looked up by who holds it.
//!
//! Study files are checked key by key with the same bounds
//! ([`crate::bounds`]), to show the place of a mistake. This check is for specs
//! that come from anywhere.

mod experiment;
mod study;
mod task;
mod worker;

use std::fmt;

use crate::bounds::{Real, Span, Whole};
use crate::units::Seconds;

/// More problems than these are not listed.
const LISTED: usize = 20;

/// Characters of a text that messages repeat.
const SHOWN: usize = 60;

/// A value of a specification that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is {found}, expected {expected}")]
pub struct SpecProblem {
    /// The field, as `pretrain[0].sizes.hidden`.
    pub path: String,
    /// What it is.
    pub found: String,
    /// What it may be.
    pub expected: String,
}

impl SpecProblem {
    /// The path of a problem that is of a study as a whole, such as too many tasks.
    pub const WHOLE_STUDY: &'static str = "study";
}

/// Gathers the problems below a path.
#[derive(Debug, Default)]
struct Checker {
    path: String,
    problems: Vec<SpecProblem>,
}

impl Checker {
    fn end(self) -> Result<(), Vec<SpecProblem>> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(self.problems)
        }
    }

    /// Does `check` with the path of a field of the current one.
    fn within(&mut self, field: impl fmt::Display, check: impl FnOnce(&mut Self)) {
        let outer = self.path.len();
        self.path = self.join(field);
        check(self);
        self.path.truncate(outer);
    }

    fn join(&self, field: impl fmt::Display) -> String {
        if self.path.is_empty() {
            field.to_string()
        } else {
            format!("{}.{field}", self.path)
        }
    }

    fn wrong(
        &mut self,
        field: impl fmt::Display,
        found: impl Into<String>,
        expected: impl fmt::Display,
    ) {
        if self.problems.len() < LISTED {
            self.problems.push(SpecProblem {
                path: self.join(field),
                found: found.into(),
                expected: expected.to_string(),
            });
        }
    }

    fn whole(&mut self, field: &str, number: u32, bound: Whole) {
        if !bound.contains(number) {
            self.wrong(field, number.to_string(), bound);
        }
    }

    fn real(&mut self, field: &str, number: f64, bound: Real) {
        if !bound.contains(number) {
            self.wrong(field, format!("{number:e}"), bound);
        }
    }

    fn span(&mut self, field: &str, duration: Seconds, bound: Span) {
        if !bound.contains(duration) {
            self.wrong(field, format!("{:e} s", duration.get()), bound);
        }
    }
}

/// A text of a stranger in backticks: its first characters, none of which moves
/// the cursor of a terminal.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", start.escape_debug())
}
