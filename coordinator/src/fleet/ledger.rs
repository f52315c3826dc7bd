//! The machine time that a fleet has used, of present and of former workers. It is
//! kept across restarts of the loop.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::engine::{Member, MemberState};

/// Machine time of a fleet since it was made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Workers that were there when last looked.
    members: BTreeMap<String, Entry>,
    /// Seconds of all that are gone.
    gone_seconds: f64,
    /// How many those are.
    pub gone: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Entry {
    /// Seconds with a machine when last seen.
    run: f64,
    /// Unix time of that.
    seen: f64,
    /// Whether it had a machine.
    up: bool,
}

/// A worker that is not there any more.
#[derive(Debug, Clone, PartialEq)]
pub struct Gone {
    /// The engine's name for it.
    pub id: String,
    /// How long it had a machine, at most.
    pub ran: Duration,
}

/// What changed since the last look.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// Workers that were not there before.
    pub new: u32,
    /// Workers that are not there any more.
    pub gone: Vec<Gone>,
}

impl Ledger {
    /// Records what an engine lists at `now`, in Unix time, and tells what changed.
    ///
    /// A worker that is not listed any more counts as having run until now. That is a
    /// few seconds too much while the loop runs, so a budget errs on the safe side.
    /// Requested workers are not counted: they have no name yet and are listed under
    /// another one later.
    pub fn observe(&mut self, now: f64, members: &[Member]) -> Change {
        let mut before = std::mem::take(&mut self.members);
        let mut new = 0;
        let named = members
            .iter()
            .filter(|member| member.state != MemberState::Requested);
        for member in named {
            let entry = Entry {
                run: member.run.as_secs_f64(),
                seen: now,
                up: member.state != MemberState::Queued,
            };
            match before.remove(&member.id) {
                None => new += 1,
                // The same name on a fresh machine.
                Some(old) if old.run > entry.run + 1.0 => {
                    self.gone_seconds += old.run;
                    self.gone += 1;
                }
                Some(_) => {}
            }
            self.members.insert(member.id.clone(), entry);
        }
        let gone = before
            .into_iter()
            .map(|(id, entry)| {
                let ran = entry.until(now);
                self.gone_seconds += ran;
                self.gone += 1;
                let ran = Duration::try_from_secs_f64(ran).unwrap_or_default();
                Gone { id, ran }
            })
            .collect();
        Change { new, gone }
    }

    /// Machine time of all workers together.
    pub fn used(&self) -> Duration {
        let there: f64 = self.members.values().map(|entry| entry.run).sum();
        Duration::try_from_secs_f64(there + self.gone_seconds).unwrap_or_default()
    }
}

impl Entry {
    fn until(&self, now: f64) -> f64 {
        if self.up {
            self.run + (now - self.seen).max(0.0)
        } else {
            0.0
        }
    }
}

/// Time in hours.
pub fn hours(time: Duration) -> f64 {
    time.as_secs_f64() / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, state: MemberState, seconds: u64) -> Member {
        Member {
            id: id.to_owned(),
            state,
            place: String::new(),
            note: String::new(),
            run: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn time_of_the_gone_is_kept_and_waiting_costs_nothing() {
        let mut ledger = Ledger::default();
        let up = MemberState::Up;
        ledger.observe(
            0.0,
            &[member("a", up, 10), member("b", MemberState::Queued, 0)],
        );
        assert_eq!(ledger.used().as_secs(), 10);
        let change = ledger.observe(5.0, &[member("c", up, 2)]);
        assert_eq!(change.new, 1);
        let ran: Vec<_> = change.gone.iter().map(|gone| gone.ran.as_secs()).collect();
        assert_eq!(ran, [15, 0]);
        assert_eq!(ledger.used().as_secs(), 17);
        assert_eq!(ledger.gone, 2);
        let text = serde_json::to_string(&ledger).unwrap();
        let read: Ledger = serde_json::from_str(&text).unwrap();
        assert_eq!(read, ledger);
    }

    #[test]
    fn a_requested_worker_that_gets_a_name_does_not_count_as_gone() {
        let mut ledger = Ledger::default();
        ledger.observe(0.0, &[member("lab/0", MemberState::Requested, 0)]);
        let change = ledger.observe(5.0, &[member("lab-a", MemberState::Up, 1)]);
        assert_eq!((change.new, change.gone, ledger.gone), (1, Vec::new(), 0));
    }

    #[test]
    fn a_machine_that_was_made_anew_under_its_name_counts_twice() {
        let mut ledger = Ledger::default();
        let up = MemberState::Up;
        ledger.observe(0.0, &[member("a", up, 100)]);
        let change = ledger.observe(5.0, &[member("a", up, 3)]);
        assert_eq!(change, Change::default());
        assert_eq!(ledger.used().as_secs(), 103);
    }
}
