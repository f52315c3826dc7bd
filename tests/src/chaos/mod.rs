//! Faults at random against real programs: rounds of one study, each compared with
//! the same study left in peace.
//!
//! What is random is decided by a seed ([`schedule`]). The same seed makes the same
//! faults in the same order again; when each program gets to run is up to the
//! machine, so that a failure comes back often, not always.

pub mod clock;
pub mod disk;
pub mod proxy;
pub mod random;
pub mod round;
pub mod schedule;
pub mod site;
pub mod tally;
pub mod vault;
pub mod verdict;

/// What a line begins with that says which faults this machine cannot inject.
pub const LEFT_OUT: &str = "SKIPPED: ";
