//! A coordinator with encrypted connections, and clients of it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use reprise_coordinator::client::Client;
use reprise_coordinator::instance::{Config, Instance};
use reprise_coordinator::security::{Authority, CredentialId, Scope, Security};
use reprise_domain::study::StudySpec;
use reprise_domain::{Capability, Device};
use reprise_proto::client::{Clients, connect};
use reprise_proto::credential::Credential;
use reprise_proto::pb::from_worker::Message as FromMessage;
use reprise_proto::pb::to_worker::Message as ToMessage;
use reprise_proto::pb::{FromWorker, Hello, ToWorker};
use reprise_proto::status::ApiError;
use reprise_proto::{PROTOCOL_VERSION, convert};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::log::{Log, in_time};

/// A running coordinator whose log is collected.
pub(crate) struct Stand {
    pub(crate) instance: Instance,
    pub(crate) log: Log,
    pub(crate) state: TempDir,
    authority: Authority,
}

/// A certificate authority of its own with a server's certificate.
pub(crate) fn authority(state: &TempDir) -> anyhow::Result<Authority> {
    let directory = Security::directory(state.path());
    let authority = Authority::open_or_make(&directory, SystemTime::now())?;
    authority.issue_server(&[], SystemTime::now())?;
    Ok(authority)
}

impl Stand {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let log = Log::collect();
        let state = tempfile::tempdir()?;
        let authority = authority(&state)?;
        authority.issue(Scope::Admin, "admin", in_an_hour(), SystemTime::now())?;
        let instance = Instance::start(Config {
            security: Security::open(state.path())?,
            ..Config::local(state.path())
        })
        .await?;
        Ok(Self {
            instance,
            log,
            state,
            authority,
        })
    }

    pub(crate) fn security(&self) -> PathBuf {
        Security::directory(self.state.path())
    }

    /// A credential with its id and its file's text.
    pub(crate) fn issue(
        &self,
        scope: Scope,
        expires: SystemTime,
    ) -> anyhow::Result<(CredentialId, String)> {
        let issued = self
            .authority
            .issue(scope, "test", expires, SystemTime::now());
        Ok(issued?)
    }

    pub(crate) async fn client(&self, pem: &str) -> anyhow::Result<Client> {
        let credential = Credential::parse(pem.as_bytes())?;
        Ok(Client::connect(&self.instance.url(), Some(&credential)).await?)
    }

    /// Raw clients, for what a proper client does not do.
    pub(crate) async fn clients(&self, pem: &str) -> anyhow::Result<Clients> {
        let credential = Credential::parse(pem.as_bytes())?;
        Ok(connect(&self.instance.url(), Some(&credential)).await?)
    }

    /// A client with a credential of its own name.
    pub(crate) async fn client_named(&self, name: &str) -> anyhow::Result<Client> {
        let now = SystemTime::now();
        let issued = self.authority.issue(Scope::Client, name, in_an_hour(), now);
        self.client(&issued?.1).await
    }

    /// A client of a scope, with its credential's id.
    pub(crate) async fn client_of(&self, scope: Scope) -> anyhow::Result<(CredentialId, Client)> {
        let (id, pem) = self.issue(scope, in_an_hour())?;
        Ok((id, self.client(&pem).await?))
    }

    /// Why dialling with a credential fails.
    pub(crate) async fn refusal(&self, pem: &str) -> anyhow::Result<ApiError> {
        match self.client(pem).await {
            Ok(_) => anyhow::bail!("the credential was accepted"),
            Err(error) => error.downcast().context("not the API's own error"),
        }
    }

    /// Waits for `count` lines, stops the coordinator and returns what it has
    /// logged in all.
    pub(crate) async fn end(self, count: usize) -> anyhow::Result<Vec<String>> {
        self.log.reaches(count).await?;
        self.instance.shutdown.cancel();
        self.instance.stopped.await??;
        Ok(self.log.lines())
    }
}

/// A worker's session that does nothing by itself.
#[derive(Debug)]
pub(crate) struct Session {
    outgoing: mpsc::Sender<FromWorker>,
    incoming: Streaming<ToWorker>,
}

impl Session {
    /// Says hello with one slot.
    pub(crate) async fn open(clients: Clients, worker: u8) -> Result<Self, Status> {
        let (outgoing, messages) = mpsc::channel(16);
        let capability = Capability {
            slots: 1,
            host: "stand".to_owned(),
            device: Device::Cpu {
                model: "none".to_owned(),
            },
            version: "0".to_owned(),
            libtorch: "0".to_owned(),
            ..Capability::default()
        };
        let hello = FromMessage::Hello(Hello {
            protocol: PROTOCOL_VERSION,
            worker: vec![worker; 16],
            capability: convert::to_json(&capability),
            holding: Vec::new(),
            again: false,
        });
        // A fresh channel has room.
        let _ = outgoing.try_send(FromWorker {
            message: Some(hello),
        });
        let mut client = clients.worker.max_encoding_message_size(usize::MAX);
        let answer = client.session(ReceiverStream::new(messages)).await;
        let incoming = answer?.into_inner();
        Ok(Self { outgoing, incoming })
    }

    pub(crate) async fn send(&self, message: FromMessage) -> anyhow::Result<()> {
        let message = Some(message);
        Ok(self.outgoing.send(FromWorker { message }).await?)
    }

    /// The next message that `wanted` takes, the others passed over.
    pub(crate) async fn next<T>(
        &mut self,
        wanted: impl Fn(ToMessage) -> Option<T>,
    ) -> anyhow::Result<T> {
        loop {
            let message = in_time(self.incoming.message()).await??;
            let message = message.context("the session has ended")?.message;
            if let Some(found) = message.and_then(&wanted) {
                return Ok(found);
            }
        }
    }

    /// Why the session was cut.
    pub(crate) async fn cut(&mut self) -> anyhow::Result<ApiError> {
        loop {
            match in_time(self.incoming.message()).await? {
                Ok(Some(_)) => {}
                Ok(None) => anyhow::bail!("the session ended without a reason"),
                Err(status) => return Ok(ApiError::from(&status)),
            }
        }
    }
}

pub(crate) fn in_an_hour() -> SystemTime {
    SystemTime::now() + Duration::from_hours(1)
}

/// A study of so many tasks that do nothing.
pub(crate) fn study(tasks: u32) -> anyhow::Result<StudySpec> {
    let text = "version: 1\nname: refusals\nspace: nasbench201\nnoop: {tasks: 1}\n";
    let mut spec = reprise_study::parse("refusals.yaml", text)?.resolve(None)?;
    let noop = spec.noop.as_mut().context("the study has no tasks")?;
    noop.tasks = tasks;
    Ok(spec)
}
