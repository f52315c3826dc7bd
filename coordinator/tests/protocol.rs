//! A running coordinator and peers that do not speak its protocol.

use reprise_coordinator::instance::{Config, Instance};
use reprise_proto::PROTOCOL_VERSION;
use reprise_proto::pb::from_worker::Message;
use reprise_proto::pb::worker_service_client::WorkerServiceClient;
use reprise_proto::pb::{FromWorker, Heartbeat, Hello};

/// What the coordinator answers to a session that begins so.
async fn refusal(first: Message) -> anyhow::Result<tonic::Status> {
    let state = tempfile::tempdir()?;
    let instance = Instance::start(Config::local(state.path())).await?;
    let endpoint = tonic::transport::Endpoint::from_shared(instance.url())?;
    let mut client = WorkerServiceClient::new(endpoint.connect().await?);
    let first = FromWorker {
        message: Some(first),
    };
    let answer = client.session(tokio_stream::iter([first])).await;
    instance.shutdown.cancel();
    instance.stopped.await??;
    match answer {
        Ok(_) => anyhow::bail!("the session was accepted"),
        Err(status) => Ok(status),
    }
}

#[tokio::test]
async fn another_protocol_version_is_refused_with_both_named() {
    let other = PROTOCOL_VERSION + 1;
    let status = refusal(Message::Hello(Hello {
        protocol: other,
        worker: vec![7; 16],
        capability: Vec::new(),
        holding: Vec::new(),
        again: false,
    }))
    .await
    .unwrap();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    assert_eq!(
        status.message(),
        format!("worker speaks protocol `{other}`, coordinator speaks `{PROTOCOL_VERSION}`")
    );
}

#[tokio::test]
async fn a_session_must_begin_with_a_hello() {
    let status = refusal(Message::Heartbeat(Heartbeat::default()))
        .await
        .unwrap();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
}
