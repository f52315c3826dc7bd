//! A machine that is taken away with notice: what it was doing goes on elsewhere
//! and ends with the same bytes.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use reprise_tests::fleet::{Fleet, worker};
use reprise_tests::process::{Process, wait_until};

const STUDY: &str = "version: 1
name: preempted
space: nasbench201
pretrain:
  - {model: arch2vec, seeds: 1..1, epochs: 2, batch: 32}
";

const LIMIT: Duration = Duration::from_mins(2);

/// Digests of all artifacts that a fleet has stored, in order.
fn artifacts(home: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for group in fs::read_dir(home.join("state/artifacts"))? {
        let group = group?;
        // The shared area is in folders of two digits; checkpoints and logs are apart.
        if group.file_name().len() != 2 {
            continue;
        }
        for file in fs::read_dir(group.path())? {
            names.push(file?.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Checkpoints in the areas of all attempts.
fn checkpoints(home: &Path) -> io::Result<usize> {
    let mut files = 0;
    let mut open = vec![home.join("state/artifacts/checkpoints")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                files += 1;
            }
        }
    }
    Ok(files)
}

/// A worker that is started now, with further arguments.
fn started(fleet: &Fleet, home: &Path, name: &str, more: &'static [&str]) -> io::Result<Process> {
    let (url, directory) = (fleet.url().to_owned(), home.join(name));
    let mut process = Process::new(name, &home.join(format!("{name}.log")), move || {
        let mut command = worker(&url, &directory);
        command.args(more).env("NO_COLOR", "1");
        command
    });
    process.start()?;
    Ok(process)
}

fn says(process: &Process, text: &str) -> io::Result<()> {
    let what = format!("`{}` says `{text}`", process.name());
    wait_until(LIMIT, &what, || Ok(process.log()?.contains(text)))
}

#[test]
fn pretraining_goes_on_elsewhere_and_ends_with_the_same_digests() {
    let home = tempfile::tempdir().unwrap();
    let mut calm = Fleet::local(home.path(), 1).unwrap();
    calm.serve().unwrap();
    calm.submit(STUDY).unwrap();
    calm.work().unwrap();
    calm.finish("preempted", LIMIT).unwrap();
    let expected = artifacts(home.path()).unwrap();
    assert_eq!(expected.len(), 2, "a checkpoint and an embedding");

    let home = tempfile::tempdir().unwrap();
    let mut rough = Fleet::local(home.path(), 0).unwrap();
    rough.serve().unwrap();
    rough.submit(STUDY).unwrap();
    let often = &["--checkpoint-every", "1"];
    let mut first = started(&rough, home.path(), "first", often).unwrap();
    // The periodic one: the task is under way by then.
    says(&first, "checkpoint stored").unwrap();
    assert!(first.signal(Signal::SIGTERM).unwrap());
    // Well within the 30 s that a spot machine is given.
    assert!(first.wait(Duration::from_secs(20)).unwrap().success());
    let log = first.log().unwrap();
    assert!(log.matches("checkpoint stored").count() >= 2, "{log}");
    let kept = checkpoints(home.path()).unwrap();
    assert_eq!(kept, 1, "only the newest checkpoint is kept");

    let second = started(&rough, home.path(), "second", &[]).unwrap();
    says(&second, "resumed from a checkpoint").unwrap();
    rough.finish("preempted", LIMIT).unwrap();
    // The checkpoint that nobody needs any more is removed after the commit.
    wait_until(LIMIT, "the artifacts are those of the calm run", || {
        Ok(artifacts(home.path())? == expected && checkpoints(home.path())? == 0)
    })
    .unwrap();
}
