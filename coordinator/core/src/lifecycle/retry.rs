//! How often a task is tried again, and when.

use std::time::Duration;

use reprise_domain::study::RetryPolicy;
use reprise_domain::{FailureClass, Seconds};

use super::event::Verdict;
use super::state::State;
use super::task::TaskIx;
use crate::Timestamp;

/// The longest wait that doubling leads to, unless the first wait is longer already. A
/// doubling wait reaches it within a dozen failures; what is not mended in an hour is
/// for a person to look at.
const LONGEST_BACKOFF: Duration = Duration::from_hours(1);

/// Least number of attempts that a task whose input cannot be read is given, whatever
/// its study says: it is no fault of the task, and looking for the file takes a while.
const INPUT_ATTEMPTS: u32 = 3;

/// Losses that are left to a task when it is suspected.
const SUSPECTED: u32 = 2;

impl State {
    /// The policy for a task: of the studies that want it, the most patient
    /// value of each bound.
    pub(super) fn retry_policy(&self, ix: TaskIx) -> RetryPolicy {
        let studies = self
            .task(ix)
            .interests()
            .map(|interest| self.study(interest.study));
        let policies = studies
            .filter(|study| study.control.is_live())
            .map(|study| study.spec.retry);
        policies.reduce(most_patient).unwrap_or_default()
    }

    /// What follows when an attempt at the task fails now.
    pub(super) fn verdict(&self, ix: TaskIx, class: FailureClass, now: Timestamp) -> Verdict {
        let policy = self.retry_policy(ix);
        match class {
            FailureClass::Permanent => Verdict::GiveUp,
            FailureClass::WorkerLost if self.is_poisonous(ix, policy) => Verdict::GiveUp,
            FailureClass::WorkerLost => Verdict::Retry,
            FailureClass::Task
            | FailureClass::OutOfMemory
            | FailureClass::TimeLimit
            | FailureClass::Stalled
            | FailureClass::InputLost => {
                let failures = self.task(ix).extra().failures + 1;
                // Counted, so that a worker which cannot read a sound file does not try
                // for ever. If the file is lost, the task that made it is opened again,
                // and the failures of its readers are forgotten.
                let attempts = match class {
                    FailureClass::InputLost => policy.attempts.max(INPUT_ATTEMPTS),
                    _ => policy.attempts,
                };
                if failures >= attempts {
                    Verdict::GiveUp
                } else {
                    Verdict::RetryAt(now.after(backoff(policy.backoff, failures)))
                }
            }
        }
    }

    /// Whether a task is close to being given up for the workers that were lost with it. A
    /// worker gets one such task at a time, so that the next loss tells which one it is.
    pub(crate) fn is_suspected(&self, ix: TaskIx) -> bool {
        let lost = self.task(ix).extra().lost;
        lost > 0 && lost + SUSPECTED >= self.retry_policy(ix).lost_workers
    }

    /// Whether losing one more worker is one too many.
    pub(super) fn is_poisonous(&self, ix: TaskIx, policy: RetryPolicy) -> bool {
        self.task(ix).extra().lost + 1 >= policy.lost_workers
    }
}

fn most_patient(a: RetryPolicy, b: RetryPolicy) -> RetryPolicy {
    RetryPolicy {
        attempts: a.attempts.max(b.attempts),
        backoff: if a.backoff < b.backoff {
            b.backoff
        } else {
            a.backoff
        },
        lost_workers: a.lost_workers.max(b.lost_workers),
    }
}

/// The wait after the given number of failures, from 1: doubled each time, up to an
/// hour, and never below the first one.
fn backoff(first: Seconds, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(64);
    let seconds = first.get() * 2f64.powi(doublings as i32);
    let longest = first.get().max(LONGEST_BACKOFF.as_secs_f64());
    Duration::try_from_secs_f64(seconds.min(longest)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(first: f64, failures: u32, expected_ms: u128) {
        let wait = backoff(Seconds::new(first).unwrap(), failures);
        assert_eq!(
            wait.as_millis(),
            expected_ms,
            "{first} s after {failures} failures"
        );
    }

    #[test]
    fn the_wait_doubles_up_to_an_hour_and_is_never_below_the_first_one() {
        check(1.0, 1, 1000);
        check(1.0, 2, 2000);
        check(1.0, 5, 16_000);
        check(1.0, 13, 3_600_000);
        check(1.0, u32::MAX, 3_600_000);
        check(0.0, 9, 0);
        // A day is the longest that a study may ask for.
        check(86_400.0, 1, 86_400_000);
        check(86_400.0, 9, 86_400_000);
        check(3000.0, 2, 3_600_000);
    }
}
