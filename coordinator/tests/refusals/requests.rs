//! Requests of those who were let in, and that are refused all the same.

use reprise_coordinator::security::Scope;
use reprise_domain::measure::{TaskResult, Usage};
use reprise_domain::status::Control;
use reprise_domain::{AttemptOutcome, BenchmarkRef, Digest};
use reprise_proto::pb::from_worker::Message as FromMessage;
use reprise_proto::pb::to_worker::Message as ToMessage;
use reprise_proto::pb::{self, PutChunk, SubmitRequest};
use reprise_proto::status::{ApiError, ErrorCode};
use reprise_proto::{MAX_MESSAGE_BYTES, convert};

use crate::one_line;
use crate::stand::{Session, Stand, in_an_hour, study};

#[tokio::test]
async fn a_viewer_reads_and_changes_nothing() {
    let stand = Stand::start().await.unwrap();
    let (_, mut client) = stand.client_of(Scope::Client).await.unwrap();
    client.submit(&study(1).unwrap(), false).await.unwrap();

    let (id, mut viewer) = stand.client_of(Scope::Viewer).await.unwrap();
    let studies = viewer.studies().await.unwrap();
    assert_eq!(studies[0].name.as_str(), "refusals");
    let name = study(1).unwrap().name;
    assert_eq!(viewer.records(&name).await.unwrap().len(), 1);
    for _ in 0..2 {
        let error = viewer.control(&name, Control::Cancel).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Forbidden, "{error:?}");
        assert_eq!(
            error.message,
            "a credential of scope `viewer` may not call `StudyService/Control`"
        );
    }
    one_line(
        &stand.end(1).await.unwrap(),
        &["request refused", &id.to_string(), "StudyService/Control"],
    );
}

#[tokio::test]
async fn workers_and_clients_do_not_do_each_others_work() {
    let stand = Stand::start().await.unwrap();
    let (_, mut worker) = stand.client_of(Scope::Worker).await.unwrap();
    let error = worker.studies().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Forbidden, "{error:?}");

    let (_, pem) = stand.issue(Scope::Client, in_an_hour()).unwrap();
    let clients = stand.clients(&pem).await.unwrap();
    let status = Session::open(clients, 1).await.unwrap_err();
    assert_eq!(ApiError::from(&status).code, ErrorCode::Forbidden);

    let lines = stand.end(2).await.unwrap();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("StudyService/List"), "{lines:#?}");
    assert!(lines[1].contains("WorkerService/Session"), "{lines:#?}");
}

#[tokio::test]
async fn an_oversized_request_is_refused() {
    let stand = Stand::start().await.unwrap();
    let (id, pem) = stand.issue(Scope::Client, in_an_hour()).unwrap();
    let clients = stand.clients(&pem).await.unwrap();
    let mut careless = clients.study.max_encoding_message_size(usize::MAX);
    let request = SubmitRequest {
        spec: vec![b' '; MAX_MESSAGE_BYTES + 1],
        amend: false,
    };
    let status = careless.submit(request).await.unwrap_err();
    let error = ApiError::from(&status);
    assert_eq!(error.code, ErrorCode::TooLarge, "{status:?}");
    one_line(
        &stand.end(1).await.unwrap(),
        &[
            "request refused",
            &id.to_string(),
            "larger than the limit of `33554432` bytes",
        ],
    );
}

#[tokio::test]
async fn an_oversized_message_cuts_a_session() {
    let stand = Stand::start().await.unwrap();
    let (id, pem) = stand.issue(Scope::Worker, in_an_hour()).unwrap();
    let clients = stand.clients(&pem).await.unwrap();
    let mut session = Session::open(clients, 1).await.unwrap();
    let report = FromMessage::Report(pb::Report {
        attempt: None,
        outcome: vec![b' '; MAX_MESSAGE_BYTES + 1],
    });
    session.send(report).await.unwrap();
    let error = session.cut().await.unwrap();
    assert_eq!(error.code, ErrorCode::TooLarge, "{error:?}");
    one_line(
        &stand.end(1).await.unwrap(),
        &[
            "request refused",
            &id.to_string(),
            "larger than the limit of `33554432` bytes",
        ],
    );
}

#[tokio::test]
async fn a_study_of_too_many_tasks_is_refused() {
    let stand = Stand::start().await.unwrap();
    let (_, mut client) = stand.client_of(Scope::Client).await.unwrap();
    let error = client
        .submit(&study(5_000_001).unwrap(), false)
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLarge, "{error:?}");
    assert!(client.studies().await.unwrap().is_empty());
    one_line(
        &stand.end(1).await.unwrap(),
        &["request refused", "StudyService/Submit", "at most 1000000"],
    );
}

/// What storing `data` answers, announced as so many bytes.
async fn put(stand: &Stand, announced: u64, data: &[u8]) -> anyhow::Result<ApiError> {
    let (_, pem) = stand.issue(Scope::Worker, in_an_hour())?;
    let mut clients = stand.clients(&pem).await?;
    let chunk = PutChunk {
        artifact: Some(pb::Artifact {
            digest: convert::digest_bytes(Digest::from_bytes([7; 32])),
            bytes: announced,
        }),
        data: data.to_vec(),
        attempt: None,
    };
    match clients.artifact.put(tokio_stream::iter([chunk])).await {
        Ok(_) => anyhow::bail!("the artifact was stored"),
        Err(status) => Ok(ApiError::from(&status)),
    }
}

#[tokio::test]
async fn a_truncated_artifact_is_refused() {
    let stand = Stand::start().await.unwrap();
    let error = put(&stand, 10, b"four").await.unwrap();
    assert_eq!(error.code, ErrorCode::Corrupt, "{error:?}");
    assert!(
        error.message.ends_with("of `10` bytes ended after `4`"),
        "{error:?}"
    );
    one_line(
        &stand.end(1).await.unwrap(),
        &["request refused", "ArtifactService/Put", "ended after `4`"],
    );
}

#[tokio::test]
async fn an_artifact_that_is_longer_or_other_than_announced_is_refused() {
    let stand = Stand::start().await.unwrap();
    let error = put(&stand, 3, b"four").await.unwrap();
    assert_eq!(error.code, ErrorCode::TooLarge, "{error:?}");
    let error = put(&stand, 4, b"four").await.unwrap();
    assert_eq!(error.code, ErrorCode::Corrupt, "{error:?}");
    assert_eq!(stand.end(2).await.unwrap().len(), 2);
}

/// An attempt that the coordinator gives to the session.
fn started(message: ToMessage) -> Option<pb::Attempt> {
    match message {
        ToMessage::Start(start) => start.assignments.into_iter().next()?.attempt,
        _ => None,
    }
}

#[tokio::test]
async fn a_replayed_result_changes_nothing() {
    let stand = Stand::start().await.unwrap();
    let (_, mut client) = stand.client_of(Scope::Client).await.unwrap();
    let spec = study(1).unwrap();
    client.submit(&spec, false).await.unwrap();
    let (_, pem) = stand.issue(Scope::Worker, in_an_hour()).unwrap();
    let clients = stand.clients(&pem).await.unwrap();
    let mut session = Session::open(clients, 1).await.unwrap();
    let attempt = session.next(started).await.unwrap();
    let report = FromMessage::Report(pb::Report {
        attempt: Some(attempt),
        outcome: convert::to_json(&AttemptOutcome::Finished {
            result: TaskResult::Noop,
            usage: Usage::default(),
        }),
    });
    for _ in 0..3 {
        session.send(report.clone()).await.unwrap();
        // Each is acknowledged, so that a worker whose acknowledgement was lost
        // can forget it.
        let acknowledged = |message| matches!(message, ToMessage::Acknowledge(_)).then_some(());
        session.next(acknowledged).await.unwrap();
    }
    let status = client.status(&spec.name).await.unwrap();
    let total = status.total();
    assert_eq!((total.planned, total.finished), (1, 1));
    let records = client.records(&spec.name).await.unwrap();
    assert_eq!(records[0].task.attempts, 1);
    one_line(
        &stand.end(1).await.unwrap(),
        &["report of an attempt that is not current", "host=\"stand\""],
    );
}

#[tokio::test]
async fn a_study_out_of_bounds_is_refused_whoever_sends_it() {
    let stand = Stand::start().await.unwrap();
    let (_, mut client) = stand.client_of(Scope::Client).await.unwrap();
    let mut spec = study(1).unwrap();
    spec.noop.as_mut().unwrap().hold_ms = u32::MAX;
    let error = client.submit(&spec, false).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidRequest, "{error:?}");
    assert!(error.message.contains("`noop.hold-ms`"), "{error:?}");

    let text = "version: 1\nname: tableless\nspace: nasbench201\nbenchmark: {table: a.csv}\n\
                search: {datasets: [cifar10], budget: {queries: 1}, seeds: 1..1, \
                methods: [{name: random}]}\n";
    let file = reprise_study::parse("tableless.yaml", text).unwrap();
    let digest = Digest::from_bytes([7; 32]);
    let spec = file.resolve(Some(BenchmarkRef::Table { digest })).unwrap();
    let error = client.submit(&spec, false).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidRequest, "{error:?}");
    let expected = format!("`search.benchmark.digest` is `{digest}`");
    assert!(error.message.contains(&expected), "{error:?}");
    assert_eq!(client.studies().await.unwrap(), []);
    stand.end(0).await.unwrap();
}

#[tokio::test]
async fn a_task_of_two_studies_is_in_the_hands_of_both_their_owners() {
    let stand = Stand::start().await.unwrap();
    let mut clients = Vec::new();
    for name in ["ann", "ben"] {
        let mut client = stand.client_named(name).await.unwrap();
        let mut spec = study(1).unwrap();
        spec.name = name.parse().unwrap();
        client.submit(&spec, false).await.unwrap();
        clients.push(client);
    }
    let (_, pem) = stand.issue(Scope::Worker, in_an_hour()).unwrap();
    let worker = stand.clients(&pem).await.unwrap();
    let mut session = Session::open(worker, 1).await.unwrap();
    for client in &mut clients {
        let attempt = session.next(started).await.unwrap();
        let task = convert::digest("task", &attempt.task).unwrap().to_string();
        let outcome = convert::to_json(&AttemptOutcome::Finished {
            result: TaskResult::Noop,
            usage: Usage::default(),
        });
        let attempt = Some(attempt);
        let report = FromMessage::Report(pb::Report { attempt, outcome });
        session.send(report).await.unwrap();
        let acknowledged = |message| matches!(message, ToMessage::Acknowledge(_)).then_some(());
        session.next(acknowledged).await.unwrap();
        assert_eq!(client.invalidate(&[task]).await.unwrap(), 1);
    }
    let mut stranger = stand.client_named("eve").await.unwrap();
    let attempt = session.next(started).await.unwrap();
    let task = convert::digest("task", &attempt.task).unwrap().to_string();
    let error = stranger.invalidate(&[task]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Forbidden, "{error:?}");
    stand.end(0).await.unwrap();
}
