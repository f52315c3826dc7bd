//! Two coordinators on one PostgreSQL database: when the leader is killed, the
//! other one takes the study over and nothing is lost.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use reprise_tests::fleet::{Fleet, free_port, serve, worker};
use reprise_tests::postgres::PrivateServer;
use reprise_tests::process::{Process, wait_until};

const STUDY: &str = "version: 1
name: taken-over
space: nasbench201
noop: {tasks: 600, hold-ms: 20}
";

const LIMIT: Duration = Duration::from_mins(2);

/// The longest that a study may stand still.
const PAUSE: Duration = Duration::from_secs(5);

/// A coordinator on the database, in a directory of its own, not started.
fn coordinator(home: &Path, database: &str, workers: Vec<Process>) -> io::Result<Fleet> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let artifacts = home.with_file_name("artifacts");
    let (state, database) = (home.join("state"), database.to_owned());
    std::fs::create_dir_all(home)?;
    let url = format!("http://{listen}");
    let process = Process::new("coordinator", &home.join("coordinator.log"), move || {
        let mut command = serve(&listen, &state);
        command
            .args(["--database", &database, "--artifacts"])
            .arg(&artifacts)
            .env("NO_COLOR", "1");
        command
    });
    Ok(Fleet::of(home, &url, process, workers))
}

#[test]
fn a_killed_leader_is_replaced_within_seconds_and_no_result_is_lost() {
    let Some(database) = PrivateServer::start().unwrap() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let mut leader = coordinator(&home.path().join("a"), &database.url(), Vec::new()).unwrap();
    leader.serve().unwrap();
    let mut standby = coordinator(&home.path().join("b"), &database.url(), Vec::new()).unwrap();
    standby.coordinator.start().unwrap();
    wait_until(LIMIT, "the other one stands by", || {
        Ok(standby.coordinator.log()?.contains("standing by"))
    })
    .unwrap();

    leader.submit(STUDY).unwrap();
    let addresses = format!("{},{}", leader.url(), standby.url());
    for name in ["c", "d"] {
        let (addresses, directory) = (addresses.clone(), home.path().join(name));
        let log = home.path().join(format!("{name}.log"));
        let process = Process::new(name, &log, move || worker(&addresses, &directory));
        standby.workers.push(process);
    }
    standby.work().unwrap();
    let finished = |fleet: &Fleet| {
        fleet
            .standing("taken-over")
            .map_or(0, |stand| stand.finished)
    };
    wait_until(
        LIMIT,
        "a third is finished",
        || Ok(finished(&leader) >= 200),
    )
    .unwrap();
    let before = finished(&leader);
    leader.coordinator.kill().unwrap();
    let killed = Instant::now();
    wait_until(LIMIT, "the study goes on", || {
        Ok(finished(&standby) > before)
    })
    .unwrap();
    let pause = killed.elapsed();
    assert!(pause < PAUSE, "the study stood still for {pause:?}");

    standby.finish("taken-over", LIMIT).unwrap();
    let manifest = standby.export("taken-over").unwrap().join("manifest.json");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    assert!(
        manifest.contains("\"finished\": 600") && manifest.contains("\"attempts\": 600"),
        "{manifest}"
    );
}
