//! A coordinator that is killed and comes back: what ran goes on, what was
//! finished stays.

use std::time::Duration;

use reprise_tests::Site;
use reprise_tests::failover::failover;
use reprise_tests::process::wait_until;
use reprise_tests::spool;

/// Short, so that the tests are; `make chaos` does the same with 20 s.
const AWAY: Duration = Duration::from_secs(4);

#[test]
fn a_coordinator_that_comes_back_repeats_no_attempt() {
    let site = Site::new().unwrap();
    let outcome = failover(site.path(), AWAY, |_| Ok(())).unwrap();
    assert!(outcome.after.finished >= outcome.before.finished);
    let journal = outcome.journal;
    assert_eq!(
        journal.attempts(),
        journal.tasks.len(),
        "{:?}",
        journal.events
    );
    assert_eq!(journal.count("lost") + journal.count("returned"), 0);
}

#[test]
fn a_worker_killed_while_the_coordinator_is_away_delivers_what_it_had_finished() {
    let site = Site::new().unwrap();
    let spool = site.path().join("worker-0/spool");
    let waiting = || Ok(spool::waiting(&spool)? > 0);
    let outcome = failover(site.path(), Duration::ZERO, |fleet| {
        wait_until(Duration::from_mins(2), "a result is in the spool", waiting)?;
        fleet.workers[0].kill()?;
        fleet.workers[0].start()
    })
    .unwrap();
    let journal = outcome.journal;
    assert_eq!(
        journal.attempts(),
        journal.tasks.len(),
        "{:?}",
        journal.events
    );
    assert_eq!(journal.count("lost"), 0);
}
