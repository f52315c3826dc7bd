//! A study is written into a file, deleted, and brought back: nothing of it runs again,
//! and its tables are the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reprise_tests::fleet::{Fleet, said};

const NAME: &str = "archived";

const STUDY: &str = "version: 1
name: archived
space: nasbench201
benchmark: {builtin: nasbench201-digits}
pretrain:
  - {model: arch2vec, seeds: 1..2, epochs: 1, batch: 256, latent-points: 100}
search:
  datasets: [digits]
  budget: {queries: 16}
  seeds: 1..4
  methods:
    - {name: random}
    - {name: reinforce, encoding: arch2vec, episode: 8}
";

const LIMIT: Duration = Duration::from_secs(120);

const FILES: [&str; 3] = ["table.csv", "pretrain.csv", "results.json"];

fn exported(fleet: &Fleet) -> Vec<String> {
    let out = fleet.export(NAME).unwrap();
    let read = FILES.iter().map(|name| fs::read_to_string(out.join(name)));
    read.collect::<Result<_, _>>().unwrap()
}

/// A coordinator in `home`, that runs.
fn served(home: &Path, workers: usize) -> Fleet {
    let mut fleet = Fleet::local(home, workers).unwrap();
    fleet.serve().unwrap();
    fleet
}

/// A study that was run to its end, and its archive.
fn archived(home: &Path) -> (Fleet, Vec<String>, PathBuf) {
    let mut fleet = served(home, 1);
    fleet.work().unwrap();
    fleet.submit(STUDY).unwrap();
    fleet.finish(NAME, LIMIT).unwrap();
    let tables = exported(&fleet);
    let file = home.join("archived.tar");
    let path = file.to_str().unwrap();
    said(fleet.ask(&["archive", NAME, "--out", path])).unwrap();
    (fleet, tables, file)
}

#[test]
fn a_study_comes_back_whole_where_no_worker_is() {
    let home = tempfile::tempdir().unwrap();
    let (mut fleet, tables, file) = archived(home.path());
    fleet.workers[0].kill().unwrap();
    said(fleet.ask(&["delete", NAME])).unwrap();
    assert!(said(fleet.ask(&["status", NAME])).is_err());
    let path = file.to_str().unwrap();
    said(fleet.ask(&["unarchive", path])).unwrap();
    assert_eq!(exported(&fleet), tables);
    // Nor does doing it twice change anything.
    said(fleet.ask(&["unarchive", path])).unwrap();
    assert_eq!(exported(&fleet), tables);

    let elsewhere = tempfile::tempdir().unwrap();
    let other = served(elsewhere.path(), 0);
    said(other.ask(&["unarchive", path])).unwrap();
    assert_eq!(exported(&other), tables);
    let again = elsewhere.path().join("again.tar");
    let again = again.to_str().unwrap();
    said(other.ask(&["archive", NAME, "--out", again])).unwrap();
    assert_eq!(
        fs::read(again).unwrap(),
        fs::read(&file).unwrap(),
        "an archive of what came back is the archive"
    );
}

#[test]
fn what_was_not_finished_goes_on_after_it_came_back() {
    let home = tempfile::tempdir().unwrap();
    let (fleet, tables, _) = archived(home.path());
    // As if the study had been archived before its last trials had finished.
    let tasks = said(fleet.ask(&[
        "tasks",
        NAME,
        "--method",
        "arch2vec-reinforce",
        "--output",
        "json",
    ]));
    let tasks = tasks.unwrap();
    let keys = tasks.lines().map(|line| {
        let task: serde_json::Value = serde_json::from_str(line).unwrap();
        task["key"].as_str().unwrap().to_owned()
    });
    let keys: Vec<_> = keys.collect();
    assert_eq!(keys.len(), 4);
    said(fleet.ask(&["pause", NAME])).unwrap();
    for key in &keys {
        said(fleet.ask(&["invalidate", key])).unwrap();
    }
    let file = home.path().join("part.tar");
    let path = file.to_str().unwrap();
    said(fleet.ask(&["archive", NAME, "--out", path])).unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    let mut other = served(elsewhere.path(), 1);
    said(other.ask(&["unarchive", path, "--paused"])).unwrap();
    assert_eq!(other.standing(NAME).unwrap().finished, 6);
    other.work().unwrap();
    said(other.ask(&["resume", NAME])).unwrap();
    other.finish(NAME, LIMIT).unwrap();
    assert_eq!(exported(&other), tables);
}

#[test]
fn an_archive_that_exists_is_not_written_over() {
    let home = tempfile::tempdir().unwrap();
    let fleet = served(home.path(), 0);
    let file = home.path().join("kept.tar");
    fs::write(&file, "mine").unwrap();
    let output = fleet
        .ask(&["archive", NAME, "--out", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}
