//! Carries out what the core asked for, after it is durable.

use std::sync::Arc;

use reprise_core::lifecycle::{Action, TaskPhase};
use reprise_domain::{
    AttemptId, AttemptOutcome, BenchmarkRef, Capability, Digest, SearchSpec, TaskKey, TaskSpec,
    WorkerId,
};

use super::handle::{Assignment, OutboxMessage, Request};
use super::service::{EngineError, Service};
use crate::artifact::{Area, ArtifactStore, Verdict};
use crate::store::{Reader, StoredResult};

/// Why an attempt cannot start: a result that it reads is not there.
#[derive(Debug, Clone, Copy)]
struct Unready {
    /// The finished task whose stored result is lost or damaged.
    lost: Option<TaskKey>,
}

impl Service {
    /// Carries out what the core asked for, after it is durable.
    pub(super) async fn act(&mut self, action: Action) -> Result<(), EngineError> {
        match action {
            Action::Start { worker, attempts } => {
                let mut assignments = Vec::with_capacity(attempts.len());
                for attempt in attempts {
                    match self.assignment(attempt).await? {
                        Ok(assignment) => assignments.push(assignment),
                        Err(Unready { lost }) => self.take_back(worker, attempt, lost),
                    }
                }
                self.send(worker, OutboxMessage::Start(assignments));
            }
            Action::Reconnect { worker } => {
                self.sessions.remove(&worker);
            }
            Action::Stop { worker, attempts } => self.send(worker, OutboxMessage::Stop(attempts)),
            Action::Nondeterminism {
                worker,
                attempt,
                recorded,
                reported,
            } => self.tell_difference(worker, attempt, recorded, reported),
            Action::DiscardCheckpoint {
                attempt,
                checkpoint,
            } => {
                let artifacts = self.artifacts.clone();
                tokio::spawn(async move {
                    let removed = artifacts.remove_checkpoint(attempt, checkpoint.digest);
                    // A file that stays costs its space until the garbage collector
                    // comes, and nothing else.
                    if let Err(error) = removed.await {
                        tracing::warn!(%error, "a checkpoint that nobody needs is still stored");
                    }
                });
            }
            // Results are made durable, and removed, with the events that say so;
            // reports are acknowledged once a turn.
            Action::RecordResult { .. }
            | Action::ForgetResults { .. }
            | Action::Acknowledge { .. } => {}
        }
        Ok(())
    }

    /// The stored result of a task that an attempt is to read.
    async fn result(&self, key: TaskKey) -> Result<Result<StoredResult, Unready>, EngineError> {
        let Some(result) = self.recorded(key) else {
            return Ok(Err(Unready { lost: None }));
        };
        match self.store.prompt_reader().results(&[(key, result)]).await {
            Ok(stored) => Ok(stored.into_iter().next().ok_or(Unready { lost: None })),
            // One result is lost, not the journal: its task runs again.
            Err(error) if error.task() == Some(key) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(
                    error,
                    "a stored result is lost or damaged; its task runs again"
                );
                Ok(Err(Unready { lost: Some(key) }))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The digest of a task's result, if it has finished.
    fn recorded(&self, key: TaskKey) -> Option<Digest> {
        match self.core.task(key)?.phase {
            TaskPhase::Finished { result, .. } => Some(result),
            _ => None,
        }
    }

    async fn assignment(
        &mut self,
        attempt: AttemptId,
    ) -> Result<Result<Assignment, Unready>, EngineError> {
        let Some(spec) = self.core.spec(attempt.task) else {
            return Ok(Err(Unready { lost: None }));
        };
        let mut inputs = Vec::new();
        for key in spec.inputs() {
            if let Some(known) = self.inputs.get(&key) {
                inputs.push((key, known.clone()));
                continue;
            }
            match self.result(key).await? {
                Ok(stored) => {
                    self.inputs.insert(key, stored.clone());
                    inputs.push((key, stored));
                }
                Err(unready) => return Ok(Err(unready)),
            }
        }
        Ok(Ok(Assignment {
            attempt,
            spec,
            inputs,
            checkpoint: self.core.checkpoint(attempt.task),
        }))
    }

    /// Takes an attempt back that cannot start, as if its worker had returned it, in a
    /// turn of its own. The task whose result is `lost` is opened first.
    fn take_back(&self, worker: WorkerId, attempt: AttemptId, lost: Option<TaskKey>) {
        let Some(session) = self.sessions.get(&worker).map(|session| session.id) else {
            // What it does not hold is taken from it when it says hello.
            return;
        };
        let inbox = self.own_inbox.clone();
        tokio::spawn(async move {
            let Some(inbox) = inbox.upgrade() else {
                return;
            };
            let lost = lost.map(|task| Request::ArtifactLost { task });
            let returned = Request::Report {
                worker,
                session,
                attempt,
                outcome: Box::new(AttemptOutcome::Returned),
            };
            for request in lost.into_iter().chain([returned]) {
                // When the engine has stopped there is nobody to tell.
                let _ = inbox.send(request).await;
            }
        });
    }

    /// Logs that two attempts gave different results, with what made each of them.
    fn tell_difference(
        &self,
        worker: WorkerId,
        attempt: AttemptId,
        recorded: Digest,
        reported: Digest,
    ) {
        let other = self.core.worker(worker);
        let other = other.map_or_else(unknown, |other| maker(other.capability));
        let reader = self.store.reader();
        tokio::spawn(async move {
            let first = recorded_maker(reader.as_ref(), attempt.task, recorded).await;
            tracing::error!(
                %attempt, %recorded, by = first.unwrap_or_else(unknown), %reported, other_by = other,
                "two attempts at one task gave different results"
            );
        });
    }

    /// A worker that has gone meanwhile says hello again and is told then.
    pub(super) fn send(&mut self, worker: WorkerId, message: OutboxMessage) {
        if let Some(session) = self.sessions.get(&worker) {
            let _ = session.outbox.send(message);
        }
    }

    /// Has the files looked at that a task reads, after a worker could not have
    /// them. The task whose file is lost or damaged is opened again; what a client
    /// stored can only be stored again.
    pub(super) fn look_for_inputs(&self, task: TaskKey) {
        let Some(spec) = self.core.spec(task) else {
            return;
        };
        for digest in uploads(&spec) {
            tokio::spawn(look_for_upload(self.artifacts.clone(), task, digest));
        }
        for key in spec.inputs() {
            let Some(result) = self.recorded(key) else {
                continue;
            };
            let known = self.inputs.get(&key).cloned();
            let store = Arc::clone(&self.store);
            let (artifacts, inbox) = (self.artifacts.clone(), self.own_inbox.clone());
            tokio::spawn(async move {
                let stored = match known {
                    Some(known) => known,
                    // After a restart none is known yet.
                    None => match store.reader().results(&[(key, result)]).await {
                        Ok(stored) => match stored.into_iter().next() {
                            Some(stored) => stored,
                            None => return,
                        },
                        // The next attempt that reads it finds out as well.
                        Err(error) => {
                            tracing::warn!(%error, task = %key, "result not checked");
                            return;
                        }
                    },
                };
                for file in stored.result.artifacts() {
                    match artifacts.verify(Area::Shared, file.digest).await {
                        Ok(Verdict::Whole) => {}
                        Ok(verdict) => {
                            tracing::error!(
                                task = %key, artifact = %file.digest, ?verdict,
                                "a file of a finished task is lost or damaged; the task runs again"
                            );
                            if let Some(inbox) = inbox.upgrade() {
                                // When the engine has stopped there is nobody to tell.
                                let _ = inbox.send(Request::ArtifactLost { task: key }).await;
                            }
                            return;
                        }
                        // It may be there: nothing is decided while its place is away.
                        Err(error) => {
                            tracing::warn!(%error, artifact = %file.digest, "artifact not checked");
                            return;
                        }
                    }
                }
            });
        }
    }
}

/// Files that a task reads and that a client stored.
fn uploads(spec: &TaskSpec) -> Vec<Digest> {
    match spec {
        TaskSpec::Search(SearchSpec {
            benchmark: BenchmarkRef::Table { digest },
            ..
        }) => vec![*digest],
        TaskSpec::Program(spec) => spec.files.iter().map(|file| file.digest).collect(),
        _ => Vec::new(),
    }
}

/// Says of a file that a client stored that it is lost or damaged. A damaged one is put
/// aside, so that it can be stored again.
async fn look_for_upload(artifacts: ArtifactStore, task: TaskKey, digest: Digest) {
    match artifacts.verify(Area::Shared, digest).await {
        Ok(Verdict::Whole) => {}
        Ok(verdict) => tracing::error!(
            %task, artifact = %digest, ?verdict,
            "a file of a study is lost or damaged; submit the study again, which uploads it"
        ),
        // It may be there: nothing is said while its place is away.
        Err(error) => tracing::warn!(%error, artifact = %digest, "artifact not checked"),
    }
}

/// What made the result of a task that is stored under this digest, if that is known.
async fn recorded_maker(reader: &dyn Reader, task: TaskKey, result: Digest) -> Option<String> {
    let stored = reader.results(&[(task, result)]).await.ok()?;
    let record = reader
        .provenance(stored.first()?.provenance?)
        .await
        .ok()??;
    let made_by: Capability = serde_json::from_str(&record).ok()?;
    Some(maker(&made_by))
}

/// Host, device and versions in a line.
fn maker(capability: &Capability) -> String {
    format!(
        "{}, {}; {}",
        capability.host,
        capability.device,
        capability.program()
    )
}

fn unknown() -> String {
    "unknown".to_owned()
}
