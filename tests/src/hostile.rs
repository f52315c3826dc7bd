//! A worker that says what no real one would: sessions of the real protocol, message by
//! message, in the hands of a test.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, AttemptOutcome, Capability, Device, Digest};
use reprise_proto::client::{Clients, connect};
use reprise_proto::pb::from_worker::Message as FromMessage;
use reprise_proto::pb::to_worker::Message as ToMessage;
use reprise_proto::pb::{self, FromWorker, ToWorker};
use reprise_proto::{PROTOCOL_VERSION, convert};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session in the hands of a test.
#[derive(Debug)]
pub struct HostileWorker {
    clients: Clients,
    sender: mpsc::UnboundedSender<FromWorker>,
    stream: Streaming<ToWorker>,
    /// Attempts that were given to it and not yet asked for.
    given: Vec<AttemptId>,
}

impl HostileWorker {
    /// Says hello as a worker on `host` with one slot; an error says why it was not
    /// welcomed.
    pub async fn greet(url: &str, number: u128, host: String) -> anyhow::Result<Self> {
        let mut clients = connect(url, None).await?;
        let (sender, messages) = mpsc::unbounded_channel();
        let capability = Capability {
            slots: 1,
            host,
            device: Device::Cpu {
                model: "hostile".to_owned(),
            },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: "none".to_owned(),
            ..Capability::default()
        };
        sender.send(FromWorker {
            message: Some(FromMessage::Hello(pb::Hello {
                protocol: PROTOCOL_VERSION,
                worker: number.to_be_bytes().to_vec(),
                capability: convert::to_json(&capability),
                holding: Vec::new(),
                again: false,
            })),
        })?;
        let messages = UnboundedReceiverStream::new(messages);
        let answer = tokio::time::timeout(PATIENCE, clients.worker.session(messages));
        let stream = answer
            .await
            .context("no answer to the hello")??
            .into_inner();
        let mut worker = Self {
            clients,
            sender,
            stream,
            given: Vec::new(),
        };
        match worker.next().await? {
            ToMessage::Welcome(_) => Ok(worker),
            other => bail!("instead of a welcome: {other:?}"),
        }
    }

    /// The next attempt that it is given.
    pub async fn assignment(&mut self) -> anyhow::Result<AttemptId> {
        loop {
            if let Some(attempt) = self.given.pop() {
                return Ok(attempt);
            }
            self.hear().await?;
        }
    }

    /// Reports the end of an attempt; says whether that was acknowledged, or the
    /// session was ended instead.
    pub async fn report(
        &mut self,
        attempt: AttemptId,
        outcome: &AttemptOutcome,
    ) -> anyhow::Result<bool> {
        self.send(FromMessage::Report(pb::Report {
            attempt: Some(attempt.into()),
            outcome: convert::to_json(outcome),
        }))?;
        loop {
            match self.hear().await {
                Ok(acknowledged) if acknowledged.contains(&attempt) => return Ok(true),
                Ok(_) => {}
                Err(_) => return Ok(false),
            }
        }
    }

    /// Names an artifact as where an attempt stands.
    pub fn checkpoint(
        &self,
        attempt: AttemptId,
        artifact: ArtifactRef,
        done: u64,
    ) -> anyhow::Result<()> {
        self.send(FromMessage::Checkpoint(pb::Checkpoint {
            attempt: Some(attempt.into()),
            artifact: Some(artifact.into()),
            done,
        }))
    }

    /// Stores a file under this digest in the area that all share.
    pub async fn put(&mut self, digest: Digest, content: &[u8]) -> anyhow::Result<ArtifactRef> {
        let artifact = ArtifactRef {
            digest,
            bytes: content.len() as u64,
        };
        let chunk = pb::PutChunk {
            artifact: Some(artifact.into()),
            data: content.to_vec(),
            attempt: None,
        };
        self.clients.artifact.put(tokio_stream::once(chunk)).await?;
        Ok(artifact)
    }

    /// Whether a file is in the area that all share.
    pub async fn has(&mut self, digest: Digest) -> anyhow::Result<bool> {
        let request = pb::GetRequest {
            digest: convert::digest_bytes(digest),
            attempt: None,
        };
        let answer = self.clients.artifact.has(request).await?;
        Ok(answer.into_inner().present)
    }

    fn send(&self, message: FromMessage) -> anyhow::Result<()> {
        let message = Some(message);
        self.sender
            .send(FromWorker { message })
            .context("the session has ended")
    }

    async fn next(&mut self) -> anyhow::Result<ToMessage> {
        let message = tokio::time::timeout(PATIENCE, self.stream.message());
        let message = message.await.context("the coordinator says nothing")??;
        message
            .and_then(|message| message.message)
            .context("the session has ended")
    }

    /// Takes one message; returns what it acknowledges.
    async fn hear(&mut self) -> anyhow::Result<Vec<AttemptId>> {
        match self.next().await? {
            ToMessage::Start(start) => {
                for assignment in start.assignments {
                    let attempt = assignment.attempt.context("an assignment names none")?;
                    self.given.push(attempt.try_into()?);
                }
                Ok(Vec::new())
            }
            ToMessage::Acknowledge(acknowledge) => Ok(convert::attempts(acknowledge.attempts)?),
            _ => Ok(Vec::new()),
        }
    }
}
