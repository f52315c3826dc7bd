//! What came of the cases, counted by kind of damage.

use std::collections::BTreeMap;
use std::fmt;

use super::kind::{Kind, Origin};
use super::trial::Trial;

/// What came of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The tables of the undisturbed run.
    Same,
    /// An error that names the damage.
    Refused,
    /// An error that does not.
    Unnamed,
    /// The right tables, although finished tasks were lost, and not a word of that.
    Silent,
    /// Other tables, with exit code 0.
    Different,
    /// A panic or a signal.
    Crashed,
    /// No end.
    Stuck,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::Same,
        Self::Refused,
        Self::Unnamed,
        Self::Silent,
        Self::Different,
        Self::Crashed,
        Self::Stuck,
    ];

    /// Whether it may be.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Same | Self::Refused)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Same => "same",
            Self::Refused => "refused",
            Self::Unnamed => "unnamed",
            Self::Silent => "silent",
            Self::Different => "different",
            Self::Crashed => "crashed",
            Self::Stuck => "stuck",
        })
    }
}

/// Counts by kind of damage and origin.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<(Kind, Origin), BTreeMap<Outcome, usize>>);

impl Tally {
    /// Counts a case.
    pub fn add(&mut self, trial: &Trial) {
        let row = self.0.entry((trial.kind, trial.origin)).or_default();
        *row.entry(trial.outcome).or_default() += 1;
    }

    /// Cases with an outcome.
    pub fn of(&self, outcome: Outcome) -> usize {
        let rows = self.0.values();
        rows.filter_map(|row| row.get(&outcome)).sum()
    }

    /// All cases.
    pub fn total(&self) -> usize {
        self.0.values().flat_map(BTreeMap::values).sum()
    }

    /// Cases that must not be.
    pub fn bad(&self) -> usize {
        let bad = Outcome::ALL
            .into_iter()
            .filter(|outcome| !outcome.is_good());
        bad.map(|outcome| self.of(outcome)).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<29} {:<9}", "damage", "study")?;
        for outcome in Outcome::ALL {
            write!(f, " {outcome:>9}")?;
        }
        writeln!(f)?;
        for ((kind, origin), row) in &self.0 {
            write!(f, "{kind:<29} {origin:<9}")?;
            for outcome in Outcome::ALL {
                write!(f, " {:>9}", row.get(&outcome).copied().unwrap_or_default())?;
            }
            writeln!(f)?;
        }
        write!(f, "{:<29} {:<9}", "all", self.total())?;
        for outcome in Outcome::ALL {
            write!(f, " {:>9}", self.of(outcome))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_counted_by_kind_origin_and_outcome() {
        let trial = |outcome| Trial {
            number: 1,
            origin: Origin::Killed,
            kind: Kind::LogCut,
            damage: String::new(),
            outcome,
            said: String::new(),
        };
        let mut tally = Tally::default();
        tally.add(&trial(Outcome::Same));
        tally.add(&trial(Outcome::Different));
        assert_eq!((tally.total(), tally.bad()), (2, 1));
        let table = tally.to_string();
        assert!(
            table.contains("write-ahead log: cut          killed            1"),
            "{table}"
        );
    }
}
