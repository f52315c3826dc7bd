//! Several hosts with a network between them, and a partition in it.

use std::io;
use std::path::Path;
use std::time::Duration;

use reprise_skip::{Lack, skip};
use reprise_tests::Site;
use reprise_tests::fleet::{Fleet, START, inside};
use reprise_tests::journal;
use reprise_tests::network::Network;
use reprise_tests::process::{Process, wait_until};
use reprise_tests::program;
use reprise_tests::spool;

/// Three tasks that hold a worker for a while, and trials with results to compare.
fn study(hold_ms: u32) -> String {
    format!(
        "version: 1
name: hosts
space: nasbench201
benchmark: {{builtin: nasbench201-digits}}
search:
  datasets: [digits]
  budget: {{queries: 24}}
  seeds: 1..4
  methods: [{{name: random}}]
noop: {{tasks: 3, hold-ms: {hold_ms}}}
"
    )
}

/// Longer than the heartbeat timeout and the reconnect grace together (45 s), with
/// the work that is left afterwards.
const LIMIT: Duration = Duration::from_mins(4);

/// The network, or none and a recorded skip.
fn network() -> io::Result<Option<Network>> {
    match Network::new(3) {
        Ok(network) => Ok(Some(network)),
        Err(error) => {
            let reason = format!("a network of hosts needs root and `ip`: {error}");
            skip(Lack::Program, &reason).map(|()| None)
        }
    }
}

/// A coordinator on the first host, workers on the second and third.
fn fleet(home: &Path, network: &Network) -> Fleet {
    let address = format!("{}:7440", Network::address(0));
    let url = format!("http://{address}");
    let (host, state) = (network.host(0), home.join("state"));
    let coordinator = Process::new("coordinator", &home.join("coordinator.log"), move || {
        let mut command = inside(&host, &program("reprise"));
        command
            .args(["serve", "--plaintext", "--listen", &address, "--state"])
            .arg(&state);
        command
    });
    let workers = (1..3).map(|number| {
        let (url, host) = (url.clone(), network.host(number));
        let directory = home.join(format!("worker-{number}"));
        let log = home.join(format!("worker-{number}.log"));
        Process::new(&format!("worker {number}"), &log, move || {
            let mut command = inside(&host, &program("reprise-worker"));
            command
                .args(["--slots", "1", "--coordinator", &url, "--directory"])
                .arg(&directory);
            command
        })
    });
    Fleet::of(home, &url, coordinator, workers.collect()).asked_from(&network.host(0))
}

/// Starts the study and pulls the second worker's cable while both hold a task.
fn partitioned(site: &Site, network: &Network, hold_ms: u32) -> io::Result<Fleet> {
    let mut fleet = fleet(site.path(), network);
    fleet.serve()?;
    fleet.submit(&study(hold_ms))?;
    fleet.work()?;
    wait_until(START, "both workers hold a task", || {
        Ok(fleet.standing_of("hosts", "noop")?.running >= 2)
    })?;
    network.plug(2, false)?;
    Ok(fleet)
}

fn spooled(site: &Site) -> io::Result<usize> {
    spool::waiting(&site.path().join("worker-2/spool"))
}

/// The manifest, which counts attempts, and all else that is exported.
fn exported(fleet: &Fleet) -> io::Result<Vec<Vec<u8>>> {
    let out = fleet.export("hosts")?;
    let mut files: Vec<_> = std::fs::read_dir(out)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    files.sort();
    files.iter().map(std::fs::read).collect()
}

/// The study's results without hosts and without faults.
fn undisturbed(hold_ms: u32) -> io::Result<String> {
    let site = Site::new()?;
    site.study(&study(hold_ms))?;
    let end = site.finish()?;
    assert!(end.status.success(), "{end:?}");
    site.out("results.json")
}

#[test]
fn a_partition_longer_than_the_grace_changes_no_result() {
    let Some(network) = network().unwrap() else {
        return;
    };
    let site = Site::new().unwrap();
    let mut fleet = partitioned(&site, &network, 8000).unwrap();
    // The one worker that is left takes over what the other was lost with.
    fleet.finish("hosts", LIMIT).unwrap();
    assert_eq!(spooled(&site).unwrap(), 1, "the lost worker has no result");
    let before = exported(&fleet).unwrap();
    network.plug(2, true).unwrap();
    wait_until(LIMIT, "the late result is delivered", || {
        Ok(spooled(&site)? == 0)
    })
    .unwrap();
    assert_eq!(exported(&fleet).unwrap(), before, "a late result counted");
    let out = site.path().join("out/results.json");
    let results = std::fs::read_to_string(out).unwrap();
    assert_eq!(results, undisturbed(0).unwrap());

    fleet.coordinator.kill().unwrap();
    let journal = journal::read(&fleet.journal()).unwrap();
    assert_eq!(journal.mistakes(None), [""; 0]);
    // Lost with its worker, or doubled before that was certain.
    assert_eq!(
        journal.attempts(),
        journal.tasks.len() + 1,
        "{:?}",
        journal.events
    );
}

#[test]
fn a_partition_shorter_than_the_grace_repeats_nothing() {
    let Some(network) = network().unwrap() else {
        return;
    };
    let site = Site::new().unwrap();
    let mut fleet = partitioned(&site, &network, 3000).unwrap();
    wait_until(START, "the worker finishes alone", || {
        Ok(spooled(&site)? == 1)
    })
    .unwrap();
    network.plug(2, true).unwrap();
    fleet.finish("hosts", LIMIT).unwrap();
    fleet.coordinator.kill().unwrap();
    let journal = journal::read(&fleet.journal()).unwrap();
    assert_eq!(journal.mistakes(None), [""; 0]);
    assert_eq!(
        journal.attempts(),
        journal.tasks.len(),
        "{:?}",
        journal.events
    );
}
