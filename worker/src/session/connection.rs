//! One connection: dials, says hello, and translates between the stream and the
//! session's messages.

use std::time::Duration;

use reprise_domain::{AttemptId, AttemptOutcome, Capability, TaskKey, WorkerId};
use reprise_proto::PROTOCOL_VERSION;
use reprise_proto::client::{Clients, connect};
use reprise_proto::convert::{self, ConvertError};
use reprise_proto::credential::Credential;
use reprise_proto::pb::from_worker::Message as FromMessage;
use reprise_proto::pb::to_worker::Message as ToMessage;
use reprise_proto::pb::{self, FromWorker, ToWorker};
use reprise_proto::status::{ApiError, ErrorCode};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;

use crate::checkpoints::{Announced, StoredCheckpoint};
use crate::logs::AttemptLog;
use crate::progress::{Progress, Reached};
use crate::slots::Assignment;

/// Attempts that a hello lists at most: its message stays under 3 MB. What is not
/// listed counts as lost until it is reported.
pub(super) const MOST_HELD: usize = 65_536;

/// What the coordinator says.
#[derive(Debug)]
pub(super) enum Incoming {
    Start(Vec<Assignment>),
    Stop(Vec<AttemptId>),
    Acknowledge(Vec<AttemptId>),
}

/// An open session.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) clients: Clients,
    pub(super) heartbeat: Duration,
    /// Longest silence that the coordinator allows.
    pub(super) silence: Duration,
    /// Unbounded, since the session must not wait; what can be in it is bounded by
    /// what the worker holds.
    outgoing: mpsc::UnboundedSender<FromWorker>,
    incoming: Streaming<ToWorker>,
}

/// The sending half, for tasks that run beside the session.
#[derive(Debug, Clone)]
pub(super) struct Outgoing(mpsc::UnboundedSender<FromWorker>);

impl Connection {
    /// Dials and says hello.
    pub(super) async fn open(
        url: &str,
        credential: Option<&Credential>,
        worker: WorkerId,
        capability: &Capability,
        holding: Vec<AttemptId>,
        again: bool,
    ) -> Result<Self, ApiError> {
        let mut clients = connect(url, credential).await?;
        let (outgoing, messages) = mpsc::unbounded_channel();
        let hello = FromMessage::Hello(pb::Hello {
            protocol: PROTOCOL_VERSION,
            worker: worker.0.as_bytes().to_vec(),
            capability: convert::to_json(capability),
            holding: holding.into_iter().map(pb::Attempt::from).collect(),
            again,
        });
        // Its other end is in the next line.
        let _ = outgoing.send(FromWorker {
            message: Some(hello),
        });
        let response = clients
            .worker
            .session(UnboundedReceiverStream::new(messages))
            .await;
        let mut incoming = response
            .map_err(|status| ApiError::from(&status))?
            .into_inner();
        let welcome = incoming
            .message()
            .await
            .map_err(|status| ApiError::from(&status))?;
        let Some(ToMessage::Welcome(welcome)) = welcome.and_then(|message| message.message) else {
            return Err(ApiError::new(
                ErrorCode::InvalidRequest,
                "the coordinator's first message is not a welcome",
            ));
        };
        // Three heartbeats fit into the silence that is allowed.
        let timeout = welcome.heartbeat_timeout_ms.clamp(300, 3_600_000);
        Ok(Self {
            clients,
            heartbeat: Duration::from_millis(u64::from(timeout / 3)),
            silence: Duration::from_millis(u64::from(timeout)),
            outgoing,
            incoming,
        })
    }

    /// The sending half.
    pub(super) fn outgoing(&self) -> Outgoing {
        Outgoing(self.outgoing.clone())
    }

    /// The next message; `None` when the connection has ended.
    pub(super) async fn next(&mut self) -> Result<Option<Incoming>, ApiError> {
        loop {
            let message = self
                .incoming
                .message()
                .await
                .map_err(|status| ApiError::from(&status))?;
            let Some(message) = message else {
                return Ok(None);
            };
            match message.message {
                Some(ToMessage::Start(start)) => {
                    let assignments: Result<_, _> =
                        start.assignments.into_iter().map(assignment).collect();
                    return Ok(Some(Incoming::Start(assignments?)));
                }
                Some(ToMessage::Stop(stop)) => {
                    return Ok(Some(Incoming::Stop(convert::attempts(stop.attempts)?)));
                }
                Some(ToMessage::Acknowledge(acknowledge)) => {
                    return Ok(Some(Incoming::Acknowledge(convert::attempts(
                        acknowledge.attempts,
                    )?)));
                }
                // A later coordinator may say more than this worker knows.
                Some(ToMessage::Welcome(_)) | None => {}
            }
        }
    }
}

impl Outgoing {
    /// Reports how an attempt ended. A connection that has ended meanwhile is
    /// noticed by the session; the outcome stays in the spool.
    pub(super) fn report(&self, attempt: AttemptId, outcome: &AttemptOutcome) {
        let report = pb::Report {
            attempt: Some(attempt.into()),
            outcome: convert::to_json(outcome),
        };
        self.send(FromMessage::Report(report));
    }

    /// Says where an attempt stands; the artifact is stored already.
    pub(super) fn checkpoint(&self, attempt: AttemptId, checkpoint: Announced) {
        let checkpoint = pb::Checkpoint {
            attempt: Some(attempt.into()),
            artifact: Some(checkpoint.artifact.into()),
            done: checkpoint.done,
        };
        self.send(FromMessage::Checkpoint(checkpoint));
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// A sign of life, with how far running attempts are.
    pub(super) fn heartbeat(&self, moved: Vec<(AttemptId, Reached)>) {
        let progress = moved.into_iter().map(|(attempt, reached)| pb::Progress {
            attempt: Some(attempt.into()),
            done: reached.done,
            total: reached.total,
            note: reached.note,
            running_ms: u64::try_from(reached.running.as_millis()).unwrap_or(u64::MAX),
        });
        self.send(FromMessage::Heartbeat(pb::Heartbeat {
            progress: progress.collect(),
        }));
    }

    /// What an attempt has logged so far.
    pub(super) fn log(&self, attempt: AttemptId, text: Vec<u8>) {
        self.send(FromMessage::Log(pb::Log {
            attempt: Some(attempt.into()),
            text,
        }));
    }

    /// Takes nothing more.
    pub(super) fn draining(&self) {
        self.send(FromMessage::Draining(pb::Draining {}));
    }

    fn send(&self, message: FromMessage) {
        let _ = self.0.send(FromWorker {
            message: Some(message),
        });
    }
}

fn assignment(wire: pb::Assignment) -> Result<Assignment, ConvertError> {
    let attempt = wire.attempt.ok_or(ConvertError::Missing {
        field: "start.assignments.attempt",
    })?;
    let input = |input: pb::Input| {
        let key = TaskKey(convert::digest(
            "start.assignments.inputs.task",
            &input.task,
        )?);
        Ok((
            key,
            convert::from_json("start.assignments.inputs.result", &input.result)?,
        ))
    };
    Ok(Assignment {
        attempt: attempt.try_into()?,
        spec: convert::from_json("start.assignments.spec", &wire.spec)?,
        inputs: wire
            .inputs
            .into_iter()
            .map(input)
            .collect::<Result<_, ConvertError>>()?,
        checkpoint: stored_checkpoint(wire.checkpoint, wire.checkpoint_of)?,
        progress: Progress::default(),
        log: AttemptLog::default(),
    })
}

fn stored_checkpoint(
    artifact: Option<pb::Artifact>,
    of: Option<pb::Attempt>,
) -> Result<Option<StoredCheckpoint>, ConvertError> {
    let Some(artifact) = artifact else {
        return Ok(None);
    };
    Ok(Some(StoredCheckpoint {
        artifact: artifact.try_into()?,
        of: of.map(TryInto::try_into).transpose()?,
    }))
}
