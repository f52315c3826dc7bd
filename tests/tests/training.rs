//! Trainings with libtorch, in a child of the worker: what happens to the child happens
//! to nothing else.

use std::io;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reprise_tests::fleet::Fleet;
use reprise_tests::process::wait_until;
use reprise_tests::program;

const STUDY: &str = "version: 1
name: trained
space: nasbench201
evaluate:
  architectures: {first-unique: 16}
  dataset: digits
  recipe: digits-small
  seeds: 1..2
";

const LIMIT: Duration = Duration::from_mins(3);

/// A fleet whose only worker has begun with the study.
fn begun(home: &std::path::Path) -> io::Result<Fleet> {
    // A worker without it would wait for ever.
    let _ = program("reprise-torch");
    let mut fleet = Fleet::local(home, 1)?;
    fleet.serve()?;
    fleet.submit(STUDY)?;
    fleet.work()?;
    Ok(fleet)
}

/// The lines of the study's results without what differs between two runs.
fn measured(fleet: &Fleet) -> io::Result<Vec<String>> {
    fleet.finish("trained", LIMIT)?;
    let path = fleet.export("trained")?.join("evaluations.csv");
    let text = std::fs::read_to_string(path)?;
    let kept = |line: &str| {
        let fields: Vec<_> = line.split(',').collect();
        // The fifth is the time of the training.
        [&fields[..4], &fields[5..]].concat().join(",")
    };
    Ok(text.lines().map(kept).collect())
}

/// The worker's child, once there is one that is not among `before`.
fn child(fleet: &Fleet, before: &[Pid]) -> io::Result<Pid> {
    let worker = fleet.workers[0].id();
    let mut found = None;
    wait_until(LIMIT, "the worker has a child", || {
        found = worker.map(children).transpose()?.and_then(|children| {
            let mut new = children.into_iter().filter(|id| !before.contains(id));
            new.next()
        });
        Ok(found.is_some())
    })?;
    found.ok_or_else(|| io::Error::other("the worker does not run"))
}

/// Processes that a process has started and that have not ended.
fn children(parent: u32) -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.parse().ok());
        if let Some(id) = id
            && is_child(id, parent)
        {
            children.push(Pid::from_raw(id));
        }
    }
    Ok(children)
}

/// Whether a process lives and was started by another.
fn is_child(id: i32, parent: u32) -> bool {
    // After the name in brackets: state, parent.
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let mut fields = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace();
    let state = fields.next();
    let is_alive = state.is_some_and(|state| state != "Z" && state != "X");
    is_alive && fields.next().and_then(|field| field.parse().ok()) == Some(parent)
}

fn wait_for_results(fleet: &Fleet, results: u64) -> io::Result<()> {
    wait_until(LIMIT, "some trainings are done", || {
        Ok(fleet.standing("trained")?.finished >= results)
    })
}

#[test]
fn a_killed_child_costs_an_attempt_and_changes_no_number() {
    let home = tempfile::tempdir().unwrap();
    let calm = begun(home.path()).unwrap();
    let expected = measured(&calm).unwrap();
    assert_eq!(
        expected.len(),
        33,
        "a header and the trainings: {expected:?}"
    );
    drop(calm);

    let home = tempfile::tempdir().unwrap();
    let fleet = begun(home.path()).unwrap();
    wait_for_results(&fleet, 2).unwrap();
    let first = child(&fleet, &[]).unwrap();
    // As batch systems and terminals send it to every process of a job.
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        kill(first, signal).unwrap();
    }
    let before = fleet.standing("trained").unwrap().finished;
    wait_for_results(&fleet, before + 2).unwrap();
    assert_eq!(child(&fleet, &[]).unwrap(), first, "one child for all");

    kill(first, Signal::SIGKILL).unwrap();
    assert_eq!(measured(&fleet).unwrap(), expected);
    assert_ne!(child(&fleet, &[first]).unwrap(), first);
    let log = fleet.workers[0].log().unwrap();
    let said = "`reprise-torch` was ended by signal 9 (SIGKILL)";
    assert!(
        log.contains(said) || log.contains("a waiting `reprise-torch` has ended"),
        "{log}"
    );
}

#[test]
fn no_child_is_left_behind_by_a_killed_worker() {
    let home = tempfile::tempdir().unwrap();
    let mut fleet = begun(home.path()).unwrap();
    wait_for_results(&fleet, 1).unwrap();
    let child = child(&fleet, &[]).unwrap();
    fleet.workers[0].kill().unwrap();
    wait_until(LIMIT, "its child ends", || {
        // It has another parent now.
        Ok(kill(child, None).is_err() || is_dead(child))
    })
    .unwrap();
}

/// Whether a process is only waited for by whoever is its parent now.
fn is_dead(id: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with('Z'))
}
