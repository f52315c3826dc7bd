//! A simulated cluster: the real core, a model of the shell, of workers and of
//! the network between them, and every fault that one seed can bring about.
//!
//! A schedule is a function of its seed, so a failure is replayed by its number.
//! After every step the invariants are checked, at every crash of the coordinator
//! the rebuilt state is compared with the lost one, and in the end everything
//! must have finished exactly once.

mod acting;
mod cluster;
mod ending;
mod faults;
mod ledger;
mod node;
mod outside;
mod random;
mod restart;

use std::collections::BTreeMap;

use cluster::Cluster;
use faults::{FAULTS, Sabotage};

/// Runs schedules `seeds` and returns how often each fault struck.
fn run(seeds: std::ops::Range<u64>) -> BTreeMap<&'static str, u64> {
    let mut struck = BTreeMap::new();
    for seed in seeds {
        let faults = Cluster::new(seed, None)
            .run()
            .unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        for (fault, times) in faults {
            *struck.entry(fault).or_default() += times;
        }
    }
    struck
}

/// Whether a sabotaged system is caught in any of a thousand schedules.
fn is_caught(sabotage: Sabotage) -> bool {
    (0..1000).any(|seed| Cluster::new(seed, Some(sabotage)).run().is_err())
}

#[test]
fn every_schedule_ends_with_everything_finished_once() {
    let struck = run(0..1000);
    for fault in FAULTS {
        let times = struck.get(fault).copied().unwrap_or(0);
        assert!(
            times > 40,
            "`{fault}` struck {times} times only: {struck:?}"
        );
    }
}

#[test]
fn a_lease_missing_in_the_journal_is_caught() {
    assert!(is_caught(Sabotage::LosesLease));
}

#[test]
fn results_of_other_attempts_than_they_say_are_caught() {
    assert!(is_caught(Sabotage::MisattributesResults));
}

#[test]
fn a_coordinator_without_timers_is_caught() {
    assert!(is_caught(Sabotage::NeverTicks));
}

#[test]
fn a_worker_whose_results_differ_is_caught_by_audits() {
    let broken = (0..100).map(|seed| Cluster::new(seed, Some(Sabotage::FalsifiesResults)).run());
    let by_audit = |broken: &String| broken.contains("INV-7: the audit");
    assert!(
        broken
            .filter_map(Result::err)
            .any(|broken| by_audit(&broken))
    );
}

#[test]
fn a_lost_checkpoint_that_stands_in_the_way_is_caught() {
    assert!(is_caught(Sabotage::KeepsLostCheckpoints));
}

#[test]
fn a_lost_input_that_nobody_looks_for_is_caught() {
    assert!(is_caught(Sabotage::KeepsLostInputs));
}

#[test]
fn a_start_that_is_too_long_for_one_message_is_caught() {
    assert!(is_caught(Sabotage::SendsWholeStarts));
}

#[test]
fn a_worker_that_forgets_to_list_its_attempts_is_caught() {
    assert!(is_caught(Sabotage::KeepsUnlisted));
}
