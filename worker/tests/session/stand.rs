//! A coordinator that says what a test tells it to, and a real worker that talks to
//! it. No real coordinator can be made to drop a session on demand, or to stand still.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use reprise_child::TorchDevice;
use reprise_domain::{
    AttemptId, AttemptOutcome, Capability, Digest, NoopSpec, Seed, TaskKey, TaskSpec,
};
use reprise_proto::pb::artifact_service_server::{ArtifactService, ArtifactServiceServer};
use reprise_proto::pb::from_worker::Message as FromMessage;
use reprise_proto::pb::to_worker::Message as ToMessage;
use reprise_proto::pb::worker_service_server::{WorkerService, WorkerServiceServer};
use reprise_proto::pb::{self, FromWorker, ToWorker};
use reprise_proto::status::{ApiError, ErrorCode};
use reprise_proto::{PROTOCOL_VERSION, convert};
use reprise_worker::packing::Packs;
use reprise_worker::session::{Config, Service};
use reprise_worker::torch::Torch;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Longest silence that the coordinator allows: heartbeats come three times as often.
pub(crate) const SILENCE: Duration = Duration::from_millis(600);

/// More time between two checkpoints than any test takes.
const RARELY: Duration = Duration::from_hours(1);

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// A listening coordinator.
pub(crate) struct Stand {
    url: String,
    sessions: UnboundedReceiver<Session>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// One session as the coordinator has it. The response stream ends with it.
pub(crate) struct Session {
    pub(crate) hello: pb::Hello,
    heard: UnboundedReceiver<FromMessage>,
    say: UnboundedSender<ToMessage>,
}

/// The server's half.
struct Sessions(UnboundedSender<Session>);

#[tonic::async_trait]
impl WorkerService for Sessions {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<ToWorker, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<FromWorker>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut stream = request.into_inner();
        let first = stream.message().await?.and_then(|first| first.message);
        let Some(FromMessage::Hello(hello)) = first else {
            return Err(Status::invalid_argument("no hello"));
        };
        let (tell, heard) = mpsc::unbounded_channel();
        let (say, said) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(message)) = stream.message().await {
                // A test that has ended hears nothing.
                message
                    .message
                    .into_iter()
                    .for_each(|message| drop(tell.send(message)));
            }
        });
        let welcome = ToMessage::Welcome(pb::Welcome {
            protocol: PROTOCOL_VERSION,
            heartbeat_timeout_ms: SILENCE.as_millis() as u32,
        });
        drop(say.send(welcome));
        drop(self.0.send(Session { hello, heard, say }));
        let messages = UnboundedReceiverStream::new(said).map(|message| {
            Ok(ToWorker {
                message: Some(message),
            })
        });
        Ok(Response::new(Box::pin(messages)))
    }
}

/// Takes every file and has none.
struct Files;

#[tonic::async_trait]
impl ArtifactService for Files {
    type GetStream = Pin<Box<dyn Stream<Item = Result<pb::GetChunk, Status>> + Send>>;

    async fn has(&self, _: Request<pb::GetRequest>) -> Result<Response<pb::Presence>, Status> {
        Ok(Response::new(pb::Presence { present: false }))
    }

    async fn put(
        &self,
        request: Request<Streaming<pb::PutChunk>>,
    ) -> Result<Response<pb::PutReceipt>, Status> {
        let mut chunks = request.into_inner();
        while chunks.message().await?.is_some() {}
        Ok(Response::new(pb::PutReceipt {}))
    }

    async fn get(&self, _: Request<pb::GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        Err(ApiError::new(ErrorCode::NotFound, "no such file").into())
    }

    async fn collect_garbage(
        &self,
        _: Request<pb::CollectGarbageRequest>,
    ) -> Result<Response<pb::CollectGarbageResponse>, Status> {
        Ok(Response::new(pb::CollectGarbageResponse::default()))
    }
}

impl Stand {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (sender, sessions) = mpsc::unbounded_channel();
        let server = Server::builder()
            .add_service(WorkerServiceServer::new(Sessions(sender)))
            .add_service(ArtifactServiceServer::new(Files))
            .serve_with_incoming(TcpListenerStream::new(listener));
        Ok(Self {
            url,
            sessions,
            server: tokio::spawn(server),
        })
    }

    /// Starts a worker of one slot in `directory`.
    pub(crate) fn worker(&self, directory: &Path) -> anyhow::Result<Worker> {
        self.worker_that_sends(directory, RARELY)
    }

    /// Starts one that has a program for what needs libtorch.
    pub(crate) fn worker_with(&self, directory: &Path, torch: Torch) -> anyhow::Result<Worker> {
        self.started(directory, RARELY, Some(torch), None)
    }

    /// Starts one that pretrains two seeds together.
    pub(crate) fn worker_that_packs(
        &self,
        directory: &Path,
        torch: Torch,
    ) -> anyhow::Result<Worker> {
        let packs = Packs {
            device: TorchDevice::Cpu,
            most: 2,
            probe: false,
        };
        self.started(directory, RARELY, Some(torch), Some(packs))
    }

    /// Starts one that sends its checkpoints every `interval`.
    pub(crate) fn worker_that_sends(
        &self,
        directory: &Path,
        interval: Duration,
    ) -> anyhow::Result<Worker> {
        self.started(directory, interval, None, None)
    }

    fn started(
        &self,
        directory: &Path,
        interval: Duration,
        torch: Option<Torch>,
        packs: Option<Packs>,
    ) -> anyhow::Result<Worker> {
        let service = Service::open(Config {
            coordinator: self.url.clone(),
            credential: None,
            threads: 1,
            packs,
            torch,
            checkpoint_interval: interval,
            directory: directory.to_owned(),
            programs: None,
            capability: Capability {
                slots: 1,
                host: "stand".to_owned(),
                ..Capability::default()
            },
        })?;
        Ok(Worker(tokio::spawn(async move {
            // Nobody asks it to leave.
            drop(service.run(CancellationToken::new()).await);
        })))
    }

    /// The next session that a worker opens.
    pub(crate) async fn session(&mut self) -> anyhow::Result<Session> {
        let session = tokio::time::timeout(PATIENCE, self.sessions.recv()).await;
        session
            .context("no session is opened")?
            .context("the server has ended")
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A worker in this process. It is killed with this value.
pub(crate) struct Worker(JoinHandle<()>);

impl Worker {
    /// Ends it as a crash would: it hands nothing back.
    pub(crate) async fn kill(mut self) {
        self.0.abort();
        // Its directory is free once it has ended.
        drop((&mut self.0).await);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    /// The next message that `wanted` takes, the others passed over.
    pub(crate) async fn next<T>(
        &mut self,
        wanted: impl Fn(FromMessage) -> Option<T>,
    ) -> anyhow::Result<T> {
        let found = async {
            loop {
                let message = self.heard.recv().await.context("the session has ended")?;
                if let Some(found) = wanted(message) {
                    return anyhow::Ok(found);
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.context("the worker does not say it")?
    }

    /// The next report.
    pub(crate) async fn report(&mut self) -> anyhow::Result<(AttemptId, AttemptOutcome)> {
        let report = self.next(|message| match message {
            FromMessage::Report(report) => Some(report),
            _ => None,
        });
        let report = report.await?;
        let attempt = report.attempt.context("a report names its attempt")?;
        let outcome = convert::from_json("report.outcome", &report.outcome)?;
        Ok((attempt.try_into()?, outcome))
    }

    pub(crate) fn start(&self, assignments: &[(AttemptId, TaskSpec)]) -> anyhow::Result<()> {
        let assignments = assignments.iter().map(|(attempt, spec)| pb::Assignment {
            attempt: Some((*attempt).into()),
            spec: convert::to_json(spec),
            ..pb::Assignment::default()
        });
        let assignments = assignments.collect();
        Ok(self.say.send(ToMessage::Start(pb::Start { assignments }))?)
    }

    pub(crate) fn stop(&self, attempt: AttemptId) -> anyhow::Result<()> {
        let attempts = vec![attempt.into()];
        Ok(self.say.send(ToMessage::Stop(pb::Stop { attempts }))?)
    }

    pub(crate) fn acknowledge(&self, attempt: AttemptId) -> anyhow::Result<()> {
        let attempts = vec![attempt.into()];
        let acknowledge = ToMessage::Acknowledge(pb::Acknowledge { attempts });
        Ok(self.say.send(acknowledge)?)
    }
}

/// An attempt at a task of its own.
pub(crate) fn attempt(task: u8) -> AttemptId {
    AttemptId {
        task: TaskKey(Digest::from_bytes([task; 32])),
        number: 1,
    }
}

/// A task that fails so many times.
pub(crate) fn noop(failures: u32) -> TaskSpec {
    TaskSpec::Noop(NoopSpec {
        hold_ms: 0,
        failures,
        seed: Seed(1),
    })
}
