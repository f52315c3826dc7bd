//! Pretrains a graph autoencoder and embeds the whole space. Checkpoints bound what
//! a killed process or a lost machine loses.

use std::sync::Arc;
use std::time::Instant;

use reprise_domain::{PretrainResult, PretrainSpec, Seconds, TaskResult};
use reprise_search::space::SearchSpace;
use reprise_torch::autoencoder::{Backend, GraphSet, PretrainError, Pretrainer, embed};

use super::{Done, RunError, Runner, spaces};
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
        let space = spaces::open(spec.space);
        let graphs = GraphSet::of_space(space.as_ref())
            .map_err(|error| RunError::impossible("encode the space")(error.into()))?;
        let graphs = Arc::new(graphs);
        let mut checkpoints = self.checkpoints.of(assignment.attempt);
        let found = checkpoints.found(assignment.checkpoint, cancel)?;
        let mut pretrainer = match resumed(&found, spec, &space, &graphs) {
            Some(pretrainer) => pretrainer,
            None => Pretrainer::new(*spec, space, Arc::clone(&graphs), Backend::default())
                .map_err(|error| RunError::impossible("start pretraining")(error.into()))?,
        };
        drop(found);
        loop {
            match pretrainer.advance(STEPS) {
                Ok(progress) if progress.is_finished() => break,
                Ok(_) => {}
                Err(error) => {
                    checkpoints.clear();
                    return Err(failed("pretrain")(error));
                }
            }
            if cancel.is_unwanted() {
                checkpoints.clear();
                return Err(RunError::Stopped);
            }
            let stopping = cancel.is_cancelled();
            checkpoints.save(stopping, || pretrainer.checkpoint());
            if stopping {
                return Err(RunError::Stopped);
            }
        }
        let pretrained = pretrainer.finish().map_err(failed("finish pretraining"))?;
        let embedding = embed::embed(&pretrained.params, &graphs)
            .map_err(|error| RunError::failed("embed the space")(error.into()))?;
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

/// The task as the furthest of its good checkpoints left it.
fn resumed(
    found: &[Vec<u8>],
    spec: &PretrainSpec,
    space: &Arc<dyn SearchSpace>,
    graphs: &Arc<GraphSet>,
) -> Option<Pretrainer> {
    let good = found.iter().filter_map(|bytes| {
        let (space, graphs) = (Arc::clone(space), Arc::clone(graphs));
        Pretrainer::resume(bytes, *spec, space, graphs, Backend::default())
            .inspect_err(|error| tracing::warn!(%error, "checkpoint not usable"))
            .ok()
    });
    let done = |pretrainer: &Pretrainer| pretrainer.progress().fraction();
    let furthest = good.max_by(|a, b| done(a).total_cmp(&done(b)))?;
    tracing::info!(done = done(&furthest), "resumed from a checkpoint");
    Some(furthest)
}
