//! Trains one architecture for real.

use reprise_domain::{ArchIndex, EvaluateSpec, SpaceName, TaskResult};
use reprise_search::space::Nasbench201;
use reprise_torch::cellnet::{self, CellNetError, CellOp, Trained};

use super::{Done, RunError};
use crate::progress::Progress;
use crate::slots::Cancel;

/// Runs an evaluation.
pub(super) fn run(
    spec: &EvaluateSpec,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Done, RunError> {
    let mut steps = 0;
    let trained = train(spec, &mut || {
        // Asked before every step.
        progress.set(steps, 0);
        steps += 1;
        cancel.is_cancelled()
    })?;
    Ok(Done {
        result: TaskResult::Evaluate(trained.result),
        training: Some(trained.training),
    })
}

/// Trains the architecture of a spec; `should_stop` is asked before every step.
pub(super) fn train(
    spec: &EvaluateSpec,
    should_stop: &mut dyn FnMut() -> bool,
) -> Result<Trained, RunError> {
    let cell = cell(spec.space, spec.arch)?;
    cellnet::train(cell, spec, should_stop).map_err(|CellNetError::Stopped| RunError::Stopped)
}

fn cell(space: SpaceName, arch: ArchIndex) -> Result<[CellOp; 6], RunError> {
    let doing = || RunError::impossible(format!("train architecture `{arch}` of `{space}`"));
    if space != SpaceName::Nasbench201 {
        return Err(doing()("only cells of `nasbench201` can be trained".into()));
    }
    let known = Nasbench201::new();
    if arch.row() >= reprise_search::space::SearchSpace::len(&known) {
        return Err(doing()("the space has no such architecture".into()));
    }
    Ok(known.cell_ops(arch))
}
