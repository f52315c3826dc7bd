//! How long tasks take, as measured on finished ones.

use std::collections::BTreeMap;

use reprise_domain::Seconds;

use super::class::ClassIx;

/// Weight of the newest measurement: the mean follows a change within a dozen
/// tasks and is not thrown by a single one.
const WEIGHT: f64 = 0.2;

/// An exponentially weighted mean duration in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mean(f64);

impl Mean {
    pub(crate) const fn of_seconds(seconds: f64) -> Self {
        Self(seconds)
    }

    pub(crate) const fn seconds(self) -> f64 {
        self.0
    }

    /// Takes a measurement in; the first one is the mean.
    pub(crate) fn observe(mean: &mut Option<Self>, seconds: Seconds) {
        let seconds = seconds.get();
        *mean = Some(match *mean {
            None => Self(seconds),
            Some(Self(old)) => Self(old + WEIGHT * (seconds - old)),
        });
    }
}

/// Mean durations on one worker.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Rates(BTreeMap<ClassIx, Mean>);

impl Rates {
    pub(crate) fn observe(&mut self, class: ClassIx, seconds: Seconds) {
        let mut mean = self.0.get(&class).copied();
        Mean::observe(&mut mean, seconds);
        self.0.extend(mean.map(|mean| (class, mean)));
    }

    /// Each class with its mean seconds.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, f64)> {
        self.0.iter().map(|(class, mean)| (class.0, mean.0))
    }

    pub(crate) fn mean(&self, class: ClassIx) -> Option<Mean> {
        self.0.get(&class).copied()
    }
}

impl FromIterator<(u16, f64)> for Rates {
    fn from_iter<I: IntoIterator<Item = (u16, f64)>>(means: I) -> Self {
        let means = means.into_iter();
        Self(
            means
                .map(|(class, seconds)| (ClassIx(class), Mean(seconds)))
                .collect(),
        )
    }
}
