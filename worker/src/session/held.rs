//! The attempts that the slots have, running or not begun, and what the coordinator
//! was told of each on the connection in use.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use reprise_domain::AttemptId;

use crate::logs::AttemptLog;
use crate::progress::{Progress, Reached};
use crate::slots::{Assignment, Cancel};

/// Least time between two looks at a running attempt's log that are sent: a log is
/// sent whole.
const LOG_PERIOD: Duration = Duration::from_secs(30);

/// What the slots have.
#[derive(Debug, Default)]
pub(super) struct Held(HashMap<AttemptId, Entry>);

#[derive(Debug)]
struct Entry {
    cancel: Cancel,
    progress: Progress,
    log: AttemptLog,
    told: Told,
}

/// What the coordinator knows of an attempt.
#[derive(Debug, Default)]
struct Told {
    /// That it has begun.
    begun: bool,
    /// Units of work that are done.
    done: u64,
    /// Lines of its log.
    lines: u64,
    /// When its log was sent, or was first looked at.
    log_at: Option<Instant>,
}

impl Held {
    pub(super) fn insert(&mut self, assignment: &Assignment, cancel: Cancel) {
        let entry = Entry {
            cancel,
            progress: assignment.progress.clone(),
            log: assignment.log.clone(),
            told: Told::default(),
        };
        self.0.insert(assignment.attempt, entry);
    }

    pub(super) fn remove(&mut self, attempt: AttemptId) {
        self.0.remove(&attempt);
    }

    pub(super) fn contains(&self, attempt: AttemptId) -> bool {
        self.0.contains_key(&attempt)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn attempts(&self) -> impl Iterator<Item = AttemptId> {
        self.0.keys().copied()
    }

    /// How an attempt is told to stop.
    pub(super) fn cancel(&self, attempt: AttemptId) -> Option<&Cancel> {
        self.0.get(&attempt).map(|entry| &entry.cancel)
    }

    /// Says everything again: a new connection knows nothing.
    pub(super) fn begin_anew(&mut self) {
        for entry in self.0.values_mut() {
            entry.told = Told::default();
        }
    }

    /// How far those are that have begun or moved since they were asked last: the
    /// coordinator's clocks start with the first word of an attempt.
    pub(super) fn moved(&mut self) -> Vec<(AttemptId, Reached)> {
        let mut moved = Vec::new();
        for (attempt, Entry { progress, told, .. }) in &mut self.0 {
            let is_new = progress.has_begun() && !told.begun;
            if is_new || progress.done() > told.done {
                told.begun = true;
                let reached = progress.reached();
                told.done = reached.done;
                moved.push((*attempt, reached));
            }
        }
        moved
    }

    /// Those whose logs have changed and were not sent for a while.
    pub(super) fn logged(&mut self, now: Instant) -> Vec<(AttemptId, AttemptLog)> {
        let mut logged = Vec::new();
        for (attempt, Entry { log, told, .. }) in &mut self.0 {
            let lines = log.lines();
            if lines == told.lines {
                continue;
            }
            match told.log_at {
                Some(at) if now.saturating_duration_since(at) >= LOG_PERIOD => {
                    told.lines = lines;
                    told.log_at = Some(now);
                    logged.push((*attempt, log.clone()));
                }
                Some(_) => {}
                // Most attempts end before it is time, and send it then.
                None => told.log_at = Some(now),
            }
        }
        logged
    }
}

#[cfg(test)]
mod tests {
    use reprise_domain::{Digest, NoopSpec, Seed, TaskKey, TaskSpec};

    use super::*;
    use crate::logs::{capture, layer};

    fn assignment(number: u32) -> Assignment {
        Assignment {
            attempt: AttemptId {
                task: TaskKey(Digest::from_bytes([1; 32])),
                number,
            },
            spec: TaskSpec::Noop(NoopSpec {
                hold_ms: 0,
                failures: 0,
                seed: Seed(1),
            }),
            inputs: Vec::new(),
            checkpoint: None,
            progress: Progress::default(),
            log: AttemptLog::default(),
        }
    }

    fn moved(held: &mut Held) -> Vec<(u32, u64)> {
        let moved = held.moved().into_iter();
        moved
            .map(|(attempt, at)| (attempt.number, at.done))
            .collect()
    }

    #[test]
    fn only_what_has_moved_is_told_until_a_new_connection() {
        let mut held = Held::default();
        let (first, second) = (assignment(1), assignment(2));
        held.insert(&first, Cancel::default());
        held.insert(&second, Cancel::default());
        assert_eq!(moved(&mut held), []);
        first.progress.begin();
        assert_eq!(moved(&mut held), [(1, 0)]);
        assert_eq!(moved(&mut held), []);
        first.progress.set(8, 100);
        assert_eq!(moved(&mut held), [(1, 8)]);
        assert_eq!(moved(&mut held), []);
        second.progress.set(3, 100);
        assert_eq!(moved(&mut held), [(2, 3)]);
        let third = assignment(3);
        third.progress.begin();
        held.insert(&third, Cancel::default());
        held.begin_anew();
        let mut all = moved(&mut held);
        all.sort_unstable();
        assert_eq!(all, [(1, 8), (2, 3), (3, 0)]);
    }

    #[test]
    fn a_log_is_told_once_in_a_while_and_only_when_it_has_changed() {
        use tracing_subscriber::layer::SubscriberExt as _;

        let mut held = Held::default();
        let assignment = assignment(1);
        held.insert(&assignment, Cancel::default());
        let subscriber = tracing_subscriber::registry().with(layer());
        let say = || {
            tracing::subscriber::with_default(subscriber, || {
                let _capturing = capture(vec![assignment.log.clone()]);
                tracing::info!("resumed");
            });
        };
        let start = Instant::now();
        let later = |periods: u32| start + LOG_PERIOD * periods;
        assert!(held.logged(start).is_empty());
        say();
        assert!(held.logged(start).is_empty(), "it may end soon");
        assert_eq!(held.logged(later(1)).len(), 1);
        assert!(held.logged(later(2)).is_empty(), "nothing is new");
    }
}
