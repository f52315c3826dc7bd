//! A worker's session: translates its stream into requests to the engine and the
//! engine's messages into its stream.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use reprise_domain::{AttemptId, AttemptOutcome, WorkerId};
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
use crate::engine::{Greeting, Handle, OutboxMessage, SessionId, Unavailable};
use crate::security::Caller;

/// How long a new connection may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The worker's side of the coordinator.
#[derive(Debug)]
pub(super) struct WorkerApi {
    engine: Handle,
    heartbeat_timeout: Duration,
    shutdown: CancellationToken,
}

impl WorkerApi {
    pub(super) fn new(
        engine: Handle,
        heartbeat_timeout: Duration,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            engine,
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
        let engine = self.engine.clone();
        let shutdown = self.shutdown.clone();
        let (cut, cut_by) = oneshot::channel();
        tokio::spawn(async move {
            tokio::select! {
                ended = listen(&mut stream, &engine, &caller, worker, session) => {
                    if let Err(error) = ended {
                        caller.refused(&error);
                        // A worker that has gone does not need to be told.
                        let _ = cut.send(Err(Status::from(error)));
                    }
                }
                () = shutdown.cancelled() => {}
            }
            tracing::info!(%worker, session = session.0, "worker disconnected");
            // When the engine has stopped there is nobody left to tell.
            let _ = engine.gone(worker, session).await;
        });
        let timeout = u32::try_from(self.heartbeat_timeout.as_millis()).unwrap_or(u32::MAX);
        let welcome = pb::Welcome {
            protocol: PROTOCOL_VERSION,
            heartbeat_timeout_ms: timeout,
        };
        let welcome = stream::once(async move { ToMessage::Welcome(welcome) });
        let messages = welcome.chain(UnboundedReceiverStream::new(messages).map(to_wire));
        let messages = messages.map(|message| {
            Ok(ToWorker {
                message: Some(message),
            })
        });
        // Why the session was cut, if it was; that ends the stream.
        let cut_by = stream::once(cut_by).filter_map(async |cut| cut.ok());
        Ok(Response::new(Box::pin(stream::select(messages, cut_by))))
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
    let capability = convert::from_json("hello.capability", &hello.capability)?;
    let greeting = Greeting {
        capability,
        holding: convert::attempts(hello.holding)?,
        again: hello.again,
    };
    Ok((worker, greeting))
}

/// Passes messages on until the stream ends, or its sender must not go on.
async fn listen(
    stream: &mut Streaming<FromWorker>,
    engine: &Handle,
    caller: &Caller,
    worker: WorkerId,
    session: SessionId,
) -> Result<(), ApiError> {
    loop {
        let message = match stream.message().await {
            Ok(Some(message)) => message,
            Ok(None) => break,
            Err(status) => match refusal(&status) {
                error if error.code == ErrorCode::TooLarge => return Err(error),
                // A broken connection is an end like any other: the worker dials
                // again.
                _ => break,
            },
        };
        caller.check()?;
        let told = match message.message {
            Some(FromMessage::Report(report)) => {
                let attempt = report.attempt.ok_or(ConvertError::Missing {
                    field: "report.attempt",
                })?;
                let outcome: AttemptOutcome =
                    convert::from_json("report.outcome", &report.outcome)?;
                engine
                    .report(worker, session, AttemptId::try_from(attempt)?, outcome)
                    .await
            }
            Some(FromMessage::Checkpoint(checkpoint)) => {
                let attempt = checkpoint.attempt.ok_or(ConvertError::Missing {
                    field: "checkpoint.attempt",
                })?;
                let artifact = checkpoint.artifact.ok_or(ConvertError::Missing {
                    field: "checkpoint.artifact",
                })?;
                engine
                    .checkpointed(worker, session, attempt.try_into()?, artifact.try_into()?)
                    .await
            }
            Some(FromMessage::Heartbeat(_) | FromMessage::Log(_)) | None => {
                engine.heartbeat(worker, session).await
            }
            Some(FromMessage::Draining(pb::Draining {})) => engine.draining(worker, session).await,
            Some(FromMessage::Hello(_)) => {
                return Err(ApiError::new(
                    ErrorCode::InvalidRequest,
                    "a session has one hello only",
                ));
            }
        };
        if told.is_err() {
            break;
        }
    }
    Ok(())
}

fn to_wire(message: OutboxMessage) -> ToMessage {
    let attempts = |list: Vec<AttemptId>| list.into_iter().map(pb::Attempt::from).collect();
    match message {
        OutboxMessage::Stop(list) => ToMessage::Stop(pb::Stop {
            attempts: attempts(list),
        }),
        OutboxMessage::Acknowledge(list) => ToMessage::Acknowledge(pb::Acknowledge {
            attempts: attempts(list),
        }),
        OutboxMessage::Start(assignments) => {
            let assignments = assignments.into_iter().map(|assignment| pb::Assignment {
                attempt: Some(assignment.attempt.into()),
                spec: convert::to_json(&assignment.spec),
                inputs: assignment
                    .inputs
                    .iter()
                    .map(|(key, stored)| pb::Input {
                        task: convert::digest_bytes(key.0),
                        result: convert::to_json(&stored.result),
                    })
                    .collect(),
                checkpoint: assignment.checkpoint.map(Into::into),
                checkpoint_of: None,
            });
            ToMessage::Start(pb::Start {
                assignments: assignments.collect(),
            })
        }
    }
}

pub(super) fn unavailable(error: Unavailable) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, error)
}
