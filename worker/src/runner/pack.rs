//! Pretrains many seeds as one pack and embeds the space with each of them. Every
//! member has checkpoints of its own, which it can go on from alone.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use reprise_child::TorchDevice;
use reprise_domain::{PretrainResult, PretrainSpec, Seconds, TaskResult, TaskSpec};
use reprise_model::{GraphSet, Position, Pretrained, embed};
use reprise_search::space::SearchSpace;
use reprise_torch::autoencoder::{Pack, best, probe};

use super::pretrain::{furthest, said};
use super::{Done, RunError, Runner, fitting, spaces};
use crate::checkpoints::AttemptCheckpoints;
use crate::logs::capture;
use crate::queue::{Attempt, settings};
use crate::slots::{Assignment, Cancel};

/// Steps between two looks at the clock and at whether the tasks are still wanted:
/// about half a second.
const STEPS: u64 = 128;

/// A task on its way into a pack.
struct Member<'a> {
    /// Place among the attempts.
    place: usize,
    spec: PretrainSpec,
    assignment: &'a Assignment,
    cancel: &'a Cancel,
    checkpoints: AttemptCheckpoints<'a>,
    /// The furthest of its checkpoints.
    found: Option<Vec<u8>>,
}

/// How many seeds of `spec` to train together on `device`, by trying; none where
/// not one can be trained.
pub(crate) fn pack_size(device: TorchDevice, spec: &PretrainSpec, most: usize) -> Option<usize> {
    let space = spaces::open(spec.space);
    let graphs = Arc::new(GraphSet::of_space(space.as_ref()).ok()?);
    let started = Instant::now();
    match probe(*spec, &space, &graphs, device, most) {
        Ok(probed) => {
            let seeds = best(&probed);
            let seconds = started.elapsed().as_secs_f64();
            tracing::info!(seeds, seconds, ?probed, "chose the size of packs");
            Some(seeds)
        }
        Err(error) => {
            tracing::warn!(%error, "the size of packs cannot be found");
            None
        }
    }
}

impl Runner {
    /// Pretrains attempts whose specs differ in their seeds alone; their results, in
    /// order. Those that earlier attempts left at different steps are trained one
    /// after the other.
    ///
    /// # Panics
    /// If libtorch cannot allocate on the device.
    pub(crate) fn pretrain_pack(
        &self,
        device: TorchDevice,
        attempts: &[Attempt],
    ) -> Vec<Result<Done, RunError>> {
        let mut results: Vec<_> = attempts.iter().map(|_| Err(RunError::Stopped)).collect();
        let Some(first) = attempts.first().and_then(settings) else {
            return results;
        };
        let space = spaces::open(first.space);
        let graphs = match GraphSet::of_space(space.as_ref()) {
            Ok(graphs) => Arc::new(graphs),
            Err(error) => {
                for result in &mut results {
                    *result = Err(RunError::impossible("encode the space")(
                        error.clone().into(),
                    ));
                }
                return results;
            }
        };
        let mut by_position: BTreeMap<Position, Vec<Member<'_>>> = BTreeMap::new();
        for (place, (assignment, cancel)) in attempts.iter().enumerate() {
            let TaskSpec::Pretrain(spec) = assignment.spec else {
                continue;
            };
            let _capturing = capture(vec![assignment.log.clone()]);
            let checkpoints = self.checkpoints.of(assignment.attempt);
            let found = match checkpoints.found(assignment.checkpoint, cancel) {
                Ok(found) => found,
                Err(error) => {
                    results[place] = Err(error.into());
                    continue;
                }
            };
            let (at, found) = furthest(found, spec, &space, &graphs);
            by_position.entry(at).or_default().push(Member {
                place,
                spec,
                assignment,
                cancel,
                checkpoints,
                found,
            });
        }
        for members in by_position.into_values().rev() {
            self.train(device, members, &space, &graphs, &mut results);
        }
        results
    }

    fn train(
        &self,
        device: TorchDevice,
        mut members: Vec<Member<'_>>,
        space: &Arc<dyn SearchSpace>,
        graphs: &Arc<GraphSet>,
        results: &mut [Result<Done, RunError>],
    ) {
        let started = Instant::now();
        let logs = members.iter().map(|member| member.assignment.log.clone());
        let _capturing = capture(logs.collect());
        let starts: Vec<_> = members
            .iter_mut()
            .map(|member| (member.spec, member.found.take()))
            .collect();
        let mut pack = match Pack::new(&starts, space, graphs, device) {
            Ok(pack) => pack,
            Err(error) => {
                // One reason for all: only the first can own it.
                let reason = error.to_string();
                for member in &members {
                    let failed = RunError::impossible("start pretraining");
                    results[member.place] = Err(failed(reason.clone().into()));
                }
                return;
            }
        };
        let mut reached = pack.progress();
        for (member, (_, found)) in members.iter_mut().zip(starts) {
            if let Some(found) = found {
                let stored = member.assignment.checkpoint;
                member.checkpoints.resumed(stored, &found, reached.done());
            }
        }
        tracing::info!(seeds = members.len(), ?device, "pretraining a pack");
        while !pack.is_over() {
            let epochs = reached.epochs_done;
            reached = pack.advance(STEPS);
            for (member, last) in members.iter().zip(pack.last()) {
                let progress = &member.assignment.progress;
                progress.set(reached.done(), reached.total());
                if reached.epochs_done > epochs {
                    let _capturing = capture(vec![member.assignment.log.clone()]);
                    said(progress, &reached, last);
                }
            }
            if members.iter().all(|member| member.cancel.is_unwanted()) {
                for member in members {
                    member.checkpoints.clear();
                }
                return;
            }
            let stopping = members.iter().all(|member| member.cancel.is_cancelled());
            save(&pack, &mut members, stopping, reached.done());
            if stopping {
                return;
            }
        }
        for (member, result) in members.into_iter().zip(pack.results()) {
            let place = member.place;
            results[place] = match result {
                _ if member.cancel.is_unwanted() => Err(RunError::Stopped),
                Ok(pretrained) => self.embedded(&pack, &pretrained, member.cancel),
                Err(error) => Err(RunError::failed("pretrain")(error.into())),
            }
            .map(|result| Done {
                result: TaskResult::Pretrain(result),
                training: Seconds::new(started.elapsed().as_secs_f64()).ok(),
            })
            .and_then(|done| fitting(&TaskSpec::Pretrain(member.spec), done));
            if !matches!(results[place], Err(RunError::Stopped)) || member.cancel.is_unwanted() {
                member.checkpoints.clear();
            }
        }
    }

    fn embedded(
        &self,
        pack: &Pack,
        pretrained: &Pretrained,
        cancel: &Cancel,
    ) -> Result<PretrainResult, RunError> {
        let embedding = pack
            .embed(&pretrained.params)
            .map_err(|error| RunError::failed("embed the space")(error.into()))?;
        let store = |content: &[u8]| self.artifacts.store_in_time(content, cancel);
        Ok(PretrainResult {
            epochs: pretrained.epochs.clone(),
            checkpoint: store(&pretrained.params.to_safetensors())?,
            embedding: store(&embed::to_safetensors(&embedding))?,
        })
    }
}

/// Saves where every member stands, if it is time; what they are is asked of the
/// device once for all.
fn save(pack: &Pack, members: &mut [Member<'_>], stopping: bool, done: u64) {
    let contents = OnceCell::new();
    for (place, member) in members.iter_mut().enumerate() {
        let content = || contents.get_or_init(|| pack.checkpoints())[place].clone();
        member.checkpoints.save_if_any(stopping, done, content);
    }
}
