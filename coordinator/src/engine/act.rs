//! Carries out what the core asked for, after it is durable.

use reprise_core::lifecycle::{Action, TaskPhase};
use reprise_domain::{AttemptId, TaskKey, WorkerId};

use super::handle::{Assignment, OutboxMessage, Request};
use super::service::{EngineError, Service};
use crate::artifact::{Area, Verdict};
use crate::store::StoredResult;

impl Service {
    /// Carries out what the core asked for, after it is durable.
    pub(super) async fn act(&mut self, action: Action) -> Result<(), EngineError> {
        match action {
            Action::Start { worker, attempts } => {
                let mut assignments = Vec::with_capacity(attempts.len());
                for attempt in attempts {
                    assignments.extend(self.assignment(attempt).await?);
                }
                self.send(worker, OutboxMessage::Start(assignments));
            }
            Action::Reconnect { worker } => {
                self.sessions.remove(&worker);
            }
            Action::Stop { worker, attempts } => self.send(worker, OutboxMessage::Stop(attempts)),
            Action::Nondeterminism {
                attempt,
                recorded,
                reported,
            } => {
                tracing::error!(
                    %attempt, %recorded, %reported,
                    "two attempts at one task gave different results"
                );
            }
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

    /// The stored result of a task, if it has finished.
    async fn result(&self, key: TaskKey) -> Result<Option<StoredResult>, EngineError> {
        let phase = self.core.task(key).map(|task| task.phase);
        let Some(TaskPhase::Finished { result, .. }) = phase else {
            return Ok(None);
        };
        match self.store.reader().results(&[(key, result)]).await {
            Ok(stored) => Ok(stored.into_iter().next()),
            // One result is lost, not the journal: its task runs again.
            Err(error) if error.task() == Some(key) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(
                    error,
                    "a stored result is lost or damaged; its task runs again"
                );
                self.reopen(key);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn assignment(&mut self, attempt: AttemptId) -> Result<Option<Assignment>, EngineError> {
        let Some(spec) = self.core.spec(attempt.task) else {
            return Ok(None);
        };
        let mut inputs = Vec::new();
        for key in spec.inputs() {
            if let Some(known) = self.inputs.get(&key) {
                inputs.push((key, known.clone()));
            } else if let Some(stored) = self.result(key).await? {
                self.inputs.insert(key, stored.clone());
                inputs.push((key, stored));
            }
        }
        Ok(Some(Assignment {
            attempt,
            spec,
            inputs,
            checkpoint: self.core.checkpoint(attempt.task),
        }))
    }

    /// Has a finished task opened again, in a turn of its own.
    fn reopen(&self, task: TaskKey) {
        let inbox = self.own_inbox.clone();
        tokio::spawn(async move {
            if let Some(inbox) = inbox.upgrade() {
                // When the engine has stopped there is nobody to tell.
                let _ = inbox.send(Request::ArtifactLost { task }).await;
            }
        });
    }

    /// A worker that has gone meanwhile says hello again and is told then.
    pub(super) fn send(&mut self, worker: WorkerId, message: OutboxMessage) {
        if let Some(session) = self.sessions.get(&worker) {
            let _ = session.outbox.send(message);
        }
    }

    /// Has the files looked at that a task reads, after a worker could not have
    /// them. The task whose file is lost or damaged is opened again.
    pub(super) fn look_for_inputs(&self, task: TaskKey) {
        let inputs = self
            .core
            .spec(task)
            .map_or(Vec::new(), |spec| spec.inputs());
        for key in inputs {
            let Some(stored) = self.inputs.get(&key) else {
                continue;
            };
            let files = stored.result.artifacts();
            let (artifacts, inbox) = (self.artifacts.clone(), self.own_inbox.clone());
            tokio::spawn(async move {
                for file in files {
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
