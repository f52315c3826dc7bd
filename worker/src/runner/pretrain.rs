//! Pretrains a graph autoencoder and embeds the whole space. Checkpoints bound what
//! a killed process or a lost machine loses.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use reprise_domain::{EpochMeasures, PretrainResult, PretrainSpec, Seconds, TaskResult};
use reprise_model::{GraphSet, Native, Position, PretrainError, Pretrainer, embed, position};
use reprise_search::space::{self, SearchSpace};

use super::program::Programs;
use super::{Done, RunError, Runner};
use crate::logs::note;
use crate::progress::Progress;
use crate::slots::{Assignment, Cancel};

/// Steps between two looks at the clock and at whether the task is still wanted:
/// some tens of milliseconds.
const STEPS: u64 = 8;

impl Runner {
    pub(super) fn pretrain(
        &self,
        spec: &PretrainSpec,
        assignment: &Assignment,
        cancel: &Cancel,
    ) -> Result<Done, RunError> {
        let started = Instant::now();
        let failed =
            |doing: &'static str| move |error: PretrainError| RunError::failed(doing)(error.into());
        let space = space::shared(spec.space);
        let graphs = GraphSet::of_space(space.as_ref())
            .map_err(|error| RunError::impossible("encode the space")(error.into()))?;
        let graphs = Arc::new(graphs);
        let mut checkpoints = self.checkpoints.of(assignment.attempt);
        let found = checkpoints.found(assignment.checkpoint, cancel)?;
        let (_, found) = furthest(found, *spec, &space, &graphs);
        let set = Arc::clone(&graphs);
        let mut pretrainer = match &found {
            Some(bytes) => Pretrainer::resume(bytes, *spec, space, set, &Native),
            None => Pretrainer::new(*spec, space, set, &Native),
        }
        .map_err(|error| RunError::impossible("start pretraining")(error.into()))?;
        let mut reached = pretrainer.progress();
        let progress = &assignment.progress;
        progress.set(reached.done(), reached.total());
        if let Some(found) = found {
            checkpoints.resumed(assignment.checkpoint, &found, reached.done());
        }
        loop {
            let epochs = reached.epochs_done;
            reached = match pretrainer.advance(STEPS) {
                Ok(reached) => reached,
                Err(error) => {
                    checkpoints.clear();
                    return Err(failed("pretrain")(error));
                }
            };
            progress.set(reached.done(), reached.total());
            if reached.epochs_done > epochs {
                said(progress, reached.epochs_done, reached.epochs, reached.last);
            }
            if reached.is_finished() {
                break;
            }
            if cancel.is_unwanted() {
                checkpoints.clear();
                return Err(RunError::Stopped);
            }
            let stopping = cancel.is_cancelled();
            checkpoints.save(stopping, reached.done(), || pretrainer.checkpoint());
            if stopping {
                return Err(RunError::Stopped);
            }
        }
        let pretrained = pretrainer.finish().map_err(failed("finish pretraining"))?;
        let embedding = {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            let taken = 1 + self.programs.as_ref().map_or(0, Programs::cores_in_use);
            let spare = self.spare.borrow(cores.saturating_sub(taken));
            embed::embed_on(1 + spare.cores, &pretrained.params, &graphs)
                .map_err(|error| RunError::failed("embed the space")(error.into()))?
        };
        let result = PretrainResult {
            epochs: pretrained.epochs,
            checkpoint: self
                .artifacts
                .store_in_time(&pretrained.params.to_safetensors(), cancel)?,
            embedding: self
                .artifacts
                .store_in_time(&embed::to_safetensors(&embedding), cancel)?,
        };
        checkpoints.clear();
        let training = Seconds::new(started.elapsed().as_secs_f64()).ok();
        Ok(Done {
            result: TaskResult::Pretrain(result),
            training,
        })
    }
}

/// Says in the attempt's log and in its progress that an epoch is done.
pub(super) fn said(progress: &Progress, epoch: u32, epochs: u32, last: Option<EpochMeasures>) {
    if let Some(EpochMeasures { loss, validity, .. }) = last {
        progress.note(&format!("epoch {epoch} of {epochs} done, loss {loss:.4}"));
        note!(epoch, epochs, loss, validity, "epoch done");
    }
}

/// The furthest of a task's good checkpoints, and where it is.
pub(super) fn furthest(
    found: Vec<Vec<u8>>,
    spec: PretrainSpec,
    space: &Arc<dyn SearchSpace>,
    graphs: &Arc<GraphSet>,
) -> (Position, Option<Vec<u8>>) {
    let good = found.into_iter().filter_map(|bytes| {
        let at = position(&bytes, spec, space, graphs)
            .inspect_err(|error| tracing::warn!(%error, "checkpoint not usable"))
            .ok()?;
        Some((at, bytes))
    });
    match good.max_by_key(|(at, _)| *at) {
        Some((at, bytes)) => {
            tracing::info!(?at, seed = %spec.seed, "resumed from a checkpoint");
            (at, Some(bytes))
        }
        None => (Position::default(), None),
    }
}
