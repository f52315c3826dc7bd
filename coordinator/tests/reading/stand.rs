//! A coordinator for this process alone, and a worker that does what it is told.

use std::time::Duration;

use anyhow::Context as _;
use reprise_coordinator::client::Client;
use reprise_coordinator::instance::{Config, Instance};
use reprise_core::lifecycle::Settings;
use reprise_domain::measure::{ArtifactRef, TaskResult, Usage};
use reprise_domain::study::StudySpec;
use reprise_domain::{AttemptOutcome, Capability, Device, Failure, FailureClass};
use reprise_proto::client::connect;
use reprise_proto::pb::from_worker::Message as FromMessage;
use reprise_proto::pb::to_worker::Message as ToMessage;
use reprise_proto::pb::{self, FromWorker, ToWorker};
use reprise_proto::{PROTOCOL_VERSION, convert};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits, but not for ever.
pub(crate) async fn in_time<T>(wait: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(LIMIT, wait)
        .await
        .context("waited in vain")
}

/// A running coordinator with a client.
pub(crate) struct Stand {
    pub(crate) state: TempDir,
    pub(crate) instance: Instance,
    pub(crate) client: Client,
}

impl Stand {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::on(tempfile::tempdir()?).await
    }

    /// On a state directory that may have been used before.
    pub(crate) async fn on(state: TempDir) -> anyhow::Result<Self> {
        Self::with(state, Settings::default()).await
    }

    /// The same with a core that has other settings.
    pub(crate) async fn with(state: TempDir, core: Settings) -> anyhow::Result<Self> {
        let config = Config {
            core,
            ..Config::local(state.path())
        };
        Self::begin(state, config).await
    }

    /// The same by any configuration.
    pub(crate) async fn begin(state: TempDir, config: Config) -> anyhow::Result<Self> {
        let instance = Instance::start(config).await?;
        let client = Client::connect(&instance.url(), None).await?;
        Ok(Self {
            state,
            instance,
            client,
        })
    }

    /// Stops the coordinator; its state stays.
    pub(crate) async fn stop(self) -> anyhow::Result<TempDir> {
        self.instance.shutdown.cancel();
        self.instance.stopped.await??;
        Ok(self.state)
    }

    pub(crate) async fn worker(&self, number: u8) -> anyhow::Result<Worker> {
        Worker::open(&self.instance.url(), number).await
    }
}

/// A study file as it is submitted.
pub(crate) fn study(text: &str) -> anyhow::Result<StudySpec> {
    let file = reprise_study::parse("study.yaml", text)?;
    Ok(file.resolve(None)?)
}

/// A study of tasks that do nothing, each of which is tried once.
pub(crate) fn noops(name: &str, tasks: u32) -> anyhow::Result<StudySpec> {
    study(&format!(
        "version: 1\nname: {name}\nspace: nasbench201\nnoop: {{tasks: {tasks}}}\nretry: {{attempts: 1}}\n"
    ))
}

/// A worker of one slot that does what it is told.
pub(crate) struct Worker {
    outgoing: mpsc::Sender<FromWorker>,
    incoming: Streaming<ToWorker>,
    started: Vec<pb::Assignment>,
}

impl Worker {
    async fn open(url: &str, number: u8) -> anyhow::Result<Self> {
        let (outgoing, messages) = mpsc::channel(1024);
        let capability = Capability {
            slots: 1,
            host: format!("host-{number}"),
            device: Device::Cpu {
                model: "abacus".to_owned(),
            },
            version: "0".to_owned(),
            libtorch: "0".to_owned(),
            ..Capability::default()
        };
        let hello = pb::Hello {
            protocol: PROTOCOL_VERSION,
            worker: vec![number; 16],
            capability: convert::to_json(&capability),
            ..pb::Hello::default()
        };
        outgoing
            .send(FromWorker {
                message: Some(FromMessage::Hello(hello)),
            })
            .await?;
        let mut clients = connect(url, None).await?;
        let answer = clients.worker.session(ReceiverStream::new(messages)).await;
        Ok(Self {
            outgoing,
            incoming: answer?.into_inner(),
            started: Vec::new(),
        })
    }

    /// The next attempt that it was given.
    pub(crate) async fn next(&mut self) -> anyhow::Result<pb::Attempt> {
        let assignment = self.next_assignment().await?;
        assignment.attempt.context("an assignment of nothing")
    }

    /// The same with what it needs.
    pub(crate) async fn next_assignment(&mut self) -> anyhow::Result<pb::Assignment> {
        while self.started.is_empty() {
            let message = in_time(self.incoming.message()).await??;
            let message = message.context("the session has ended")?.message;
            if let Some(ToMessage::Start(start)) = message {
                self.started = start.assignments;
            }
        }
        Ok(self.started.remove(0))
    }

    pub(crate) async fn finish(&self, attempt: pb::Attempt) -> anyhow::Result<()> {
        self.finish_with(attempt, TaskResult::Noop).await
    }

    pub(crate) async fn finish_with(
        &self,
        attempt: pb::Attempt,
        result: TaskResult,
    ) -> anyhow::Result<()> {
        let finished = AttemptOutcome::Finished {
            result,
            usage: Usage::default(),
        };
        self.report(attempt, &finished).await
    }

    /// Says that it stored where an attempt stands.
    pub(crate) async fn checkpoint(
        &self,
        attempt: pb::Attempt,
        artifact: ArtifactRef,
        done: u64,
    ) -> anyhow::Result<()> {
        let checkpoint = FromMessage::Checkpoint(pb::Checkpoint {
            attempt: Some(attempt),
            artifact: Some(artifact.into()),
            done,
        });
        let message = Some(checkpoint);
        Ok(self.outgoing.send(FromWorker { message }).await?)
    }

    /// Hands an attempt back.
    pub(crate) async fn give_back(&self, attempt: pb::Attempt) -> anyhow::Result<()> {
        self.report(attempt, &AttemptOutcome::Returned).await
    }

    /// Gives a sign of life.
    pub(crate) async fn beat(&self) -> anyhow::Result<()> {
        let message = Some(FromMessage::Heartbeat(pb::Heartbeat::default()));
        Ok(self.outgoing.send(FromWorker { message }).await?)
    }

    /// Waits until the coordinator ends the session.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        in_time(async { while let Ok(Some(_)) = self.incoming.message().await {} }).await
    }

    pub(crate) async fn fail(&self, attempt: pb::Attempt, message: &str) -> anyhow::Result<()> {
        let failed = AttemptOutcome::Failed(Failure {
            class: FailureClass::Task,
            message: message.to_owned(),
            log: vec!["its last line".to_owned()],
        });
        self.report(attempt, &failed).await
    }

    async fn report(&self, attempt: pb::Attempt, outcome: &AttemptOutcome) -> anyhow::Result<()> {
        let report = FromMessage::Report(pb::Report {
            attempt: Some(attempt),
            outcome: convert::to_json(outcome),
        });
        let message = Some(report);
        Ok(self.outgoing.send(FromWorker { message }).await?)
    }
}
