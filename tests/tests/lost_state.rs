//! A state directory that is lost, whole or in part: said at once, with the files named.

use std::fs;
use std::io;
use std::process::Output;
use std::time::Duration;

use reprise_tests::process::wait_until;
use reprise_tests::{Site, journal};

const LONG: &str = "version: 1\nname: long\nspace: nasbench201\nnoop: {tasks: 400, hold-ms: 400}\n";

const PRETRAINED: &str = "version: 1
name: pretrained
space: nasbench201
pretrain:
  - {model: arch2vec, seeds: 1..1, epochs: 1, batch: 256, latent-points: 100}
";

const START: Duration = Duration::from_mins(1);

/// How long a coordinator may go on without its files.
const NOTICE: Duration = Duration::from_secs(45);

/// Runs a long study, disturbs its state in the middle, and waits for the end.
fn disturbed(site: &Site, disturb: impl FnOnce() -> io::Result<()>) -> io::Result<Output> {
    site.study(LONG)?;
    let mut child = site.run().spawn()?;
    let state = site.path().join(".reprise/journal.sqlite");
    wait_until(START, "some tasks are finished", || {
        // There is no journal yet, or no table in it.
        Ok(journal::stored_results(&state).is_ok_and(|found| found > 4))
    })?;
    disturb()?;
    let noticed = wait_until(NOTICE, "the run ends", || Ok(child.try_wait()?.is_some()));
    if noticed.is_err() {
        child.kill()?;
    }
    let output = child.wait_with_output()?;
    noticed.map(|()| output)
}

fn error(output: &Output) -> String {
    assert_ne!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_state_directory_that_vanishes_ends_the_run() {
    let site = Site::new().unwrap();
    let state = site.path().join(".reprise");
    // Workers write into it at the same time.
    let vanish = || loop {
        match fs::remove_dir_all(&state) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            done => return done,
        }
    };
    let said = error(&disturbed(&site, vanish).unwrap());
    assert!(said.contains(".reprise"), "{said}");
    assert!(!said.contains("finished tasks are kept"), "{said}");
}

#[test]
fn a_journal_that_vanishes_ends_the_run() {
    let site = Site::new().unwrap();
    let state = site.path().join(".reprise");
    let vanish = || {
        ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"]
            .iter()
            .try_for_each(|name| fs::remove_file(state.join(name)))
    };
    let said = error(&disturbed(&site, vanish).unwrap());
    assert!(said.contains("journal.sqlite"), "{said}");
    assert!(!said.contains("finished tasks are kept"), "{said}");
}

#[test]
fn a_journal_that_is_lost_beside_artifacts_is_not_begun_anew_in_silence() {
    let site = Site::new().unwrap();
    site.study(PRETRAINED).unwrap();
    let first = site.finish().unwrap();
    assert!(first.status.success(), "{first:?}");
    let journal = site.path().join(".reprise/journal.sqlite");
    for name in ["journal.sqlite-wal", "journal.sqlite-shm"] {
        let _ = fs::remove_file(journal.with_file_name(name));
    }
    fs::write(&journal, b"").unwrap();
    let said = error(&site.finish().unwrap());
    assert!(said.contains("journal.sqlite"), "{said}");

    fs::remove_file(&journal).unwrap();
    let said = error(&site.finish().unwrap());
    assert!(said.contains("journal.sqlite"), "{said}");
}
