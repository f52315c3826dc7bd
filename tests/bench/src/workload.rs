//! What the numeric profiles sample: the measured work in a process that does little
//! else, on one core. Training and embedding that it starts from are made before, by
//! another process, and lie in files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use reprise_domain::SpaceName;
use reprise_model::{GraphSet, Native, Pretrainer, embed};
use reprise_search::space;

use crate::machine::pin;
use crate::profile::Subject;
use crate::search::{SMALL, bayesian_runs};
use crate::setting::{Setting, Table, published};

/// Training steps in training mode; seven times as many are in evaluation mode, as
/// seven of the eight epochs are.
const STEPS: u64 = 500;
/// BO runs on the smaller table, so that both take about as long.
const SMALL_RUNS: u64 = 4;

/// Leaves what [`run`] starts from in a directory.
pub(crate) fn prepare(files: &Path) -> anyhow::Result<()> {
    let setting = Setting::prepare()?;
    fs::write(checkpoint(files), &setting.checkpoint).context("write the checkpoint")?;
    for rows in [SMALL, setting.space.len()] {
        setting.table(rows)?.write(&table(files, rows))?;
    }
    Ok(())
}

/// Does the work of a subject.
pub(crate) fn run(subject: Subject, files: &Path) -> anyhow::Result<()> {
    pin([0])?;
    match subject {
        Subject::Pretraining => pretrain(files),
        Subject::Embedding => {
            let (pretrainer, graphs) = trained(files)?;
            embed::embed(&pretrainer.params(), &graphs)?;
            Ok(())
        }
        Subject::BoSmall => search(files, SMALL, SMALL_RUNS),
        Subject::BoLarge => search(files, space::open(SpaceName::Nasbench101).len(), 1),
        Subject::Orchestrator => bail!("the orchestrator's work is that of other programs"),
    }
}

fn pretrain(files: &Path) -> anyhow::Result<()> {
    let (mut later, graphs) = trained(files)?;
    let space = space::open(SpaceName::Nasbench101);
    let mut first = Pretrainer::new(published(32), space, graphs, &Native)?;
    first.advance(STEPS)?;
    later.advance(7 * STEPS)?;
    Ok(())
}

/// The pretraining after its first epoch, and all graphs.
fn trained(files: &Path) -> anyhow::Result<(Pretrainer, Arc<GraphSet>)> {
    let space = space::open(SpaceName::Nasbench101);
    let graphs = Arc::new(GraphSet::of_space(space.as_ref())?);
    let checkpoint = fs::read(checkpoint(files)).context("read the checkpoint")?;
    let pretrainer = Pretrainer::resume(
        &checkpoint,
        published(32),
        space,
        Arc::clone(&graphs),
        &Native,
    )?;
    Ok((pretrainer, graphs))
}

fn search(files: &Path, rows: usize, runs: u64) -> anyhow::Result<()> {
    bayesian_runs(&Table::read(&table(files, rows), rows)?, runs)
}

fn checkpoint(files: &Path) -> PathBuf {
    files.join("checkpoint")
}

fn table(files: &Path, rows: usize) -> PathBuf {
    files.join(format!("table-{rows}"))
}
