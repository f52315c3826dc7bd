//! Pretrains a graph autoencoder and embeds the whole space. A checkpoint on the
//! worker's own disk bounds what a killed process loses.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise_domain::{PretrainResult, PretrainSpec, Seconds, TaskKey, TaskResult};
use reprise_search::space::SearchSpace;
use reprise_torch::autoencoder::{Backend, GraphSet, PretrainError, Pretrainer, embed};

use super::{Done, RunError, Runner, spaces};
use crate::slots::Cancel;

/// Most work that a killed process loses.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);

/// Steps between two looks at the clock and at whether the task is still wanted:
/// some tens of milliseconds.
const STEPS: u64 = 8;

impl Runner {
    pub(super) fn pretrain(
        &self,
        spec: &PretrainSpec,
        task: TaskKey,
        cancel: &Cancel,
    ) -> Result<Done, RunError> {
        let started = Instant::now();
        let failed =
            |doing: &'static str| move |error: PretrainError| RunError::failed(doing)(error.into());
        let space = spaces::open(spec.space);
        let graphs = GraphSet::of_space(space.as_ref())
            .map_err(|error| RunError::impossible("encode the space")(error.into()))?;
        let graphs = Arc::new(graphs);
        let path = self.checkpoints.join(task.to_string());
        let mut pretrainer = match resumed(&path, spec, &space, &graphs) {
            Some(pretrainer) => pretrainer,
            None => Pretrainer::new(*spec, space, Arc::clone(&graphs), Backend::default())
                .map_err(|error| RunError::impossible("start pretraining")(error.into()))?,
        };
        let mut saved = Instant::now();
        while !pretrainer
            .advance(STEPS)
            .map_err(failed("pretrain"))?
            .is_finished()
        {
            let stopping = cancel.is_cancelled();
            if stopping || saved.elapsed() >= CHECKPOINT_INTERVAL {
                // Without a checkpoint a later attempt begins anew: slower, not
                // wrong.
                if let Err(error) = save(&self.checkpoints, &path, &pretrainer.checkpoint()) {
                    tracing::warn!(%error, path = %path.display(), "checkpoint not written");
                }
                saved = Instant::now();
            }
            if stopping {
                return Err(RunError::Stopped);
            }
        }
        let pretrained = pretrainer.finish().map_err(failed("finish pretraining"))?;
        let embedding = embed::embed(&pretrained.params, &graphs)
            .map_err(|error| RunError::failed("embed the space")(error.into()))?;
        let result = PretrainResult {
            epochs: pretrained.epochs,
            checkpoint: self.artifacts.store(&pretrained.params.to_safetensors())?,
            embedding: self.artifacts.store(&embed::to_safetensors(&embedding))?,
        };
        // It stays when it cannot be removed, and is as right as before.
        let _ = fs::remove_file(&path);
        let training = Seconds::new(started.elapsed().as_secs_f64()).ok();
        Ok(Done {
            result: TaskResult::Pretrain(result),
            training,
        })
    }
}

/// The task as its checkpoint left it, when there is a good one.
fn resumed(
    path: &Path,
    spec: &PretrainSpec,
    space: &Arc<dyn SearchSpace>,
    graphs: &Arc<GraphSet>,
) -> Option<Pretrainer> {
    let bytes = fs::read(path).ok()?;
    match Pretrainer::resume(
        &bytes,
        *spec,
        Arc::clone(space),
        Arc::clone(graphs),
        Backend::default(),
    ) {
        Ok(pretrainer) => {
            tracing::info!(
                done = pretrainer.progress().fraction(),
                "resumed from a checkpoint"
            );
            Some(pretrainer)
        }
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "checkpoint not usable; beginning anew");
            None
        }
    }
}

fn save(directory: &Path, path: &Path, content: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    let fresh = path.with_extension("new");
    fs::write(&fresh, content)?;
    fs::rename(&fresh, path)
}
