//! How long an attempt at a task may take, and how long it may go without
//! progress. Part of a study, never of a task: a limit does not change a result,
//! so it is not in a task's key.

use serde::{Deserialize, Serialize};

use crate::units::Seconds;

/// Limits of every attempt at the tasks of one stage or method. An attempt that
/// passes one is ended and counts as failed, with
/// [`FailureClass::TimeLimit`](crate::FailureClass::TimeLimit) or
/// [`FailureClass::Stalled`](crate::FailureClass::Stalled).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// The longest that an attempt may take, from the moment its worker gets it. An
    /// attempt that goes on from a checkpoint has the whole of it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Seconds>,
    /// The longest that an attempt may run without progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<Seconds>,
}

impl Limits {
    /// No limit at all.
    pub const NONE: Self = Self {
        time: None,
        silence: None,
    };

    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// The looser of two limits in each respect: what holds for a task that two
    /// studies want.
    #[must_use]
    pub fn loosest(self, other: Self) -> Self {
        let looser = |a: Option<Seconds>, b: Option<Seconds>| match (a, b) {
            (Some(a), Some(b)) => Some(if a < b { b } else { a }),
            _ => None,
        };
        Self {
            time: looser(self.time, other.time),
            silence: looser(self.silence, other.silence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(time: Option<f64>, silence: Option<f64>) -> Limits {
        let seconds = |limit: f64| Seconds::new(limit).unwrap();
        Limits {
            time: time.map(seconds),
            silence: silence.map(seconds),
        }
    }

    #[test]
    fn a_task_of_two_studies_has_the_looser_limits() {
        let found = limits(Some(1.0), Some(9.0)).loosest(limits(Some(2.0), Some(3.0)));
        assert_eq!(found, limits(Some(2.0), Some(9.0)));
        assert!(found.loosest(Limits::NONE).is_none());
    }

    #[test]
    fn absent_limits_are_not_written() {
        let text = |limits| serde_json::to_string(&limits).unwrap();
        assert_eq!(text(Limits::NONE), "{}");
        assert_eq!(text(limits(Some(7.0), None)), r#"{"time":7.0}"#);
    }
}
