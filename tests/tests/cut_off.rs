//! A worker that is cut off for longer than it is waited for: what it runs goes on, and
//! counts when it is back.

use std::time::Duration;

use reprise_tests::Site;
use reprise_tests::chaos::proxy::Proxy;
use reprise_tests::fleet::{Fleet, START, free_port, serve, worker};
use reprise_tests::journal;
use reprise_tests::process::{Process, wait_until};

/// A pretraining that takes longer than the worker is away.
const STUDY: &str = "version: 1
name: cut-off
space: nasbench201
pretrain:
  - {model: arch2vec, seeds: 1..1, epochs: 30, batch: 32, latent-points: 100}
";

const LIMIT: Duration = Duration::from_mins(5);

#[test]
fn a_worker_that_is_cut_off_for_longer_than_the_grace_keeps_its_attempt() {
    let site = Site::new().unwrap();
    let port = free_port().unwrap();
    let (listen, state) = (format!("127.0.0.1:{port}"), site.path().join("state"));
    let log = site.path().join("coordinator.log");
    let coordinator = Process::new("coordinator", &log, move || {
        let mut command = serve(&listen, &state);
        // As the defaults, 15 s and 30 s, but shorter.
        command.args(["--heartbeat-timeout", "3s", "--reconnect-grace", "2s"]);
        command
    });
    let proxy = Proxy::start(port).unwrap();
    let (proxied, directory) = (proxy.url(), site.path().join("worker"));
    let log = site.path().join("worker.log");
    let process = Process::new("worker", &log, move || worker(&proxied, &directory));
    let url = format!("http://127.0.0.1:{port}");
    let mut fleet = Fleet::of(site.path(), &url, coordinator, vec![process]);
    fleet.serve().unwrap();
    fleet.submit(STUDY).unwrap();
    fleet.work().unwrap();
    wait_until(START, "it pretrains", || {
        Ok(fleet.standing("cut-off")?.running == 1)
    })
    .unwrap();

    proxy.stall(true);
    wait_until(START, "the worker counts as lost", || {
        Ok(fleet.standing("cut-off")?.running == 0)
    })
    .unwrap();
    proxy.stall(false);
    proxy.cut();
    fleet.finish("cut-off", LIMIT).unwrap();
    fleet.coordinator.kill().unwrap();
    let journal = journal::read(&fleet.journal()).unwrap();
    assert_eq!(journal.mistakes(None), [""; 0]);
    assert_eq!(journal.attempts(), 1, "{:?}", journal.events);
}
