//! A client in another language, generated from the schema alone, drives a study
//! through a real coordinator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reprise_skip::{Lack, skip};
use reprise_tests::fleet::Fleet;

/// What the client is made with, pinned so that a new release cannot break the test.
const PACKAGES: [&str; 2] = ["grpcio==1.74.0", "grpcio-tools==1.74.0"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}{error}");
    Ok(said)
}

/// A Python with the packages, made once and kept in the target directory.
fn python() -> anyhow::Result<PathBuf> {
    let home = root().join("target/python-client");
    let python = home.join("bin/python");
    let complete = home.join(PACKAGES.join("-"));
    if !complete.exists() {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&home))?;
        run(Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(PACKAGES))?;
        std::fs::write(complete, "")?;
    }
    Ok(python)
}

#[test]
fn a_generated_client_submits_watches_and_reads_results() {
    let python = match python() {
        Ok(python) => python,
        Err(error) => {
            return skip(
                Lack::Program,
                &format!("no Python with grpcio-tools: {error}"),
            )
            .unwrap();
        }
    };
    let home = tempfile::tempdir().unwrap();
    let mut fleet = Fleet::local(home.path(), 1).unwrap();
    fleet.serve().unwrap();
    fleet.work().unwrap();
    let schema = root().join("proto/schema");
    let generated = home.path().join("generated");
    std::fs::create_dir(&generated).unwrap();
    let mut generate = Command::new(&python);
    generate
        .args(["-m", "grpc_tools.protoc"])
        .arg(format!("-I{}", schema.display()));
    for language in ["python", "grpc_python"] {
        generate.arg(format!("--{language}_out={}", generated.display()));
    }
    for name in ["common", "record", "study", "task", "operation"] {
        generate.arg(format!("reprise/v1/{name}.proto"));
    }
    run(&mut generate).unwrap();

    fleet
        .submit("version: 1\nname: first\nspace: nasbench201\nnoop: {tasks: 3}\n")
        .unwrap();
    fleet.finish("first", Duration::from_mins(1)).unwrap();
    let mut client = Command::new(&python);
    client
        .arg(root().join("tests/python/client.py"))
        .arg(fleet.url().trim_start_matches("http://"))
        .env("PYTHONPATH", &generated);
    let said = run(&mut client).unwrap();
    assert_eq!(said.trim(), "second: done, 3 of 3 finished, 3 results");
}
