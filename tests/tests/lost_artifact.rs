//! Files that are lost at the coordinator. An embedding whose pretraining has finished:
//! that pretraining alone runs again, or nothing does where a worker still has the file.
//! A file of the study: it comes back with the study.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reprise_tests::damage::bytes::files;
use reprise_tests::fleet::{Fleet, said, worker};
use reprise_tests::journal::{self, Journal};
use reprise_tests::process::{Process, wait_until};
use reprise_tests::{Site, said_by};

const FILES: [&str; 3] = ["table.csv", "pretrain.csv", "results.json"];

fn study(trials: u32) -> String {
    format!(
        "version: 1
name: lost
space: nasbench201
benchmark: {{builtin: nasbench201-digits}}
pretrain:
  - {{model: arch2vec, seeds: 1..2, epochs: 1, batch: 256, latent-points: 100}}
search:
  datasets: [digits]
  budget: {{queries: 16}}
  seeds: 1..{trials}
  methods:
    - {{name: random}}
    - {{name: reinforce, encoding: arch2vec, episode: 8}}
"
    )
}

/// Runs a study to its end; the files that it wrote. By one worker: which of several
/// has an embedding, and which gets the next trial on it, is chance.
fn finished(site: &Site, trials: u32) -> Vec<String> {
    site.study(&study(trials)).unwrap();
    let end = site.run_as_it_is().arg("--amend").output().unwrap();
    assert!(end.status.success(), "{}", said_by(&end));
    let files = FILES.iter().map(|name| site.out(name));
    files.collect::<Result<_, _>>().unwrap()
}

fn journal(site: &Site) -> Journal {
    journal::read(&site.path().join(".reprise/journal.sqlite")).unwrap()
}

/// The file of a pretraining's embedding, and the pretraining's key.
fn embedding(site: &Site) -> (PathBuf, String) {
    let journal = journal(site);
    let digests = journal.tasks.iter().filter_map(|(key, task)| {
        let result: serde_json::Value = serde_json::from_str(task.result.as_ref()?).ok()?;
        Some((
            key.clone(),
            result["embedding"]["digest"].as_str()?.to_owned(),
        ))
    });
    let (key, digest) = digests.into_iter().next().unwrap();
    let artifacts = site.path().join(".reprise/artifacts");
    let files = files(&artifacts).unwrap();
    let named = |path: &PathBuf| path.to_string_lossy().ends_with(&digest);
    (files.into_iter().find(named).unwrap(), key)
}

fn attempts(journal: &Journal, key: &str) -> usize {
    journal.tasks[key].attempts
}

/// Removes an embedding of a finished study, with the workers where `moved`, and lets
/// further trials read it.
fn disturbed(moved: bool, lose: impl FnOnce(&PathBuf)) -> (Site, String, Journal) {
    let site = Site::new().unwrap();
    finished(&site, 4);
    let before = journal(&site);
    let (file, key) = embedding(&site);
    lose(&file);
    if moved {
        fs::remove_dir_all(site.path().join(".reprise/workers")).unwrap();
    }
    let calm = Site::new().unwrap();
    let expected = finished(&calm, 8);
    assert_eq!(finished(&site, 8), expected, "the tables differ");
    (site, key, before)
}

fn only_the_pretraining_ran_again(site: &Site, key: &str, before: &Journal) {
    let after = journal(site);
    assert_eq!(attempts(&after, key), attempts(before, key) + 1);
    for other in before.tasks.keys().filter(|other| *other != key) {
        assert_eq!(attempts(&after, other), attempts(before, other), "{other}");
    }
}

#[test]
fn a_deleted_embedding_makes_its_pretraining_alone_run_again() {
    let (site, key, before) = disturbed(true, |file| fs::remove_file(file).unwrap());
    only_the_pretraining_ran_again(&site, &key, &before);
}

#[test]
fn a_torn_embedding_makes_its_pretraining_alone_run_again() {
    let (site, key, before) = disturbed(true, |file| fs::write(file, b"torn").unwrap());
    only_the_pretraining_ran_again(&site, &key, &before);
}

#[test]
fn a_deleted_embedding_that_a_worker_still_has_is_not_made_again() {
    let (site, key, before) = disturbed(false, |file| fs::remove_file(file).unwrap());
    let after = journal(&site);
    assert_eq!(attempts(&after, &key), attempts(&before, &key));
}

#[test]
fn a_lost_file_of_a_study_comes_back_with_the_study() {
    const LIMIT: Duration = Duration::from_mins(2);
    const STUDY: &str = "version: 1
name: shipped
retry: {attempts: 1, backoff: 0.1 s}
experiments:
  - {name: one, command: [sh, measure.sh], files: [measure.sh], seeds: 1, metrics: [value]}
";
    let home = tempfile::tempdir().unwrap();
    let program = "echo '{\"value\": 1}' > \"$REPRISE_RESULT\"\n";
    fs::write(home.path().join("measure.sh"), program).unwrap();
    let mut fleet = Fleet::local(home.path(), 0).unwrap();
    fleet.serve().unwrap();
    fleet.submit(STUDY).unwrap();
    let stored = files(&home.path().join("state/artifacts")).unwrap();
    let is_it = |path: &&PathBuf| fs::read_to_string(path).is_ok_and(|text| text == program);
    fs::write(stored.iter().find(is_it).unwrap(), b"torn").unwrap();

    let (url, directory) = (fleet.url().to_owned(), home.path().join("worker"));
    let mut process = Process::new("worker", &home.path().join("worker.log"), move || {
        let mut command = worker(&url, &directory);
        command.arg("--allow-programs");
        command
    });
    process.start().unwrap();
    let failed = wait_until(LIMIT, "the task has failed", || {
        Ok(fleet.standing("shipped")?.failed == 1)
    });
    let log = process.log().unwrap();
    failed.unwrap_or_else(|error| panic!("{error}: {log}"));
    let status = said(fleet.ask(&["status", "shipped", "--output", "json"])).unwrap();
    let way_out = "submit the study again, which uploads it";
    assert!(status.contains(way_out), "{status}");
    assert!(fleet.coordinator.log().unwrap().contains(way_out));
    fleet.submit(STUDY).unwrap();
    fleet.finish("shipped", LIMIT).unwrap();
}
