//! Pretrains many seeds as one pack in a child with libtorch, and embeds the space with
//! each of them. Every member has checkpoints of its own, which it can go on from alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use reprise_child::{FromChild, Outcome, Task, ToChild, TorchDevice};
use reprise_domain::measure::ArtifactRef;
use reprise_domain::{EpochMeasures, PretrainResult, PretrainSpec, Seconds, TaskResult, TaskSpec};
use reprise_model::{GraphSet, Position};
use reprise_search::space;

use super::pretrain::{furthest, said};
use super::{Done, RunError, Runner, fitting};
use crate::checkpoints::AttemptCheckpoints;
use crate::logs::capture;
use crate::queue::{Attempt, settings};
use crate::slots::{Assignment, Cancel};
use crate::torch::{Listener, TorchError};

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
    /// Whether the child was told that nobody wants it.
    is_discarded: bool,
    /// Its parameters and measures, until the embedding comes.
    trained: Option<(ArtifactRef, Vec<EpochMeasures>)>,
    result: Option<Result<PretrainResult, RunError>>,
}

impl Runner {
    /// How many seeds of `spec` to train together on `device`, by trying; none where
    /// that cannot be found.
    pub(crate) fn pack_size(
        &self,
        device: TorchDevice,
        spec: &PretrainSpec,
        most: usize,
    ) -> Option<usize> {
        let started = Instant::now();
        let task = Task::Probe {
            device,
            spec: *spec,
            most: most as u32,
        };
        let asked = self
            .lease()
            .and_then(|mut lease| lease.ask(task, Vec::new()));
        match asked {
            Ok(Outcome::Probed { seeds, probed }) if (1..=most).contains(&(seeds as usize)) => {
                let seconds = started.elapsed().as_secs_f64();
                tracing::info!(seeds, seconds, ?probed, "chose the size of packs");
                Some(seeds as usize)
            }
            Ok(_) => {
                tracing::warn!("`reprise-torch` gives no size of packs");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "the size of packs cannot be found");
                None
            }
        }
    }

    /// Pretrains attempts whose specs differ in their seeds alone; their results, in
    /// order. Those that earlier attempts left at different steps are trained one
    /// after the other.
    pub(crate) fn pretrain_pack(
        &self,
        device: TorchDevice,
        attempts: &[Attempt],
    ) -> Vec<Result<Done, RunError>> {
        let mut results: Vec<_> = attempts.iter().map(|_| Err(RunError::Stopped)).collect();
        let Some(first) = attempts.first().and_then(settings) else {
            return results;
        };
        let space = space::shared(first.space);
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
                is_discarded: false,
                trained: None,
                result: None,
            });
        }
        for members in by_position.into_values().rev() {
            self.train(device, members, &mut results);
        }
        results
    }

    /// Trains members that are at the same step.
    fn train(
        &self,
        device: TorchDevice,
        members: Vec<Member<'_>>,
        results: &mut [Result<Done, RunError>],
    ) {
        let started = Instant::now();
        let logs = members.iter().map(|member| member.assignment.log.clone());
        let _capturing = capture(logs.collect());
        let task = Task::Pack {
            device,
            members: members.len() as u32,
            save_every_ms: self.checkpoints.period().as_millis() as u64,
        };
        let mut orders = vec![(ToChild::Start { task }, Vec::new())];
        orders.extend(members.iter().map(|member| {
            let body = member.found.clone().unwrap_or_default();
            (ToChild::Member { spec: member.spec }, body)
        }));
        tracing::info!(seeds = members.len(), ?device, "pretraining a pack");
        let mut packing = Packing {
            runner: self,
            members,
            epochs_done: None,
            is_stopping: false,
        };
        let ended = self
            .lease()
            .and_then(|mut lease| match lease.run(orders, &mut packing)? {
                Outcome::Packed => Ok(()),
                _ => Err(lease.unexpected()),
            });
        for mut member in packing.members {
            let is_unwanted = member.cancel.is_unwanted();
            let own = member.result.take();
            // What ended the whole pack leaves each member where it stood.
            let goes_on = match &own {
                None | Some(Err(RunError::Stopped)) => !is_unwanted,
                Some(_) => false,
            };
            let result = match (own, &ended) {
                _ if is_unwanted => Err(RunError::Stopped),
                (Some(result), _) => result,
                (None, Ok(())) => Err(RunError::failed("pretrain")(
                    "`reprise-torch` gave no result of this seed".into(),
                )),
                (None, Err(error)) => Err(error.clone().into()),
            };
            let result = result
                .map(|result| Done {
                    result: TaskResult::Pretrain(result),
                    training: Seconds::new(started.elapsed().as_secs_f64()).ok(),
                })
                .and_then(|done| fitting(&TaskSpec::Pretrain(member.spec), done));
            if !goes_on {
                member.checkpoints.clear();
            }
            results[member.place] = result;
        }
    }
}

/// What is waited for while a child trains a pack.
struct Packing<'a> {
    runner: &'a Runner,
    members: Vec<Member<'a>>,
    /// Epochs that were done when the child said last how far it is; none before.
    epochs_done: Option<u32>,
    /// Whether the child was told to stop.
    is_stopping: bool,
}

impl Listener for Packing<'_> {
    fn said(&mut self, message: FromChild, body: Vec<u8>) -> Result<(), String> {
        match message {
            FromChild::Progress { reached, measures } => {
                if self.epochs_done.is_none() {
                    for member in &mut self.members {
                        if let Some(found) = member.found.take() {
                            let stored = member.assignment.checkpoint;
                            member.checkpoints.resumed(stored, &found, reached.done);
                        }
                    }
                }
                let before = self.epochs_done.replace(reached.epochs_done);
                let is_new = before.is_some_and(|before| reached.epochs_done > before);
                let mut measures = measures.into_iter();
                for member in &self.members {
                    let progress = &member.assignment.progress;
                    progress.set(reached.done, reached.total);
                    let last = measures.next().flatten();
                    if is_new {
                        let _capturing = capture(vec![member.assignment.log.clone()]);
                        said(progress, reached.epochs_done, reached.epochs, last);
                    }
                }
            }
            FromChild::Checkpoint { member, done } => {
                let is_stopping = self.is_stopping;
                self.member(member)?
                    .checkpoints
                    .keep(is_stopping, done, &body);
            }
            FromChild::Trained { member, epochs } => {
                let artifacts = &self.runner.artifacts;
                let member = member_of(&mut self.members, member)?;
                match artifacts.store_in_time(&body, member.cancel) {
                    Ok(params) => member.trained = Some((params, epochs)),
                    Err(error) => member.result = Some(Err(error.into())),
                }
            }
            FromChild::Embedded { member } => {
                let artifacts = &self.runner.artifacts;
                let member = member_of(&mut self.members, member)?;
                let Some((checkpoint, epochs)) = member.trained.take() else {
                    // Its parameters could not be kept.
                    return match member.result {
                        Some(Err(_)) => Ok(()),
                        _ => Err("an embedding without parameters".to_owned()),
                    };
                };
                let stored = artifacts.store_in_time(&body, member.cancel);
                member.result =
                    Some(
                        stored
                            .map_err(RunError::from)
                            .map(|embedding| PretrainResult {
                                epochs,
                                checkpoint,
                                embedding,
                            }),
                    );
            }
            FromChild::MemberFailed { member, reason } => {
                let failed = TorchError::failed(false, reason);
                self.member(member)?.result = Some(Err(failed.into()));
            }
            FromChild::Heartbeat | FromChild::Ended { .. } => {}
        }
        Ok(())
    }

    fn wish(&mut self) -> Option<ToChild> {
        if self.is_stopping {
            return None;
        }
        if self
            .members
            .iter()
            .all(|member| member.cancel.is_cancelled())
        {
            self.is_stopping = true;
            let wanted = |member: &Member<'_>| !member.cancel.is_unwanted();
            let save = self.members.iter().any(wanted);
            return Some(ToChild::Stop { save });
        }
        let mut members = (0_u32..).zip(&mut self.members);
        let (place, member) =
            members.find(|(_, member)| member.cancel.is_unwanted() && !member.is_discarded)?;
        member.is_discarded = true;
        Some(ToChild::Discard { member: place })
    }
}

impl<'a> Packing<'a> {
    fn member(&mut self, place: u32) -> Result<&mut Member<'a>, String> {
        member_of(&mut self.members, place)
    }
}

fn member_of<'m, 'a>(
    members: &'m mut [Member<'a>],
    place: u32,
) -> Result<&'m mut Member<'a>, String> {
    let count = members.len();
    let member = members.get_mut(place as usize);
    member.ok_or_else(|| format!("a message of member {place} of {count}"))
}
