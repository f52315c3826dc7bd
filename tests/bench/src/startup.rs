//! How long one waits before anything runs: the search space, a worker, and
//! `reprise run` of what is finished already.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;
use reprise_model::GraphSet;
use reprise_search::space::Nasbench101;
use reprise_tests::fleet::said;
use reprise_tests::program;

use crate::machine::timed;
use crate::report::{Better, Row, Section};
use crate::samples::Samples;
use crate::stand::{Stand, in_repository};

/// The studies that are run again: pretraining and search in tens of tasks, and
/// ten thousand tasks that do nothing.
const STUDIES: [(&str, &str); 2] = [
    ("the demo", "configs/demo.yaml"),
    ("10,000 no-op tasks", "configs/bench/noop.yaml"),
];

/// Seconds within which a space is there, a worker works, and a finished study ends.
const SPACE_LIMIT: f64 = 5.0;
const WORKER_LIMIT: f64 = 2.0;
const RUN_LIMIT: f64 = 1.0;

/// Measures all three.
pub(crate) fn measure(directory: &Path, repeats: usize) -> anyhow::Result<Section> {
    let [mut enumerated, mut encoded, mut hashed, mut cached] = [const { Samples::new() }; 4];
    let [mut coordinator, mut ready, mut first] = [const { Samples::new() }; 3];
    let mut again = [const { Samples::new() }; STUDIES.len()];
    let finished: anyhow::Result<Vec<_>> = STUDIES
        .iter()
        .enumerate()
        .map(|(number, (_, study))| {
            let home = directory.join(format!("finished-{number}"));
            Finished::new(&home, in_repository(study))
        })
        .collect();
    let finished = finished?;
    for repeat in 0..repeats {
        let (seconds, space) = timed(Nasbench101::enumerate);
        enumerated.push(seconds);
        let (seconds, graphs) = timed(|| GraphSet::of_space(&space));
        graphs?;
        encoded.push(seconds);
        let (seconds, _) = timed(|| space.hashes().len());
        hashed.push(seconds);
        let bytes = space.to_bytes();
        let (seconds, read) = timed(|| Nasbench101::from_bytes(&bytes));
        read?;
        cached.push(seconds);

        let mut stand = Stand::start(&directory.join(format!("startup-{repeat}")), 0)?;
        coordinator.push(stand.restart()?);
        let (until_ready, until_first) = worker(&mut stand)?;
        ready.push(until_ready);
        first.push(until_first);
        drop(stand);

        for (study, seconds) in finished.iter().zip(&mut again) {
            seconds.push(study.run()?);
        }
    }
    let row = |what: &str, samples| Row::alone(what, "s", Better::Lower, samples);
    let mut rows = vec![
        row("NAS-Bench-101, enumerated", enumerated).within(SPACE_LIMIT),
        row("NAS-Bench-101, encoded", encoded).within(SPACE_LIMIT),
        row("NAS-Bench-101, all published hashes", hashed).within(SPACE_LIMIT),
        row("NAS-Bench-101 with its hashes from a cache", cached).within(SPACE_LIMIT),
        row("coordinator, started to first answer", coordinator),
        row("worker, started to welcomed", ready).within(WORKER_LIMIT),
        row("worker, started to first result", first).within(WORKER_LIMIT),
    ];
    for ((what, _), seconds) in STUDIES.iter().zip(again) {
        rows.push(row(&format!("`reprise run` of {what}, finished"), seconds).within(RUN_LIMIT));
    }
    Ok(Section {
        title: "Start-up".to_owned(),
        about: "Processes on loopback with files in the page cache. A worker is welcomed when \
                the coordinator counts it. `reprise run` of a finished study starts a \
                coordinator, finds every task in its journal, and writes all tables again."
            .to_owned(),
        rows,
    })
}

/// Seconds from starting a worker to the coordinator's counting it, and to the first
/// result.
fn worker(stand: &mut Stand) -> anyhow::Result<(f64, f64)> {
    stand.submit("first", 1)?;
    let started = Instant::now();
    stand.add_worker()?;
    stand.wait("first", |status| status.workers_connected == 1)?;
    let ready = started.elapsed().as_secs_f64();
    stand.wait("first", |status| status.total().finished == 1)?;
    Ok((ready, started.elapsed().as_secs_f64()))
}

/// A study that has been run to its end.
#[derive(Debug)]
struct Finished {
    home: PathBuf,
    study: PathBuf,
}

impl Finished {
    /// Runs it for the first time, in `home`.
    fn new(home: &Path, study: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(home)?;
        let study = Self {
            home: home.to_owned(),
            study,
        };
        study.run()?;
        Ok(study)
    }

    /// Seconds of `reprise run`.
    fn run(&self) -> anyhow::Result<f64> {
        let mut command = Command::new(program("reprise"));
        command
            .arg("run")
            .arg(&self.study)
            .args(["--out", "out"])
            .current_dir(&self.home);
        let (seconds, text) = timed(|| said(command));
        text.with_context(|| format!("run `{}`", self.study.display()))?;
        Ok(seconds)
    }
}
