//! Workers that say what no real one would: nothing of another's is lost by it, and
//! status, exit code and table keep agreeing.

use std::time::Duration;

use reprise_domain::{AttemptOutcome, Digest, Failure, FailureClass, TaskResult, Usage};
use reprise_tests::Site;
use reprise_tests::fleet::{Fleet, Standing, said};
use reprise_tests::hostile::HostileWorker;

const LIMIT: Duration = Duration::from_mins(2);

const SEARCH: &str = "version: 1
name: hostile
space: nasbench201
benchmark: {builtin: nasbench201-digits}
search:
  datasets: [digits]
  budget: {queries: 12}
  seeds: 1..1
  methods: [{name: random}]
";

const NOOP: &str = "version: 1
name: hostile
space: nasbench201
retry: {attempts: 1}
noop: {tasks: 2}
";

fn served(site: &Site, workers: usize, study: &str) -> Fleet {
    let mut fleet = Fleet::local(site.path(), workers).unwrap();
    fleet.serve().unwrap();
    fleet.submit(study).unwrap();
    fleet
}

fn finished(result: TaskResult) -> AttemptOutcome {
    AttemptOutcome::Finished {
        result,
        usage: Usage::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_of_another_kind_finishes_no_task() {
    let site = Site::new().unwrap();
    let mut fleet = served(&site, 1, SEARCH);
    let mut hostile = HostileWorker::greet(fleet.url(), 7, "hostile".to_owned())
        .await
        .unwrap();
    let attempt = hostile.assignment().await.unwrap();
    hostile
        .report(attempt, &finished(TaskResult::Noop))
        .await
        .unwrap();
    let standing = fleet.standing("hostile").unwrap();
    assert_eq!(standing.finished, 0, "{standing:?}");

    // Somebody honest finishes it, and the table says what the status says.
    drop(hostile);
    fleet.work().unwrap();
    fleet.finish("hostile", LIMIT).unwrap();
    let table = std::fs::read_to_string(fleet.export("hostile").unwrap().join("table.md"));
    let table = table.unwrap();
    assert!(
        table.contains("random") && !table.contains("not finished"),
        "{table}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_removes_no_file_of_another() {
    let site = Site::new().unwrap();
    let fleet = served(&site, 0, NOOP);
    let mut hostile = HostileWorker::greet(fleet.url(), 7, "hostile".to_owned())
        .await
        .unwrap();
    let content = b"an embedding of somebody else";
    let digest = Digest::from_bytes(*blake3::hash(content).as_bytes());
    let foreign = hostile.put(digest, content).await.unwrap();
    assert!(hostile.has(digest).await.unwrap());

    let attempt = hostile.assignment().await.unwrap();
    hostile.checkpoint(attempt, foreign, 1).unwrap();
    // Each further one would remove the one before; the end removes the last.
    hostile.checkpoint(attempt, foreign, 2).unwrap();
    hostile
        .report(attempt, &finished(TaskResult::Noop))
        .await
        .unwrap();
    assert!(hostile.has(digest).await.unwrap(), "the file is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_megabytes_is_refused_and_not_recorded() {
    let site = Site::new().unwrap();
    let fleet = served(&site, 0, NOOP);
    let greeted = HostileWorker::greet(fleet.url(), 7, "h".repeat(10 << 20)).await;
    assert!(greeted.is_err(), "welcomed");
    let log = fleet.journal().with_extension("sqlite-wal");
    let bytes = std::fs::metadata(log).unwrap().len();
    assert!(bytes < 1 << 20, "the journal has grown to {bytes} bytes");
    assert_eq!(fleet.standing("hostile").unwrap().planned, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_with_thousands_of_lines_is_told_in_few() {
    let site = Site::new().unwrap();
    let fleet = served(&site, 0, NOOP);
    let mut hostile = HostileWorker::greet(fleet.url(), 7, "hostile".to_owned())
        .await
        .unwrap();
    let outcome = AttemptOutcome::Failed(Failure {
        class: FailureClass::Permanent,
        message: "no\u{1b}[31m luck\nerror: a line of its own".repeat(1000),
        log: vec!["x".repeat(1000); 2000],
    });
    for _ in 0..2 {
        let attempt = hostile.assignment().await.unwrap();
        assert!(hostile.report(attempt, &outcome).await.unwrap());
    }
    let standing: Standing = fleet.standing("hostile").unwrap();
    assert_eq!(standing.failed, 2, "{standing:?}");
    let out = site.path().join("out");
    let mut export = fleet.ask(&["export", "hostile"]);
    let output = export.arg("--out").arg(out).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let told = output.stderr.len() + output.stdout.len();
    assert!(told < 64 << 10, "{told} bytes for two failures");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains('\u{1b}'), "an escape reached the terminal");
    assert!(!text.contains("\nerror: a line"), "{text}");
    said(fleet.ask(&["status", "hostile"])).unwrap();
}
