//! Seeds that are pretrained together: a pack on a machine that is taken away goes on
//! elsewhere, all of it, and finds what an undisturbed pack finds.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use reprise_tests::fleet::Fleet;
use reprise_tests::process::{Process, wait_until};
use reprise_tests::program;

const SEEDS: usize = 3;

const STUDY: &str = "version: 1
name: packed
space: nasbench201
pretrain:
  - {model: arch2vec, seeds: 1..3, epochs: 1, batch: 64}
";

const LIMIT: Duration = Duration::from_mins(3);

/// A worker that is started now.
fn started(fleet: &Fleet, home: &Path, name: &str, more: &'static [&str]) -> io::Result<Process> {
    let (url, directory) = (fleet.url().to_owned(), home.join(name));
    let mut process = Process::new(name, &home.join(format!("{name}.log")), move || {
        let mut command = Command::new(program("reprise-worker"));
        command.args(["--coordinator", &url, "--directory"]);
        command.arg(&directory).args(["--device", "cpu"]).args(more);
        command.env("NO_COLOR", "1");
        command
    });
    process.start()?;
    Ok(process)
}

fn fleet(home: &Path) -> io::Result<Fleet> {
    let mut fleet = Fleet::local(home, 0)?;
    fleet.serve()?;
    fleet.submit(STUDY)?;
    Ok(fleet)
}

/// The study's exported table.
fn table(fleet: &Fleet) -> io::Result<String> {
    std::fs::read_to_string(fleet.export("packed")?.join("table.csv"))
}

#[test]
fn a_pack_goes_on_elsewhere_and_finds_what_an_undisturbed_one_finds() {
    let home = tempfile::tempdir().unwrap();
    let calm = fleet(home.path()).unwrap();
    let worker = started(&calm, home.path(), "calm", &["--pack", "4"]).unwrap();
    calm.finish("packed", LIMIT).unwrap();
    assert!(worker.log().unwrap().contains("pretraining a pack seeds=3"));
    let expected = table(&calm).unwrap();

    let home = tempfile::tempdir().unwrap();
    let packed = fleet(home.path()).unwrap();
    let often = &["--pack", "4", "--checkpoint-every", "1"];
    let mut first = started(&packed, home.path(), "first", often).unwrap();
    let saved = |log: &str| log.matches("checkpoint stored").count() >= SEEDS;
    wait_until(LIMIT, "every member is saved", || Ok(saved(&first.log()?))).unwrap();
    assert!(first.signal(Signal::SIGTERM).unwrap());
    assert!(first.wait(Duration::from_secs(20)).unwrap().success());
    let log = first.log().unwrap();
    assert!(log.contains("pretraining a pack seeds=3"), "{log}");

    let second = started(&packed, home.path(), "second", &["--pack", "4"]).unwrap();
    packed.finish("packed", LIMIT).unwrap();
    let log = second.log().unwrap();
    assert_eq!(
        log.matches("resumed from a checkpoint").count(),
        SEEDS,
        "{log}"
    );
    assert!(log.contains("pretraining a pack seeds=3"), "{log}");

    // Bit by bit: both are of one engine.
    assert_eq!(table(&packed).unwrap(), expected);
}
