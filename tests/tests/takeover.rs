//! Two coordinators on one PostgreSQL database: when the leader is killed, the
//! other one takes the study over and nothing is lost.

use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use reprise_tests::postgres::PrivateServer;
use reprise_tests::serving::{Serving, Worker, until};

const STUDY: &str = "version: 1
name: taken-over
space: nasbench201
noop: {tasks: 600, hold-ms: 20}
";

/// The longest that a study may stand still.
const PAUSE: Duration = Duration::from_secs(5);

fn free_url() -> io::Result<String> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    Ok(format!("http://{address}"))
}

/// Finished tasks by `reprise status`; none while the coordinator is not there.
fn finished(serving: &Serving) -> Option<u64> {
    let table = serving.succeed(&["status", "taken-over"]).ok()?;
    let total = table.lines().find(|line| line.starts_with("all "))?;
    total.split_whitespace().nth(2)?.parse().ok()
}

#[test]
fn a_killed_leader_is_replaced_within_seconds_and_no_result_is_lost() {
    let Some(database) = PrivateServer::start().unwrap() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let artifacts = directory.path().join("artifacts").display().to_string();
    let (database, urls) = (database.url(), [free_url().unwrap(), free_url().unwrap()]);
    let more = ["--database", &database, "--artifacts", &artifacts];
    let launch = |name: &str, url: &str| {
        Serving::launch(&directory.path().join(name), Some(url), &more).unwrap()
    };
    let mut leader = launch("first", &urls[0]);
    leader.wait_until_it_serves().unwrap();
    let standby = launch("second", &urls[1]);
    standby.wait_for("standing by").unwrap();

    leader.submit(STUDY).unwrap();
    let all = urls.join(",");
    let _workers =
        ["a", "b"].map(|name| Worker::start(&directory.path().join(name), &all, &[]).unwrap());
    until("a third is finished", || {
        Ok(finished(&leader).is_some_and(|count| count >= 200))
    })
    .unwrap();
    let before = finished(&leader).unwrap();
    leader.kill().unwrap();
    let killed = Instant::now();
    until("the study goes on", || {
        Ok(finished(&standby).is_some_and(|count| count > before))
    })
    .unwrap();
    let pause = killed.elapsed();
    assert!(pause < PAUSE, "the study stood still for {pause:?}");

    standby.succeed(&["watch", "taken-over"]).unwrap();
    standby
        .succeed(&["export", "taken-over", "--out", "out"])
        .unwrap();
    let manifest = directory.path().join("second/out/manifest.json");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    assert!(
        manifest.contains("\"finished\": 600") && manifest.contains("\"attempts\": 600"),
        "{manifest}"
    );
}
