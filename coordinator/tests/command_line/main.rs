//! The command line as a process: exit codes, bounded reads, and what reaches the
//! terminal. What the commands do is tested elsewhere.

mod journal;
mod stand;

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::sys::signal::Signal;
use reprise_tests::process::wait_until;
use stand::{Ended, NOOP, PATIENCE, Stand, run};

fn assert_wrong_input(ended: &Ended, expected: &str) {
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(ended.said.contains(expected), "{}", ended.said);
}

#[test]
fn a_study_that_is_not_a_readable_text_file_is_wrong_input() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("latin.yaml"), b"name: caf\xe9\n").unwrap();
    fs::write(path("long.yaml"), vec![b'#'; (1 << 20) + 1]).unwrap();
    nix::unistd::mkfifo(Path::new(&path("pipe.yaml")), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (study, expected) in [
        (path("none.yaml"), "No such file"),
        (path(""), "is a directory"),
        (path("latin.yaml"), "is not UTF-8"),
        (path("long.yaml"), "more than 1048576 bytes"),
        (path("pipe.yaml"), "is a pipe"),
        ("/dev/zero".to_owned(), "is a device"),
    ] {
        for command in ["run", "submit"] {
            let state = path("state");
            let extra: &[&str] = match command {
                "run" => &["--state", &state],
                _ => &[],
            };
            let ended = run(&[&[command, &study], extra].concat(), &[]).unwrap();
            assert_wrong_input(&ended, expected);
        }
    }
}

#[test]
fn a_benchmark_that_cannot_be_read_is_wrong_input() {
    let directory = tempfile::tempdir().unwrap();
    let study = directory.path().join("study.yaml");
    fs::write(
        directory.path().join("table.csv"),
        "name;\x1b[31mvalue\u{202e}\n1;2\n",
    )
    .unwrap();
    fs::create_dir(directory.path().join("folder")).unwrap();
    for source in ["table: table.csv", "table: none.csv", "nats: folder"] {
        let text = format!(
            "version: 1\nname: a\nspace: nasbench201\nbenchmark: {{{source}}}\n\
             search:\n  datasets: [cifar10]\n  budget: {{queries: 10}}\n  seeds: 1..2\n  \
             methods: [{{name: random}}]\n"
        );
        fs::write(&study, text).unwrap();
        let ended = run(&["submit", &study.display().to_string()], &[]).unwrap();
        assert_wrong_input(&ended, "error: read benchmark");
        assert!(
            !ended.said.contains(['\x1b', '\u{202e}']),
            "{:?}",
            ended.said
        );
    }
}

#[test]
fn a_file_that_is_not_a_credential_is_wrong_input_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("worker.pem");
    let shown = path.display().to_string();
    let listed = |file: &str| {
        let to = "https://127.0.0.1:1";
        run(&["list", "--coordinator", to, "--credential", file], &[]).unwrap()
    };
    assert_wrong_input(&listed(&shown), "No such file");
    assert_wrong_input(&listed("/dev/zero"), "is a device");
    fs::write(&path, "no certificate\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    assert_wrong_input(&listed(&shown), &format!("chmod 600 {shown}"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_wrong_input(
        &listed(&shown),
        &format!("`{shown}` has no readable certificate"),
    );
}

#[test]
fn wrong_arguments_are_wrong_input() {
    for (arguments, expected) in [
        (
            &["list", "--coordinator", "ftp://x"][..],
            "is not a coordinator address",
        ),
        (
            &["serve", "--listen", "0.0.0.0:0", "--state", "STATE"],
            "--plaintext",
        ),
        (
            &[
                "serve",
                "--database",
                "postgres://a@b/c",
                "--state",
                "STATE",
            ],
            "--artifacts",
        ),
        (
            &["journal", "backup", "copy", "--state", "STATE"],
            "there is no journal",
        ),
        (
            &["fleet", "up", "--on", "slurm", "--max", "0"],
            "at least 1",
        ),
        (&["fleet", "status"], "there is no fleet"),
        (
            &["token", "worker", "--state", "STATE"],
            "no certificate authority",
        ),
        (&["status", "a\x1b[31mb"], "is not a study name"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state").display().to_string();
        let arguments: Vec<_> = arguments
            .iter()
            .map(|word| if *word == "STATE" { &state } else { *word })
            .collect();
        let ended = stand::run_in(directory.path(), &arguments, &[]).unwrap();
        assert_wrong_input(&ended, expected);
        assert!(!ended.said.contains('\x1b'), "{:?}", ended.said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_coordinator_refuses_of_a_request_is_wrong_input() {
    let stand = Stand::start().await.unwrap();
    let study = stand.study("study.yaml", NOOP).unwrap();
    let changed = stand
        .study("changed.yaml", &NOOP.replace("tasks: 3", "tasks: 4"))
        .unwrap();
    for command in ["status", "watch", "pause", "resume", "cancel", "export"] {
        assert_wrong_input(&stand.run(&[command, "none"]).unwrap(), "`none`");
    }
    let submitted = stand.run(&["submit", &study]).unwrap();
    assert_eq!(submitted.code, Some(0), "{}", submitted.said);
    assert_wrong_input(&stand.run(&["submit", &changed]).unwrap(), "another spec");
    assert_eq!(stand.run(&["cancel", "noop"]).unwrap().code, Some(0));
    assert_wrong_input(&stand.run(&["resume", "noop"]).unwrap(), "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_that_is_held_or_ended_says_so_and_what_to_do() {
    let stand = Stand::start().await.unwrap();
    let study = stand.study("study.yaml", NOOP).unwrap();
    let data = |arguments: &[&str]| {
        let ended = stand.run(arguments).unwrap();
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.said);
        ended.data
    };
    data(&["submit", &study]);
    data(&["pause", "noop"]);
    let paused = "noop: paused; `reprise resume noop` lets it go on\n";
    let status = data(&["status", "noop"]);
    assert!(status.starts_with(paused), "{status}");
    let log = stand.path("watch.log");
    let mut watch = stand.watch("noop", &log).unwrap();
    let said = wait_until(PATIENCE, "the watch says why nothing moves", || {
        Ok(fs::read_to_string(&log)?.contains(paused))
    });
    watch.kill().unwrap();
    watch.wait().unwrap();
    said.unwrap();
    data(&["cancel", "noop"]);
    let status = data(&["status", "noop"]);
    let expected = "noop: cancelled; submitting it again takes it up\n";
    assert!(status.starts_with(expected), "{status}");
    let watched = stand.run(&["watch", "noop"]).unwrap();
    assert_eq!(watched.code, Some(3), "{}", watched.said);
    assert!(watched.said.contains("3 cancelled"), "{}", watched.said);

    let json = |arguments: &[&str]| -> serde_json::Value {
        let data = data(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&data).unwrap()
    };
    assert_eq!(json(&["retry", "noop"])["tasks"], 0);
    assert_eq!(json(&["gc"])["removed"], 0);
    assert_eq!(json(&["delete", "noop"])["deleted"], "noop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_when_the_coordinator_is_back() {
    let stand = Stand::start().await.unwrap();
    let study = stand.study("study.yaml", NOOP).unwrap();
    assert_eq!(stand.run(&["submit", &study]).unwrap().code, Some(0));
    let log = stand.path("watch.log");
    let mut child = stand.watch("noop", &log).unwrap();
    let says = |what: &str| {
        wait_until(PATIENCE, what, || {
            Ok(fs::read_to_string(&log)?.contains(what))
        })
    };
    says("noop").unwrap();
    let stand = stand.restart(|| says("dialling again")).await.unwrap();
    assert_eq!(stand.run(&["cancel", "noop"]).unwrap().code, Some(0));
    let ended = wait_until(PATIENCE, "the watch ends", || {
        Ok(child.try_wait()?.is_some())
    });
    child.kill().unwrap();
    ended.unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("3 cancelled"), "{said}");
}

#[test]
fn help_shows_no_secret_and_every_exit_code() {
    let secret = [
        ("REPRISE_DATABASE", "postgres://a:hunter2@b/c"),
        ("REPRISE_CREDENTIAL", "hunter2.pem"),
    ];
    for command in ["serve", "list", "submit", "export", "fleet up"] {
        let words: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let ended = run(&words, &secret).unwrap();
        assert_eq!(ended.code, Some(0));
        assert!(!ended.data.contains("hunter2"), "{command}: {}", ended.data);
    }
    let help = run(&["--help"], &[]).unwrap().data;
    for code in ["0", "1", "2", "3", "4", "5", "129", "130", "143"] {
        let found = help
            .lines()
            .any(|line| line.trim_start().starts_with(&format!("{code}  ")));
        assert!(found, "no exit code {code} in {help}");
    }
    let fleet = run(&["fleet", "up", "--help"], &[]).unwrap().data;
    assert!(
        fleet.contains("5  budget of the fleet spent") && !fleet.contains("4 budget"),
        "{fleet}"
    );
}

#[test]
fn a_place_for_tables_that_cannot_be_written_is_refused_before_the_work() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("study.yaml"), NOOP).unwrap();
    fs::write(directory.path().join("taken"), "").unwrap();
    for out in ["/proc/tables", "taken"] {
        let arguments = ["run", "study.yaml", "--out", out, "--state", "state"];
        let ended = stand::run_in(directory.path(), &arguments, &[]).unwrap();
        assert_wrong_input(&ended, &format!("error: write to `{out}`"));
        assert!(!directory.path().join("state").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_for_an_export_that_cannot_be_written_is_wrong_input() {
    let stand = Stand::start().await.unwrap();
    let study = stand.study("study.yaml", NOOP).unwrap();
    assert_eq!(stand.run(&["submit", &study]).unwrap().code, Some(0));
    fs::write(stand.path("taken"), "").unwrap();
    for out in ["/proc/tables", "taken"] {
        let ended = stand.run(&["export", "noop", "--out", out]).unwrap();
        assert_wrong_input(&ended, &format!("error: write to `{out}`"));
    }
    for out in ["/proc/noop.tar", "taken/noop.tar", "none/noop.tar"] {
        let arguments = ["archive", "noop", "--out", out];
        assert_wrong_input(&stand.run(&arguments).unwrap(), "error: write `");
        // Before anything is asked of the coordinator.
        let alone = [&arguments[..], &["--coordinator", "http://127.0.0.1:1"]].concat();
        assert_wrong_input(&stand.run(&alone).unwrap(), "error: write `");
    }
    // Nothing is left of an archive that was begun.
    let ended = stand
        .run(&["archive", "none", "--out", "none.tar"])
        .unwrap();
    assert_wrong_input(&ended, "`none`");
    assert!(!stand.path("none.tar.part").exists());
}

#[test]
fn a_run_with_another_spec_says_that_it_goes_on_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (worker, began) = (path("worker"), path("began"));
    fs::write(&worker, "#!/bin/sh\n: >\"$NOTE\"\nexec sleep 1000\n").unwrap();
    fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).unwrap();
    let run = |tasks: &str, more: &[&str]| {
        fs::write(path("study.yaml"), NOOP.replace("tasks: 3", tasks)).unwrap();
        let arguments = ["run", "study.yaml", "--workers", "1", "--state", "state"];
        let variables = [
            ("REPRISE_WORKER", worker.to_str().unwrap()),
            ("NOTE", began.to_str().unwrap()),
        ];
        let ended = stand::interrupted(
            directory.path(),
            &[&arguments, more].concat(),
            &variables,
            || Ok(began.exists()),
            Signal::SIGINT,
        );
        fs::remove_file(&began).unwrap();
        ended.unwrap().said
    };
    run("tasks: 3", &[]);
    let again = run("tasks: 3", &[]);
    assert!(again.contains("noop: taken up again; 0 of 3"), "{again}");
    let amended = run("tasks: 4", &["--amend"]);
    let expected = "noop: goes on with this spec; 0 of 4";
    assert!(amended.contains(expected), "{amended}");
}

#[test]
fn an_argument_that_is_not_utf8_is_wrong_input() {
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.yaml");
    let ended = stand::run_os(Path::new("."), &["run".as_ref(), name], &[]).unwrap();
    assert_wrong_input(&ended, "No such file");
}

#[test]
fn a_signal_ends_a_run_in_order_and_its_workers_get_no_secret() {
    for (signal, code) in [
        (Signal::SIGINT, 130),
        (Signal::SIGTERM, 143),
        (Signal::SIGHUP, 129),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let worker = directory.path().join("worker");
        let variables = directory.path().join("variables");
        // A worker that notes its environment and then takes its time.
        fs::write(
            &worker,
            "#!/bin/sh\nenv >\"$NOTE.new\"\nmv \"$NOTE.new\" \"$NOTE\"\nexec sleep 1000\n",
        )
        .unwrap();
        fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(directory.path().join("study.yaml"), NOOP).unwrap();
        let ended = stand::interrupted(
            directory.path(),
            &["run", "study.yaml", "--workers", "1", "--state", "state"],
            &[
                ("REPRISE_WORKER", worker.to_str().unwrap()),
                ("NOTE", variables.to_str().unwrap()),
                ("PGPASSWORD", "hunter2"),
                ("AWS_SECRET_ACCESS_KEY", "hunter2"),
                ("REPRISE_CREDENTIAL", "hunter2.pem"),
            ],
            || Ok(variables.exists()),
            signal,
        )
        .unwrap();
        assert_eq!(ended.code, Some(code), "{}", ended.said);
        assert!(
            ended.said.contains("interrupted; finished tasks are kept")
                && !ended.said.contains("error"),
            "{}",
            ended.said
        );
        let variables = fs::read_to_string(variables).unwrap();
        assert!(
            variables.contains("PATH=") && !variables.contains("hunter2"),
            "{variables}"
        );
    }
}
