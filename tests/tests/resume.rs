//! Whole processes end to end: studies that run, resume, fail and are killed.

use std::time::Duration;

use reprise_tests::process::wait_until;
use reprise_tests::{Site, journal, kill_now};

const NOOP: &str = "version: 1\nname: noop\nspace: nasbench201\nnoop: {tasks: 60, hold-ms: 50}\n";

#[test]
fn a_finished_study_runs_nothing_again() {
    let site = Site::new().unwrap();
    site.study(NOOP).unwrap();
    let first = site.finish().unwrap();
    assert!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    let manifest = site.out("manifest.json").unwrap();
    assert!(manifest.contains("\"finished\": 60"), "{manifest}");
    let logs = site.worker_logs();

    let second = site.finish().unwrap();
    assert!(second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains("60 of 60 tasks were finished already"),
        "{said}"
    );
    assert_eq!(site.out("manifest.json").unwrap(), manifest);
    assert_eq!(
        site.worker_logs(),
        logs,
        "a worker was started for a finished study"
    );
}

#[test]
fn a_killed_coordinator_loses_no_finished_task() {
    let site = Site::new().unwrap();
    site.study(NOOP).unwrap();
    let mut child = site.run().spawn().unwrap();
    let state = site.path().join(".reprise/journal.sqlite");
    // There is no journal yet, or no table in it.
    let stored = || journal::stored_results(&state).unwrap_or(0);
    wait_until(Duration::from_secs(60), "some tasks are finished", || {
        Ok(stored() > 4)
    })
    .unwrap();
    kill_now(&mut child).unwrap();
    let before = stored();
    assert!((5..60).contains(&before), "killed after {before} of 60");
    let end = site.finish().unwrap();
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    assert!(end.status.success(), "{said}");
    assert!(
        said.contains(&format!("{before} of 60 tasks were finished already")),
        "{before}: {said}"
    );
    let journal = journal::read(&state).unwrap();
    assert_eq!(journal.mistakes(None), [""; 0]);
    let manifest = site.out("manifest.json").unwrap();
    assert!(
        manifest.contains("\"finished\": 60") && manifest.contains("\"planned\": 60"),
        "{manifest}"
    );
}

#[test]
fn a_failing_task_is_retried_then_reported_and_the_exit_code_says_so() {
    let site = Site::new().unwrap();
    let failing =
        "version: 1\nname: noop\nspace: nasbench201\nretry: {attempts: 2, backoff: 10 ms}\n";
    site.study(&format!("{failing}noop: {{tasks: 2, failures: 1}}\n"))
        .unwrap();
    assert!(
        site.finish().unwrap().status.success(),
        "one failure is retried"
    );

    let site = Site::new().unwrap();
    site.study(&format!("{failing}noop: {{tasks: 2, failures: 9}}\n"))
        .unwrap();
    let end = site.finish().unwrap();
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    assert_eq!(end.status.code(), Some(3), "{said}");
    let expected = "failed (task error): 2 tasks, such as noop 1";
    assert!(said.contains(expected), "{said}");
    let cause = "caused by: attempt 2 of a task that fails 9 times";
    assert!(said.contains(cause), "{said}");
}

#[test]
fn a_wrong_study_file_is_refused_with_its_place() {
    let site = Site::new().unwrap();
    site.study("version: 1\nname: noop\nspace: nasbench201\nnoop: {taks: 60}\n")
        .unwrap();
    let end = site.finish().unwrap();
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    assert_eq!(end.status.code(), Some(2), "{said}");
    assert!(
        said.contains("study.yaml:4:8") && said.contains("did you mean `tasks`"),
        "{said}"
    );
}
