//! A worker's session: translates its stream into requests to the engine and the
//! engine's messages into its stream.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use prost::Message as _;
use reprise_core::lifecycle::Progress;
use reprise_core::message::split;
use reprise_domain::bounds;
use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, AttemptOutcome, Capability, Failure, FailureClass, WorkerId};
use reprise_proto::PROTOCOL_VERSION;
use reprise_proto::convert::{self, ConvertError};
use reprise_proto::pb::from_worker::Message as FromMessage;
use reprise_proto::pb::to_worker::Message as ToMessage;
use reprise_proto::pb::worker_service_server::WorkerService;
use reprise_proto::pb::{self, FromWorker, ToWorker};
use reprise_proto::status::{ApiError, ErrorCode};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::guard::refusal;
use crate::artifact::{Area, ArtifactStore};
use crate::engine::{Assignment, Greeting, Handle, OutboxMessage, SessionId, Unavailable};
use crate::security::Caller;

/// How long a new connection may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The worker's side of the coordinator.
#[derive(Debug)]
pub(super) struct WorkerApi {
    engine: Handle,
    artifacts: ArtifactStore,
    heartbeat_timeout: Duration,
    shutdown: CancellationToken,
}

impl WorkerApi {
    pub(super) fn new(
        engine: Handle,
        artifacts: ArtifactStore,
        heartbeat_timeout: Duration,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            engine,
            artifacts,
            heartbeat_timeout,
            shutdown,
        }
    }
}

#[tonic::async_trait]
impl WorkerService for WorkerApi {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<ToWorker, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<FromWorker>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let caller = request.extensions().get::<Caller>().cloned();
        let caller = caller
            .ok_or_else(|| ApiError::new(ErrorCode::Internal, "the session has no caller"))?;
        let mut stream = request.into_inner();
        let hello = first(&mut stream).await?;
        let (worker, greeting) = read_hello(hello)?;
        let (outbox, messages) = mpsc::unbounded_channel();
        let session = self
            .engine
            .hello(worker, greeting, outbox)
            .await
            .map_err(unavailable)?
            .map_err(|refusal| ApiError::new(ErrorCode::InvalidRequest, refusal))?;
        tracing::info!(
            %worker, session = session.0, peer = %caller.address(), credential = caller.holder(),
            "worker connected"
        );
        let ear = Ear {
            engine: self.engine.clone(),
            artifacts: self.artifacts.clone(),
            caller,
            worker,
            session,
        };
        let ended = self.shutdown.child_token();
        let end = ended.clone().drop_guard();
        let (cut, cut_by) = oneshot::channel();
        tokio::spawn(async move {
            tokio::select! {
                heard = ear.listen(&mut stream) => {
                    if let Err(error) = heard {
                        ear.caller.refused(&error);
                        // A worker that has gone does not need to be told.
                        let _ = cut.send(Err(Status::from(error)));
                    }
                }
                () = ended.cancelled() => {}
            }
            tracing::info!(%worker, session = session.0, "worker disconnected");
            // When the engine has stopped there is nobody left to tell.
            let _ = ear.engine.gone(worker, session).await;
        });
        let timeout = u32::try_from(self.heartbeat_timeout.as_millis()).unwrap_or(u32::MAX);
        let welcome = pb::Welcome {
            protocol: PROTOCOL_VERSION,
            heartbeat_timeout_ms: timeout,
        };
        let welcome = stream::once(async move { ToMessage::Welcome(welcome) });
        let messages = UnboundedReceiverStream::new(messages)
            .flat_map(|message| stream::iter(to_wire(message)));
        let messages = welcome.chain(messages).map(|message| {
            Some(Ok(ToWorker {
                message: Some(message),
            }))
        });
        // The engine drops its end of a session that is over, and a session that is
        // cut says why: either ends the stream, and with it the other direction.
        let messages = messages.chain(stream::once(async { None }));
        let cut_by = stream::once(cut_by).map(Result::ok);
        let both = stream::select(messages, cut_by)
            .take_while(|message| std::future::ready(message.is_some()))
            .filter_map(std::future::ready)
            .map(move |message| {
                let _held = &end;
                message
            });
        Ok(Response::new(Box::pin(both)))
    }
}

async fn first(stream: &mut Streaming<FromWorker>) -> Result<pb::Hello, Status> {
    let expected = || {
        ApiError::new(
            ErrorCode::InvalidRequest,
            "the first message of a session must be a hello",
        )
    };
    let message = tokio::time::timeout(HELLO_TIMEOUT, stream.message())
        .await
        .map_err(|_| expected())??;
    match message.and_then(|message| message.message) {
        Some(FromMessage::Hello(hello)) => Ok(hello),
        _ => Err(expected().into()),
    }
}

fn read_hello(hello: pb::Hello) -> Result<(WorkerId, Greeting), ApiError> {
    if hello.protocol != PROTOCOL_VERSION {
        return Err(ApiError::new(
            ErrorCode::ProtocolVersion,
            format_args!(
                "worker speaks protocol `{}`, coordinator speaks `{PROTOCOL_VERSION}`",
                hello.protocol
            ),
        )
        .hint("run the same version of `reprise` and `reprise-worker`"));
    }
    let worker = convert::worker_id("hello.worker", &hello.worker)?;
    if hello.capability.len() > bounds::worker::CAPABILITY_BYTES {
        return Err(ApiError::new(
            ErrorCode::TooLarge,
            format_args!(
                "`hello.capability` has {} bytes, expected at most {}",
                hello.capability.len(),
                bounds::worker::CAPABILITY_BYTES
            ),
        ));
    }
    let capability: Capability = convert::from_json("hello.capability", &hello.capability)?;
    if let Some(problem) = capability
        .check()
        .err()
        .and_then(|all| all.into_iter().next())
    {
        return Err(ApiError::new(ErrorCode::InvalidRequest, problem));
    }
    let greeting = Greeting {
        capability,
        holding: convert::attempts(hello.holding)?,
        again: hello.again,
    };
    Ok((worker, greeting))
}

/// The listening half of a session.
struct Ear {
    engine: Handle,
    artifacts: ArtifactStore,
    caller: Caller,
    worker: WorkerId,
    session: SessionId,
}

impl Ear {
    /// Passes messages on until the stream ends, or its sender must not go on.
    async fn listen(&self, stream: &mut Streaming<FromWorker>) -> Result<(), ApiError> {
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(status) => match refusal(&status) {
                    error if error.code == ErrorCode::TooLarge => return Err(error),
                    // A broken connection is an end like any other: the worker dials
                    // again.
                    _ => return Ok(()),
                },
            };
            self.caller.check()?;
            if self.pass_on(message.message).await?.is_err() {
                return Ok(());
            }
        }
    }

    async fn pass_on(
        &self,
        message: Option<FromMessage>,
    ) -> Result<Result<(), Unavailable>, ApiError> {
        let (engine, worker, session) = (&self.engine, self.worker, self.session);
        Ok(match message {
            Some(FromMessage::Report(report)) => {
                let attempt = attempt("report.attempt", report.attempt)?;
                let outcome = convert::from_json("report.outcome", &report.outcome)?;
                let outcome = self.with_files(outcome).await?;
                engine.report(worker, session, attempt, outcome).await
            }
            Some(FromMessage::Checkpoint(checkpoint)) => {
                let attempt = attempt("checkpoint.attempt", checkpoint.attempt)?;
                let artifact = checkpoint.artifact.ok_or(ConvertError::Missing {
                    field: "checkpoint.artifact",
                })?;
                let artifact: ArtifactRef = artifact.try_into()?;
                if !self.is_stored(Area::Checkpoint(attempt), artifact).await? {
                    tracing::warn!(
                        %worker, %attempt, artifact = %artifact.digest,
                        "a checkpoint was announced that is not stored; it is not kept"
                    );
                    return Ok(Ok(()));
                }
                engine
                    .checkpointed(worker, session, attempt, artifact, checkpoint.done)
                    .await
            }
            Some(FromMessage::Heartbeat(heartbeat)) => {
                let progress = heartbeat.progress.into_iter().map(|progress| {
                    let attempt = attempt("heartbeat.progress.attempt", progress.attempt)?;
                    let reached = Progress {
                        done: progress.done,
                        total: progress.total,
                        running: Duration::from_millis(progress.running_ms),
                    };
                    Ok((attempt, reached))
                });
                let progress = progress.collect::<Result<Vec<_>, ConvertError>>()?;
                engine.heartbeat(worker, session, progress).await
            }
            Some(FromMessage::Log(log)) => {
                let attempt = attempt("log.attempt", log.attempt)?;
                self.keep_log(attempt, &log.text).await
            }
            Some(FromMessage::Draining(pb::Draining {})) => engine.draining(worker, session).await,
            Some(FromMessage::Hello(_)) => {
                return Err(ApiError::new(
                    ErrorCode::InvalidRequest,
                    "a session has one hello only",
                ));
            }
            None => engine.heartbeat(worker, session, Vec::new()).await,
        })
    }

    /// An outcome whose files are stored; else a failure that names what is not.
    async fn with_files(&self, outcome: AttemptOutcome) -> Result<AttemptOutcome, ApiError> {
        let AttemptOutcome::Finished { result, .. } = &outcome else {
            return Ok(outcome);
        };
        for artifact in result.artifacts() {
            if !self.is_stored(Area::Shared, artifact).await? {
                return Ok(AttemptOutcome::Failed(Failure {
                    class: FailureClass::Task,
                    message: format!(
                        "the worker reported a result whose artifact `{}` of `{}` bytes is not stored",
                        artifact.digest, artifact.bytes
                    ),
                    log: Vec::new(),
                }));
            }
        }
        Ok(outcome)
    }

    async fn is_stored(&self, area: Area, artifact: ArtifactRef) -> Result<bool, ApiError> {
        let size = self.artifacts.size(area, artifact.digest).await;
        let size = size.map_err(|error| ApiError::new(ErrorCode::Unavailable, error))?;
        Ok(size == Some(artifact.bytes))
    }

    /// Keeps the end of an attempt's log, if there is such an attempt.
    async fn keep_log(&self, attempt: AttemptId, text: &[u8]) -> Result<(), Unavailable> {
        let known = self.engine.task_entry(attempt.task).await?;
        let newest = known.map_or(0, |(entry, _)| entry.task.attempts);
        if attempt.number <= newest
            && let Err(error) = self.artifacts.put_log(attempt, text).await
        {
            // The task does not depend on it.
            tracing::warn!(%error, %attempt, "log not kept");
        }
        Ok(())
    }
}

fn attempt(field: &'static str, attempt: Option<pb::Attempt>) -> Result<AttemptId, ConvertError> {
    attempt.ok_or(ConvertError::Missing { field })?.try_into()
}

/// Bytes of assignments in one message: far below what either side accepts. Some
/// 60,000 assignments at once would be too many for one.
const START_BYTES: usize = 1 << 20;

fn to_wire(message: OutboxMessage) -> Vec<ToMessage> {
    let attempts = |list: Vec<AttemptId>| list.into_iter().map(pb::Attempt::from).collect();
    match message {
        OutboxMessage::Stop(list) => vec![ToMessage::Stop(pb::Stop {
            attempts: attempts(list),
        })],
        OutboxMessage::Acknowledge(list) => vec![ToMessage::Acknowledge(pb::Acknowledge {
            attempts: attempts(list),
        })],
        OutboxMessage::Start(assignments) => starts(&assignments),
    }
}

fn starts(assignments: &[Assignment]) -> Vec<ToMessage> {
    let assignments = assignments.iter().map(assigned);
    split(assignments, pb::Assignment::encoded_len, START_BYTES)
        .into_iter()
        .map(|assignments| ToMessage::Start(pb::Start { assignments }))
        .collect()
}

fn assigned(assignment: &Assignment) -> pb::Assignment {
    let inputs = assignment.inputs.iter().map(|(key, stored)| pb::Input {
        task: convert::digest_bytes(key.0),
        result: convert::to_json(&stored.result),
    });
    let checkpoint = assignment.checkpoint;
    pb::Assignment {
        attempt: Some(assignment.attempt.into()),
        spec: convert::to_json(&assignment.spec),
        inputs: inputs.collect(),
        checkpoint: checkpoint.map(|saved| saved.artifact.into()),
        checkpoint_of: checkpoint.map(|saved| saved.attempt.into()),
    }
}

pub(super) fn unavailable(error: Unavailable) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, error)
}

#[cfg(test)]
mod tests {
    use reprise_domain::{Digest, NoopSpec, Seed, TaskKey, TaskSpec};

    use super::*;

    #[test]
    fn many_assignments_go_in_several_messages_of_bounded_size() {
        let assignment = |number| Assignment {
            attempt: AttemptId {
                task: TaskKey(Digest::from_bytes([7; 32])),
                number,
            },
            spec: TaskSpec::Noop(NoopSpec {
                hold_ms: 0,
                failures: 0,
                seed: Seed(u64::from(number)),
            }),
            inputs: Vec::new(),
            checkpoint: None,
        };
        let assignments: Vec<_> = (1..=40_000).map(assignment).collect();
        let messages = starts(&assignments);
        let mut numbers = Vec::new();
        for message in &messages {
            let ToMessage::Start(start) = message else {
                panic!("{message:?}");
            };
            // Beside each assignment stands how long it is.
            let room = start.assignments.len() * 4;
            assert!(start.encoded_len() <= START_BYTES + room);
            let attempts = start
                .assignments
                .iter()
                .filter_map(|given| given.attempt.as_ref());
            numbers.extend(attempts.map(|attempt| attempt.number));
        }
        assert!(messages.len() > 2, "{} messages", messages.len());
        assert!(numbers.into_iter().eq(1..=40_000));
        assert_eq!(starts(&[]), [], "nothing to say");
    }
}
