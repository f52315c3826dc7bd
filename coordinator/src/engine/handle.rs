//! How the rest of the coordinator talks to the engine: requests with replies.

use reprise_core::lifecycle::{Actor, Checkpoint, Input, Progress, Refusal};
use reprise_core::plan::{Plan, PlanError, study_digest};
use reprise_domain::measure::ArtifactRef;
use reprise_domain::record::{ArchivedResult, Unarchived};
use reprise_domain::study::StudySpec;
use reprise_domain::{
    AttemptId, AttemptOutcome, Capability, Digest, StudyName, TaskKey, TaskSpec, WorkerId,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::questions::Question;
use super::told::{Ear, Listener};
use super::unarchive::{Settled, UnarchiveError};
use crate::architectures::planned;
use crate::background;
use crate::store::StoredResult;

/// Requests that may wait for the engine. Workers and clients that send faster
/// than commits complete are held back here.
pub(super) const INBOX: usize = 4096;

/// One connection of a worker. A later one of the same worker has a larger
/// number, so that the end of an old connection is told from that of the new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// What the engine sends to a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum OutboxMessage {
    /// Attempts to run.
    Start(Vec<Assignment>),
    /// Attempts to drop.
    Stop(Vec<AttemptId>),
    /// Attempts whose reports are durable.
    Acknowledge(Vec<AttemptId>),
}

/// An attempt with all that it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The attempt.
    pub attempt: AttemptId,
    /// The task.
    pub spec: TaskSpec,
    /// Results of the tasks that it reads.
    pub inputs: Vec<(TaskKey, StoredResult)>,
    /// Where an earlier attempt stood.
    pub checkpoint: Option<Checkpoint>,
}

/// What a worker says when it connects.
#[derive(Debug, Clone, PartialEq)]
pub struct Greeting {
    /// What it offers.
    pub capability: Capability,
    /// Attempts that it still runs or whose results it still holds.
    pub holding: Vec<AttemptId>,
    /// Whether the same process was welcomed before.
    pub again: bool,
}

/// A request to the engine.
#[derive(Debug)]
pub(super) enum Request {
    Submit {
        spec: Box<StudySpec>,
        digest: Digest,
        /// Its tasks; none for a study that was known with this digest.
        plan: Option<Plan>,
        amend: bool,
        by: Actor,
        reply: oneshot::Sender<Result<bool, SubmitError>>,
    },
    /// What a client wants done; answered with the number of tasks that it opened
    /// again.
    Command {
        input: Box<Input>,
        reply: oneshot::Sender<Result<u64, Refusal>>,
    },
    /// Results from an archive, with their digests.
    Unarchive {
        study: StudyName,
        results: Vec<(Digest, ArchivedResult)>,
        settled: Settled,
        by: Actor,
        reply: oneshot::Sender<Result<(Unarchived, Settled), UnarchiveError>>,
    },
    Question(Question),
    Hello {
        worker: WorkerId,
        greeting: Greeting,
        outbox: mpsc::UnboundedSender<OutboxMessage>,
        reply: oneshot::Sender<Result<SessionId, Refusal>>,
    },
    Report {
        worker: WorkerId,
        session: SessionId,
        attempt: AttemptId,
        outcome: Box<AttemptOutcome>,
    },
    Checkpointed {
        worker: WorkerId,
        session: SessionId,
        attempt: AttemptId,
        checkpoint: ArtifactRef,
        done: u64,
    },
    /// A file of a finished task's result is lost or damaged.
    ArtifactLost {
        task: TaskKey,
    },
    /// The file of a checkpoint is lost or damaged.
    CheckpointLost {
        attempt: AttemptId,
        checkpoint: Digest,
    },
    Heartbeat {
        worker: WorkerId,
        session: SessionId,
        progress: Vec<(AttemptId, Progress)>,
    },
    Draining {
        worker: WorkerId,
        session: SessionId,
    },
    Gone {
        worker: WorkerId,
        session: SessionId,
    },
}

/// Why a study was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The spec makes no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The core refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The engine has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator is stopping")]
pub struct Unavailable;

/// A cheap way to the engine.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) inbox: mpsc::Sender<Request>,
    pub(super) changes: watch::Receiver<u64>,
    pub(super) ear: Ear,
}

/// The tasks of a study.
impl Handle {
    /// Starts a study or takes it up again; tells whether it was known.
    pub async fn submit(
        &self,
        spec: StudySpec,
        amend: bool,
        by: Actor,
    ) -> Result<Result<bool, SubmitError>, Unavailable> {
        let digest = study_digest(&spec);
        let name = spec.name.clone();
        let needs_plan = self.look(move |core| core.needs_plan(&name, digest));
        let spec = Box::new(spec);
        // A plan may have a million tasks: it is not made in the engine's loop.
        let (spec, plan) = if needs_plan.await? {
            let planned = background::run(move || {
                let plan = planned(&spec);
                (spec, plan)
            });
            match planned.await {
                (spec, Ok(plan)) => (spec, Some(plan)),
                (_, Err(error)) => return Ok(Err(error.into())),
            }
        } else {
            (spec, None)
        };
        self.ask(|reply| Request::Submit {
            spec,
            digest,
            plan,
            amend,
            by,
            reply,
        })
        .await
    }

    /// A worker has connected. Messages to it come out of `outbox`'s other end.
    pub async fn hello(
        &self,
        worker: WorkerId,
        greeting: Greeting,
        outbox: mpsc::UnboundedSender<OutboxMessage>,
    ) -> Result<Result<SessionId, Refusal>, Unavailable> {
        self.ask(|reply| Request::Hello {
            worker,
            greeting,
            outbox,
            reply,
        })
        .await
    }

    /// An attempt has ended.
    pub async fn report(
        &self,
        worker: WorkerId,
        session: SessionId,
        attempt: AttemptId,
        outcome: AttemptOutcome,
    ) -> Result<(), Unavailable> {
        self.tell(Request::Report {
            worker,
            session,
            attempt,
            outcome: Box::new(outcome),
        })
        .await
    }

    /// An attempt has stored where it stands.
    pub async fn checkpointed(
        &self,
        worker: WorkerId,
        session: SessionId,
        attempt: AttemptId,
        checkpoint: ArtifactRef,
        done: u64,
    ) -> Result<(), Unavailable> {
        self.tell(Request::Checkpointed {
            worker,
            session,
            attempt,
            checkpoint,
            done,
        })
        .await
    }

    /// A sign of life, with how far the attempts are that have moved.
    pub async fn heartbeat(
        &self,
        worker: WorkerId,
        session: SessionId,
        progress: Vec<(AttemptId, Progress)>,
    ) -> Result<(), Unavailable> {
        self.tell(Request::Heartbeat {
            worker,
            session,
            progress,
        })
        .await
    }

    /// The file of a checkpoint is missing or damaged: whoever has its task cannot go on
    /// from it.
    pub async fn checkpoint_lost(
        &self,
        attempt: AttemptId,
        checkpoint: Digest,
    ) -> Result<(), Unavailable> {
        self.tell(Request::CheckpointLost {
            attempt,
            checkpoint,
        })
        .await
    }

    /// A worker takes nothing more.
    pub async fn draining(&self, worker: WorkerId, session: SessionId) -> Result<(), Unavailable> {
        self.tell(Request::Draining { worker, session }).await
    }

    /// A worker's connection has ended.
    pub async fn gone(&self, worker: WorkerId, session: SessionId) -> Result<(), Unavailable> {
        self.tell(Request::Gone { worker, session }).await
    }

    /// Listens to the newest `recent` events, and to what comes where `follow` says
    /// so.
    pub fn listen(&self, recent: u64, follow: bool) -> Listener {
        self.ear.listen(recent, follow)
    }

    /// A number that grows whenever anything that clients see has changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    async fn tell(&self, request: Request) -> Result<(), Unavailable> {
        self.inbox.send(request).await.map_err(|_| Unavailable)
    }

    pub(super) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.tell(request(reply)).await?;
        answer.await.map_err(|_| Unavailable)
    }
}
