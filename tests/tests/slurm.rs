//! A study through a real Slurm, by `reprise fleet up`: to the same table as
//! `reprise run`, with a job lost in between.

use std::io;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use reprise_skip::{Lack, skip};
use reprise_tests::slurm::{Slurm, missing_slurm, pause};
use reprise_tests::{Site, kill_now, program};

const STUDY: &str = "version: 1
name: small
space: nasbench201
benchmark: {builtin: nasbench201-digits}
search:
  datasets: [digits]
  budget: {queries: 40}
  seeds: 1..8
  methods:
    - {name: random}
    - {name: regularized-evolution, population: 5, sample: 2}
noop: {tasks: 40, hold-ms: 400}
";

const PATIENCE: Duration = Duration::from_mins(2);

/// A coordinator for other processes, ended with the value.
struct Coordinator {
    process: Child,
    url: String,
}

impl Coordinator {
    fn start(site: &Site) -> io::Result<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut process = Command::new(program("reprise"))
            .args(["serve", "--listen", &free.to_string()])
            .current_dir(site.path())
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(site.path().join("serve.log"))?)
            .spawn()?;
        let begun = Instant::now();
        while std::net::TcpStream::connect(free).is_err() {
            if begun.elapsed() > PATIENCE || process.try_wait()?.is_some() {
                return Err(io::Error::other("`reprise serve` does not listen"));
            }
            pause();
        }
        let url = format!("http://{free}");
        Ok(Self { process, url })
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        // It may have ended already, which the test has noticed by then.
        let _ = kill_now(&mut self.process);
    }
}

/// `reprise` with these arguments, in the site, with this Slurm.
fn reprise(site: &Site, slurm: &Slurm, coordinator: &Coordinator, arguments: &[&str]) -> Command {
    let mut command = slurm.command(program("reprise"));
    command
        .args(arguments)
        .env("REPRISE_COORDINATOR", &coordinator.url)
        .env("REPRISE_WORKER", program("reprise-worker"))
        .env("REPRISE_LOG", "info")
        .current_dir(site.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

const UP: [&str; 9] = [
    "fleet",
    "up",
    "--on",
    "slurm",
    "--max",
    "2",
    "--interval",
    "500ms",
    "--price=0.5",
];

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Ids of the jobs that run.
fn running(slurm: &Slurm) -> io::Result<Vec<String>> {
    let jobs = slurm.output("squeue", &["-h", "-r", "-t", "R", "-o", "%i"])?;
    let jobs = String::from_utf8_lossy(&jobs.stdout).into_owned();
    Ok(jobs.lines().map(ToOwned::to_owned).collect())
}

/// A Slurm, or none and a line that says what is missing.
fn slurm() -> Option<Slurm> {
    if let Some(reason) = missing_slurm() {
        skip(Lack::Program, &reason).unwrap_or_else(|error| panic!("{error}"));
        return None;
    }
    Some(Slurm::start().unwrap_or_else(|error| panic!("start Slurm: {error}")))
}

#[test]
fn a_study_through_slurm_ends_in_the_same_table() {
    let Some(slurm) = slurm() else { return };
    let calm = Site::new().unwrap();
    calm.study(STUDY).unwrap();
    let end = calm.finish().unwrap();
    assert!(end.status.success(), "{}", said(&end));

    let site = Site::new().unwrap();
    site.study(STUDY).unwrap();
    let coordinator = Coordinator::start(&site).unwrap();
    let run = |arguments: &[&str]| {
        let output = reprise(&site, &slurm, &coordinator, arguments).output();
        let output = output.unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    };
    run(&["submit", "study.yaml"]);
    let mut fleet = reprise(&site, &slurm, &coordinator, &UP).spawn().unwrap();

    // A node goes away under one of the workers, and the fleet replaces it.
    let begun = Instant::now();
    let lost = loop {
        let jobs = running(&slurm).unwrap();
        if jobs.len() == 2 {
            break jobs[0].clone();
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "no two jobs: {jobs:?}\n{}",
            slurm.logs()
        );
        assert!(fleet.try_wait().unwrap().is_none(), "the fleet ended early");
        pause();
    };
    let cancelled = slurm
        .output("scancel", &["--signal=KILL", "--full", &lost])
        .unwrap();
    assert!(cancelled.status.success(), "{}", said(&cancelled));
    let replaced = |jobs: &[String]| jobs.len() == 2 && !jobs.contains(&lost);
    while !replaced(&running(&slurm).unwrap()) {
        assert!(begun.elapsed() < PATIENCE, "{lost} was not replaced");
        assert!(fleet.try_wait().unwrap().is_none(), "the fleet ended early");
        pause();
    }
    let status = run(&["fleet", "status"]);
    assert!(
        status.contains(" up ") && status.contains("on slurm: 2 workers, 1 gone"),
        "{status}"
    );

    let end = fleet.wait_with_output().unwrap();
    assert!(end.status.success(), "{}", said(&end));
    assert!(
        said(&end).contains("nothing is left to do; 3 workers came and went"),
        "{}",
        said(&end)
    );
    assert_eq!(
        running(&slurm).unwrap(),
        [""; 0],
        "the fleet did not scale to zero"
    );
    run(&["export", "small", "--out", "out"]);
    for name in ["table.csv", "table.md", "table.tex", "results.json"] {
        assert_eq!(site.out(name).unwrap(), calm.out(name).unwrap(), "{name}");
    }
}

#[test]
fn a_budget_ends_the_fleet_and_down_forgets_it() {
    let Some(slurm) = slurm() else { return };
    let site = Site::new().unwrap();
    site.study("version: 1\nname: long\nspace: nasbench201\nnoop: {tasks: 2, hold-ms: 600000}\n")
        .unwrap();
    let coordinator = Coordinator::start(&site).unwrap();
    let run = |arguments: &[&str]| {
        let output = reprise(&site, &slurm, &coordinator, arguments).output();
        output.unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    };
    assert!(run(&["submit", "study.yaml"]).status.success());
    // 0.004 at 0.5 an hour are 28.8 s of machine time: two workers for a few
    // seconds, and the rest for their leaving.
    let up: Vec<_> = UP.into_iter().chain(["--budget=0.004"]).collect();
    let end = run(&up);
    assert_eq!(end.status.code(), Some(5), "{}", said(&end));
    assert!(said(&end).contains("the budget is spent"), "{}", said(&end));
    assert_eq!(running(&slurm).unwrap(), [""; 0]);
    let status = said(&run(&["fleet", "status"]));
    let cost = status
        .rsplit("cost ")
        .next()
        .and_then(|cost| cost.trim().parse::<f64>().ok());
    assert!(
        cost.is_some_and(|cost| cost > 0.0 && cost <= 0.004),
        "{status}"
    );

    // The same budget again buys nothing, until the fleet is forgotten.
    assert_eq!(run(&up).status.code(), Some(5));
    assert!(run(&["fleet", "down"]).status.success());
    let gone = run(&["fleet", "status"]);
    assert!(
        !gone.status.success() && said(&gone).contains("there is no fleet in"),
        "{}",
        said(&gone)
    );

    // A loop that runs elsewhere takes the fleet down when it is asked to.
    let mut fleet = reprise(&site, &slurm, &coordinator, &UP).spawn().unwrap();
    let begun = Instant::now();
    while running(&slurm).unwrap().len() < 2 {
        assert!(begun.elapsed() < PATIENCE, "no jobs\n{}", slurm.logs());
        assert!(fleet.try_wait().unwrap().is_none(), "the fleet ended early");
        pause();
    }
    let down = run(&["fleet", "down"]);
    assert!(down.status.success(), "{}", said(&down));
    let end = fleet.wait_with_output().unwrap();
    assert!(
        end.status.success() && said(&end).contains("taken down"),
        "{}",
        said(&end)
    );
    assert_eq!(running(&slurm).unwrap(), [""; 0]);
}
