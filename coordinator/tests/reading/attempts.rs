//! What is made of what workers say: results that cannot be kept, results that differ,
//! and a worker that was taken for lost.

use std::time::Duration;

use reprise_coordinator::artifact::{Area, ArtifactStore};
use reprise_core::lifecycle::Settings;
use reprise_domain::measure::{ArtifactRef, EpochMeasures, PretrainResult, TaskResult, Trajectory};
use reprise_domain::record::AttemptState;
use reprise_domain::{
    Accuracy, ArchIndex, BenchmarkRef, BuiltinBenchmark, Digest, SearchResult, Seconds,
};
use reprise_proto::pb;

use crate::stand::{Stand, noops, study};
use crate::{hex, until};

const PRETRAINING: &str = "version: 1
name: pretrained
space: nasbench201
pretrain: [{model: arch2vec, seeds: 1..1, epochs: 1}]
retry: {attempts: 1}
";

const SEARCH: &str = "version: 1
name: searched
space: nasbench201
benchmark: {builtin: nasbench201-digits}
search: {datasets: [digits], budget: {queries: 1}, seeds: 1..1, methods: [{name: random}]}
";

#[tokio::test]
async fn a_result_whose_files_are_not_stored_finishes_no_task() {
    let mut stand = Stand::start().await.unwrap();
    let spec = study(PRETRAINING).unwrap();
    stand.client.submit(&spec, false).await.unwrap();
    let mut worker = stand.worker(1).await.unwrap();
    let attempt = worker.next().await.unwrap();
    let file = |byte| ArtifactRef {
        digest: Digest::from_bytes([byte; 32]),
        bytes: 15_625 * 256 * 4 + 100,
    };
    let measures = EpochMeasures {
        loss: 1.0,
        ops_accuracy: 0.5,
        ops_accuracy_real_nodes: 0.5,
        edge_accuracy: 0.5,
        true_edge_probability: 0.5,
        false_edge_probability: 0.5,
        exact_match: 0.5,
        validity: 0.5,
        uniqueness: 0.5,
    };
    let result = TaskResult::Pretrain(PretrainResult {
        epochs: vec![measures],
        checkpoint: file(1),
        embedding: file(2),
    });
    worker.finish_with(attempt, result).await.unwrap();
    until(&mut stand, &spec.name, |status| status.study.has_ended())
        .await
        .unwrap();
    let status = stand.client.status(&spec.name).await.unwrap();
    assert_eq!((status.total().finished, status.total().failed), (0, 1));
    let message = &status.failures.groups[0].message;
    assert!(message.contains("is not stored"), "{message}");
    assert!(message.contains(&file(1).digest.to_string()), "{message}");
    stand.stop().await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_that_is_not_stored_as_announced_is_not_kept() {
    let mut stand = Stand::start().await.unwrap();
    let spec = noops("saved", 1).unwrap();
    stand.client.submit(&spec, false).await.unwrap();
    let store = ArtifactStore::local(&stand.state.path().join("artifacts")).unwrap();
    let content = [7; 100];
    let digest = reprise_data::digest(&content);
    let mut worker = stand.worker(1).await.unwrap();
    let mut attempt = worker.next().await.unwrap();
    for (is_stored, announced, is_kept) in
        [(false, 100, false), (true, 99, false), (true, 100, true)]
    {
        if is_stored {
            let area = Area::Checkpoint(attempt.clone().try_into().unwrap());
            let stored = ArtifactRef { digest, bytes: 100 };
            let mut upload = store.writer().await.unwrap().begin(area, stored).unwrap();
            upload.write(&content).await.unwrap();
            upload.finish().await.unwrap();
        }
        let bytes = announced;
        let artifact = ArtifactRef { digest, bytes };
        worker
            .checkpoint(attempt.clone(), artifact, 1)
            .await
            .unwrap();
        worker.give_back(attempt).await.unwrap();
        let next = worker.next_assignment().await.unwrap();
        let given = next.checkpoint.is_some();
        assert_eq!(given, is_kept, "stored: {is_stored}, {announced} bytes");
        attempt = next.attempt.unwrap();
    }
    stand.stop().await.unwrap();
}

/// A search that bought one architecture.
fn found(arch: u32) -> anyhow::Result<TaskResult> {
    let half = Accuracy::new(0.5)?;
    Ok(TaskResult::Search(SearchResult {
        trajectory: Trajectory {
            arch: vec![ArchIndex(arch)],
            validation: vec![half],
            reported_validation: vec![half],
            test: vec![half],
            cost: vec![Seconds::ZERO],
        },
    }))
}

#[tokio::test]
async fn results_that_differ_are_told_with_what_made_them() {
    let mut stand = Stand::start().await.unwrap();
    let name = BuiltinBenchmark::Nasbench201Digits;
    let digest = reprise_data::digest(&reprise_data::builtin(name));
    let file = reprise_study::parse("study.yaml", SEARCH).unwrap();
    let spec = file.resolve(Some(BenchmarkRef::Builtin { name, digest }));
    let spec = spec.unwrap();
    stand.client.submit(&spec, false).await.unwrap();
    let mut worker = stand.worker(1).await.unwrap();
    let attempt = worker.next().await.unwrap();
    let key = hex(&attempt.task);
    worker
        .finish_with(attempt.clone(), found(3).unwrap())
        .await
        .unwrap();
    until(&mut stand, &spec.name, |status| status.study.has_ended())
        .await
        .unwrap();
    let detail = stand.client.task(&key).await.unwrap();
    assert!(!detail.disputed);
    let made_by = detail.provenance.unwrap();
    assert_eq!((&*made_by.host, &*made_by.version), ("host-1", "0"));

    // An attempt of somebody else that comes late.
    let other = stand.worker(2).await.unwrap();
    let late = pb::Attempt {
        number: 2,
        ..attempt
    };
    other.finish_with(late, found(4).unwrap()).await.unwrap();
    let mut events = stand.client.events(0, true).await.unwrap();
    other.beat().await.unwrap();
    let detail = loop {
        let detail = stand.client.task(&key).await.unwrap();
        if detail.disputed {
            break detail;
        }
        crate::next(&mut events).await.unwrap();
    };
    let told: Vec<_> = detail
        .attempt_records
        .iter()
        .map(|attempt| (&*attempt.host, &attempt.state, &*attempt.program))
        .collect();
    let program = "reprise-worker 0, commit unknown, libtorch 0";
    assert_eq!(
        told,
        [
            ("host-1", &AttemptState::Finished, program),
            ("host-2", &AttemptState::Differed, program),
        ]
    );
    stand.stop().await.unwrap();
}

/// A worker whose loop stood still while its connection was kept alive: it has to
/// notice that it was given up.
#[tokio::test]
async fn a_worker_that_was_taken_for_lost_is_hung_up_on() {
    let settings = Settings {
        heartbeat_timeout: Duration::from_millis(100),
        reconnect_grace: Duration::from_millis(100),
        ..Settings::default()
    };
    let state = tempfile::tempdir().unwrap();
    let mut stand = Stand::with(state, settings).await.unwrap();
    let mut worker = stand.worker(1).await.unwrap();
    let mut events = stand.client.events(10, true).await.unwrap();
    while crate::next(&mut events).await.unwrap() != "worker-left" {}
    worker.beat().await.unwrap();
    worker.ended().await.unwrap();

    // It may come back.
    let spec = noops("again", 1).unwrap();
    stand.client.submit(&spec, false).await.unwrap();
    let mut worker = stand.worker(1).await.unwrap();
    worker.next().await.unwrap();
    stand.stop().await.unwrap();
}
