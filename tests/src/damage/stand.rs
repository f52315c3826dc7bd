//! What the cases start from: a small real study, undisturbed, and copies of its state
//! directory when it is finished, when its journal is shortened, and when everything was
//! killed in the middle.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::bytes::copy;
use super::kind::Origin;
use crate::chaos::verdict::FILES;
use crate::fleet::said;
use crate::journal;
use crate::process::wait_until;
use crate::program;

/// Something of everything, small: pretraining, and searches that read it and that do
/// not. The empty tasks hold the workers for a while, so that the middle can be met.
const STUDY: &str = "version: 1
name: damaged
space: nasbench201
benchmark: {builtin: nasbench201-digits}
pretrain:
  - {model: arch2vec, seeds: 1..2, epochs: 1, batch: 256, latent-points: 100}
search:
  datasets: [digits]
  budget: {queries: 24}
  seeds: 1..5
  methods:
    - {name: random}
    - {name: regularized-evolution, population: 5, sample: 2}
    - {name: reinforce, encoding: arch2vec, episode: 8}
    - {name: dngo, encoding: arch2vec, initial: 8}
noop: {tasks: 12, hold-ms: 50}
";

/// Tasks of the study, and how many have a result when it is backed up and when it is
/// killed.
const TASKS: usize = 34;
const BACKED_UP: usize = 6;
const KILLED: usize = 20;

const LIMIT: Duration = Duration::from_mins(5);

/// The originals.
#[derive(Debug)]
pub struct Stand {
    home: PathBuf,
    /// The files of the undisturbed run, by name.
    expected: Vec<(&'static str, Vec<u8>)>,
}

impl Stand {
    /// Runs the study as often as is needed. Takes some seconds.
    pub fn new(home: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(home)?;
        let finished = home.join(Origin::Finished.to_string());
        fs::create_dir_all(&finished)?;
        prepare(&finished)?;
        said(run(&finished, 2)).context("run the study undisturbed")?;
        // Else most of what the file is to be damaged in is in its log.
        journal::merge_log(&finished.join("state/journal.sqlite"))?;
        let expected = read_all(&finished.join("out"))?;
        ensure!(
            expected.len() == FILES.len(),
            "the study wrote too few files"
        );

        let compacted = home.join(Origin::Compacted.to_string());
        copy(&finished, &compacted)?;
        let mut compact = Command::new(program("reprise"));
        compact.args(["journal", "compact", "--state", "state"]);
        said(compact.current_dir(&compacted)).context("shorten the journal")?;

        let killed = home.join(Origin::Killed.to_string());
        fs::create_dir_all(&killed)?;
        prepare(&killed)?;
        let stand = Self {
            home: home.to_owned(),
            expected,
        };
        kill_in_the_middle(&killed, &stand.backup())?;
        Ok(stand)
    }

    /// A directory with a state of this origin.
    pub fn original(&self, origin: Origin) -> PathBuf {
        self.home.join(origin.to_string())
    }

    /// A backup of the journal from when little was finished.
    pub fn backup(&self) -> PathBuf {
        self.home.join("backup.sqlite")
    }

    /// Names of the files in `out` that differ from the undisturbed run's.
    pub fn different(&self, out: &Path) -> Vec<&'static str> {
        let differs = |(name, bytes): &&(&'static str, Vec<u8>)| {
            fs::read(out.join(name)).ok().as_ref() != Some(bytes)
        };
        let differing = self.expected.iter().filter(differs);
        differing.map(|(name, _)| *name).collect()
    }
}

fn prepare(place: &Path) -> std::io::Result<()> {
    fs::write(place.join("study.yaml"), STUDY)
}

/// `reprise run` in a directory with a study and its state, in a group of processes of
/// its own.
pub fn run(place: &Path, workers: usize) -> Command {
    let mut command = Command::new(program("reprise"));
    command
        .args(["run", "study.yaml", "--out", "out", "--state", "state"])
        .args(["--workers", &workers.to_string()])
        .env("REPRISE_WORKER", program("reprise-worker"))
        .env("NO_COLOR", "1")
        .current_dir(place)
        .stdin(Stdio::null())
        .process_group(0);
    command
}

/// Kills a command of [`run`] with all that it has started.
pub fn kill_group(child: &mut Child) -> anyhow::Result<()> {
    // It may have ended this very moment.
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    child.wait()?;
    Ok(())
}

/// Runs the study, backs its journal up early, and kills everything later.
fn kill_in_the_middle(place: &Path, backup: &Path) -> anyhow::Result<()> {
    let mut command = run(place, 2);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(fs::File::create(place.join("killed.log"))?)
        .spawn()?;
    let journal = place.join("state/journal.sqlite");
    let finished = |wanted: usize| {
        wait_until(LIMIT, &format!("{wanted} tasks are finished"), || {
            // There is no journal yet, or no table in it.
            Ok(journal::stored_results(&journal).is_ok_and(|found| found >= wanted))
        })
    };
    finished(BACKED_UP)?;
    let mut back_up = Command::new(program("reprise"));
    back_up
        .args(["journal", "backup", "--state", "state"])
        .arg(backup);
    said(back_up.current_dir(place)).context("back the journal up")?;
    finished(KILLED)?;
    kill_group(&mut child)?;
    let found = journal::stored_results(&journal)?;
    ensure!(found < TASKS, "the study was finished before it was killed");
    Ok(())
}

/// The files of a study that must not differ.
fn read_all(out: &Path) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
    let read = |name: &&'static str| -> anyhow::Result<_> {
        let bytes = fs::read(out.join(name)).with_context(|| format!("read `{name}`"))?;
        Ok((*name, bytes))
    };
    FILES.iter().map(read).collect()
}
