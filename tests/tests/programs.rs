//! Programs of studies: real ones, well behaved and not, under workers that are killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use reprise_domain::FailureClass;
use reprise_domain::status::StudyStatus;
use reprise_skip::{Lack, skip};
use reprise_tests::fleet::{Fleet, said, worker};
use reprise_tests::process::{Process, wait_until};
use reprise_tests::{Site, said_by};

const LIMIT: Duration = Duration::from_mins(2);

/// A worker that runs programs, started now.
fn started(fleet: &Fleet, home: &Path, name: &str) -> io::Result<Process> {
    let (url, directory) = (fleet.url().to_owned(), home.join(name));
    let mut process = Process::new(name, &home.join(format!("{name}.log")), move || {
        let mut command = worker(&url, &directory);
        command.args(["--allow-programs", "--checkpoint-every", "1"]);
        command.env("NO_COLOR", "1");
        command
    });
    process.start()?;
    Ok(process)
}

/// Processes of attempts below a directory.
fn left(home: &Path) -> io::Result<usize> {
    let mark = format!("REPRISE_DIRECTORY={}", home.canonicalize()?.display());
    let processes = fs::read_dir("/proc")?.flatten();
    let marked = processes.filter(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable.starts_with(mark.as_bytes()))
    });
    Ok(marked.count())
}

fn nothing_is_left(home: &Path) {
    wait_until(LIMIT, "no process is left", || Ok(left(home)? == 0)).unwrap();
}

fn status(fleet: &Fleet, study: &str) -> io::Result<StudyStatus> {
    let json = said(fleet.ask(&["status", study, "--output", "json"]))?;
    serde_json::from_str(&json).map_err(io::Error::other)
}

/// A column of a CSV file.
fn column(text: &str, name: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let place = names.iter().position(|known| known == name).unwrap();
    let rows = reader.records();
    rows.map(|row| row.unwrap()[place].to_owned()).collect()
}

#[test]
fn a_grid_is_run_and_ends_as_a_table() {
    let site = Site::new().unwrap();
    fs::write(
        site.path().join("measure.sh"),
        "printf '{\"step\": 1, \"sum\": 0}\\n' >> \"$REPRISE_METRICS\"\n\
         echo \"a log line of seed $2\"\n\
         printf '{\"step\": 2, \"sum\": %d}\\n' $(($1 + $2)) >> \"$REPRISE_METRICS\"\n\
         cp measure.sh \"$REPRISE_ARTIFACTS/copy\" && : > \"$REPRISE_ARTIFACTS/empty\"\n\
         echo '{}' > \"$REPRISE_RESULT\"\n",
    )
    .unwrap();
    site.study(
        "version: 1
name: grid
experiments:
  - name: sums
    command: [sh, measure.sh, '{size}', '{seed}']
    files: [measure.sh]
    grid: {size: [10, -20]}
    seeds: 1..3
    metrics: {sum: {unit: points, goal: max}}
",
    )
    .unwrap();
    let output = site.finish().unwrap();
    let said = said_by(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("sums: runs `sh measure.sh {size} {seed}`, 6 times"),
        "{said}"
    );
    let table = site.out("experiments.csv").unwrap();
    let mut lines = table.lines();
    assert_eq!(
        lines.next().unwrap(),
        "experiment,size,planned,finished,failed,missing,\
         sum_n,sum_mean,sum_std,sum_median,sum_ci_low,sum_ci_high"
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("sums,10,3,3,0,0,3,12,1,12,1")
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("sums,-20,3,3,0,0,3,-18,1,-18,-1")
    );
    let runs = site.out("runs.csv").unwrap();
    let columns = ["size", "seed", "sum", "attempts"].map(|name| column(&runs, name));
    let [sizes, seeds, found, attempts] = columns;
    let sums: Vec<_> = sizes
        .into_iter()
        .zip(seeds)
        .zip(found)
        .zip(attempts)
        .map(|(((size, seed), sum), attempts)| (size, seed, sum, attempts))
        .collect();
    let expected = [(10, 1), (10, 2), (10, 3), (-20, 1), (-20, 2), (-20, 3)];
    let expected = expected.map(|(size, seed): (i32, i32)| {
        let text = |number: i32| number.to_string();
        (text(size), text(seed), text(size + seed), "1".to_owned())
    });
    assert_eq!(sums, expected);
    assert_eq!(site.out("table.csv").unwrap(), table);
    nothing_is_left(site.path());
}

/// Counts to five, and waits for a file before the fourth step. Its metric is the step
/// that the last attempt began with.
const COUNT: &str = "set -e
start=0
if [ -n \"$REPRISE_RESUME\" ]; then start=$(cat \"$REPRISE_RESUME/step\"); fi
step=$start
while [ $step -lt 5 ]; do
  while [ $step -eq 3 ] && [ ! -e \"$1\" ]; do sleep 0.05; done
  step=$((step + 1))
  printf '{\"step\": %d, \"begun\": %d}\\n' $step $start >> \"$REPRISE_METRICS\"
  mkdir \"$REPRISE_CHECKPOINT/.new\"
  echo $step > \"$REPRISE_CHECKPOINT/.new/step\"
  mv \"$REPRISE_CHECKPOINT/.new\" \"$REPRISE_CHECKPOINT/$step\"
done
printf '{\"begun\": %d}' $start > \"$REPRISE_RESULT.new\"
mv \"$REPRISE_RESULT.new\" \"$REPRISE_RESULT\"
";

/// Takes a worker away by a signal in the middle of two seeds, and has another process
/// go on in `second`.
fn taken_away(signal: Signal, second: &str) {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("count.sh"), COUNT).unwrap();
    let gate = home.path().join("gate");
    let mut fleet = Fleet::local(home.path(), 0).unwrap();
    fleet.serve().unwrap();
    let study = format!(
        "version: 1
name: counted
experiments:
  - name: count
    command: [sh, count.sh, '{}', '{{seed}}']
    files: [count.sh]
    seeds: 1..2
    metrics: [begun]
",
        gate.display()
    );
    fleet.submit(&study).unwrap();
    let mut first = started(&fleet, home.path(), "first").unwrap();
    let stored = "the coordinator has a checkpoint";
    wait_until(LIMIT, stored, || {
        Ok(first.log()?.contains("checkpoint stored"))
    })
    .unwrap();
    assert!(left(home.path()).unwrap() > 0, "the program runs");
    assert!(first.signal(signal).unwrap());
    wait_until(LIMIT, "the worker ends", || Ok(!first.is_running()?)).unwrap();
    nothing_is_left(home.path());
    fs::write(&gate, "").unwrap();
    let next = started(&fleet, home.path(), second).unwrap();
    fleet.finish("counted", LIMIT).unwrap();
    assert!(next.log().unwrap().contains("resumed from a checkpoint"));
    let out = fleet.export("counted").unwrap();
    let runs = fs::read_to_string(out.join("runs.csv")).unwrap();
    // The first seed went on from where it was saved; the second began anew, once.
    let seeds = column(&runs, "seed").into_iter();
    let begun: Vec<_> = seeds.zip(column(&runs, "begun")).collect();
    assert_eq!(begun.len(), 2, "{runs}");
    assert!(
        begun[0].0 == "1" && ["1", "2", "3"].contains(&begun[0].1.as_str()),
        "{runs}"
    );
    assert_eq!(begun[1], ("2".to_owned(), "0".to_owned()), "{runs}");
    let steps = said(fleet.ask(&["results", "counted", "--output", "json"])).unwrap();
    assert_eq!(steps.matches("\"steps\":5").count(), 2, "{steps}");
    nothing_is_left(home.path());
}

#[test]
fn a_killed_worker_costs_no_seed_and_leaves_nothing() {
    taken_away(Signal::SIGKILL, "first");
}

#[test]
fn a_worker_that_must_leave_hands_its_programs_to_another() {
    taken_away(Signal::SIGTERM, "second");
}

/// Programs that misbehave, each with what is said of it.
fn misbehaving(outside: &Path) -> Vec<(&'static str, String, FailureClass, &'static str)> {
    let python = |code: &str| format!("command: [python3, -c, \"{code}\"]");
    let shell = |code: &str| format!("command: [sh, -c, '{}']", code.replace('\'', "''"));
    vec![
        (
            "deaf",
            shell("trap \"\" TERM; while :; do sleep 1; done") + ", limits: {time: 2 s}",
            FailureClass::TimeLimit,
            "",
        ),
        (
            "talker",
            "command: [yes, 'much to say'], limits: {output: 1 MiB}".to_owned(),
            FailureClass::Permanent,
            "the program wrote more than 1 MiB to its output, its limit",
        ),
        (
            "hungry",
            python("x = [b'1' * 1000000 for _ in iter(int, 1)]") + ", limits: {memory: 64 MiB}",
            FailureClass::OutOfMemory,
            "more than its limit of 64 MiB",
        ),
        (
            "crowd",
            shell(
                "for i in 1 2 3 4 5 6 7 8; do python3 -c \"x = b'1' * 20000000; import time; time.sleep(60)\" & done; wait",
            ) + ", limits: {memory: 100 MiB}",
            FailureClass::OutOfMemory,
            "more than its limit of 100 MiB",
        ),
        (
            "intruder",
            shell(&format!("echo x > {} && exit 9; exit 8", outside.display())),
            FailureClass::Task,
            "the program exited with code",
        ),
        (
            "silent",
            "command: ['true']".to_owned(),
            FailureClass::Permanent,
            "the program exited with 0 and left no result",
        ),
        (
            "typo",
            shell("echo \"{{\\\"vale\\\": 1}}\" > $REPRISE_RESULT"),
            FailureClass::Permanent,
            "has the unknown metric `vale`; did you mean `value`?",
        ),
        (
            "undefined",
            shell("echo \"{{\\\"value\\\": NaN}}\" >> $REPRISE_METRICS; sleep 60"),
            FailureClass::Permanent,
            "`value` is NaN, expected a finite number",
        ),
        (
            "forgetful",
            shell("echo \"{{}}\" > $REPRISE_RESULT"),
            FailureClass::Permanent,
            "the metric `value` never appeared",
        ),
        (
            "crashed",
            shell("kill -SEGV $$"),
            FailureClass::Task,
            "the program was ended by SIGSEGV",
        ),
        (
            "patricide",
            shell("kill -KILL $PPID; sleep 600"),
            FailureClass::Task,
            "the supervisor of the program ended before it: signal: 9",
        ),
        (
            "absent",
            "command: [no-such-program]".to_owned(),
            FailureClass::Task,
            "`no-such-program` cannot be started: No such file",
        ),
    ]
}

#[test]
fn programs_that_misbehave_are_ended_with_a_reason_and_the_worker_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let outside = home.path().join("outside");
    let cases = misbehaving(&outside);
    let mut study = "version: 1\nname: bad\nretry: {attempts: 1}\nexperiments:\n".to_owned();
    for (name, settings, ..) in &cases {
        let entry = format!("  - {{name: {name}, {settings}, seeds: 1, metrics: [value]}}");
        writeln!(study, "{entry}").unwrap();
    }
    let mut fleet = Fleet::local(home.path(), 0).unwrap();
    fleet.serve().unwrap();
    fleet.submit(&study).unwrap();
    let mut worker = started(&fleet, home.path(), "worker").unwrap();
    let failed = cases.len() as u64;
    wait_until(LIMIT, "all have failed", || {
        Ok(fleet.standing("bad")?.failed == failed)
    })
    .unwrap();
    let groups = status(&fleet, "bad").unwrap().failures.groups;
    for (name, _, class, expected) in &cases {
        let tasks = said(fleet.ask(&["tasks", "bad", "--stage", name, "--output", "json"]));
        let tasks = tasks.unwrap();
        let json = |text: &str| {
            let text = serde_json::to_string(text).unwrap();
            text[1..text.len() - 1].to_owned()
        };
        let class = serde_json::to_string(class).unwrap();
        let is_told = tasks.contains(&class) && tasks.contains(&json(expected));
        assert!(is_told, "{name}: {tasks}\n{groups:#?}");
    }
    nothing_is_left(home.path());
    if outside.exists() {
        skip(Lack::Program, "the kernel has no Landlock").unwrap();
    }
    // It forks, daemonises, and leaves its session; another one was interrupted.
    let good = "version: 1
name: good
experiments:
  - name: parent
    command: [sh, -c, 'setsid sleep 600 & (setsid sh -c \"trap : TERM; sleep 600; sleep 600\" &) ; echo \"{{\\\"value\\\": 1}}\" > $REPRISE_RESULT']
    seeds: 1
    metrics: [value]
  - name: interrupted
    command: [sh, -c, 'if [ $REPRISE_ATTEMPT = 1 ]; then exit 75; fi; echo \"{{\\\"value\\\": 1}}\" > $REPRISE_RESULT']
    seeds: 1
    metrics: [value]
";
    fleet.submit(good).unwrap();
    fleet.finish("good", LIMIT).unwrap();
    nothing_is_left(home.path());
    assert!(worker.is_running().unwrap() && worker.starts() == 1);
    let programs = home.path().join("worker/programs");
    wait_until(LIMIT, "no directory is left", || {
        Ok(fs::read_dir(&programs)?.next().is_none())
    })
    .unwrap();
}

#[test]
fn a_study_says_that_no_worker_runs_programs() {
    let home = tempfile::tempdir().unwrap();
    let mut fleet = Fleet::local(home.path(), 1).unwrap();
    fleet.serve().unwrap();
    fleet.work().unwrap();
    fleet
        .submit("version: 1\nname: idle\nexperiments:\n  - {name: one, command: ['true'], seeds: 1..2, metrics: [x]}\n")
        .unwrap();
    wait_until(LIMIT, "the study says so", || {
        let unserved = status(&fleet, "idle")?.unserved;
        Ok(unserved.len() == 1 && unserved[0].tasks == 2)
    })
    .unwrap();
    let text = said(fleet.ask(&["status", "idle"])).unwrap();
    let expected = "idle: 2 tasks wait for a worker with `--allow-programs`; none of those connected (1) has it";
    assert!(text.contains(expected), "{text}");
    let able = started(&fleet, home.path(), "able").unwrap();
    wait_until(LIMIT, "the tasks are tried", || {
        Ok(fleet.standing("idle")?.failed == 2)
    })
    .unwrap();
    drop(able);
}
