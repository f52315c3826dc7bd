//! A coordinator whose disk is full for a while: what could not be stored then is
//! stored later, over the same connection.

use std::time::Duration;

use reprise_skip::{Lack, skip};
use reprise_tests::Site;
use reprise_tests::chaos::disk::Disk;
use reprise_tests::fleet::{Fleet, START};
use reprise_tests::journal;
use reprise_tests::process::wait_until;

const STUDY: &str = "version: 1
name: full
space: nasbench201
pretrain:
  - {model: arch2vec, seeds: 1..1, epochs: 2, batch: 32, latent-points: 100}
";

#[test]
fn a_result_refused_by_a_full_disk_is_delivered_when_there_is_room() {
    if !Disk::can_mount() {
        skip(Lack::Program, "a small disk can be mounted by root only").unwrap();
        return;
    }
    let site = Site::new().unwrap();
    let disk = Disk::mount(&site.path().join("state"), 32).unwrap();
    let mut fleet = Fleet::local(site.path(), 1).unwrap();
    fleet.serve().unwrap();
    fleet.submit(STUDY).unwrap();
    fleet.work().unwrap();
    wait_until(START, "the worker pretrains", || {
        Ok(fleet.standing("full")?.running == 1)
    })
    .unwrap();
    disk.fill().unwrap();
    wait_until(START, "the upload is refused", || {
        Ok(fleet.workers[0].log()?.contains("not uploaded"))
    })
    .unwrap();
    disk.free().unwrap();
    fleet.finish("full", Duration::from_mins(1)).unwrap();
    assert_eq!(fleet.coordinator.starts(), 1, "the coordinator stopped");
    fleet.coordinator.kill().unwrap();
    let journal = journal::read(&fleet.journal()).unwrap();
    assert_eq!(journal.mistakes(None), [""; 0]);
    assert_eq!(journal.attempts(), 1);
}
