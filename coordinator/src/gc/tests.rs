//! A collection on a directory and a journal.

use reprise_core::Timestamp;
use reprise_core::lifecycle::{Action, Actor, AttemptEnd, Core, Input, Settings, Step};
use reprise_core::plan::{plan, study_digest};
use reprise_data::digest as digest_of;
use reprise_domain::measure::{ArtifactRef, PretrainResult};
use reprise_domain::{AttemptId, Capability, Device, Seconds, TaskResult, Usage, Uuid, WorkerId};
use reprise_proto::convert;

use super::*;
use crate::artifact::{Area, Verdict};
use crate::store::sqlite::SqliteStore;
use crate::store::{Batch, Store as _};

const STUDY: &str = "version: 1\nname: kept\nspace: nasbench201\n\
                     pretrain: [{model: arch2vec, seeds: 1..2, epochs: 1}]\n";

async fn put(artifacts: &ArtifactStore, area: Area, content: &[u8]) -> ArtifactRef {
    let artifact = ArtifactRef {
        digest: digest_of(content),
        bytes: content.len() as u64,
    };
    let writer = artifacts.writer().await.unwrap();
    let mut upload = writer.begin(area, artifact).unwrap();
    upload.write(content).await.unwrap();
    upload.finish().await.unwrap();
    artifact
}

/// A journal of a study of two pretrainings, of which one is finished with
/// `result`; the attempt at the other.
async fn journal(store: &SqliteStore, result: TaskResult) -> AttemptId {
    let worker = WorkerId(Uuid::from_u128(1));
    let now = Timestamp::default();
    let mut core = Core::new(Settings::default());
    let mut batch = Batch::default();
    let mut started = Vec::new();
    let mut note = |batch: &mut Batch, step: Step| {
        batch.events.extend(step.events);
        for action in step.actions {
            if let Action::Start { attempts, .. } = action {
                started.extend(attempts);
            }
        }
    };
    let spec = reprise_study::parse("kept.yaml", STUDY)
        .unwrap()
        .resolve(None)
        .unwrap();
    let plan = plan(&spec, &|_| Vec::new()).unwrap();
    let digest = study_digest(&spec);
    let submit = Input::Submit {
        spec,
        digest,
        plan,
        amend: false,
        by: Actor::Admin,
    };
    note(&mut batch, core.handle(submit, now).unwrap());
    let hello = Input::Hello {
        worker,
        capability: capability(),
        holding: Vec::new(),
        again: false,
    };
    note(&mut batch, core.handle(hello, now).unwrap());
    note(&mut batch, core.schedule(now));
    let [first, second] = started[..] else {
        panic!("{started:?}");
    };
    let report = Input::Report {
        worker,
        attempt: first,
        end: AttemptEnd::Finished {
            result: digest_of(&convert::to_json(&result)),
            seconds: Seconds::ZERO,
        },
    };
    let step = core.handle(report, now).unwrap();
    batch.events.extend(step.events);
    batch.results.push((
        first.task,
        serde_json::from_value(serde_json::json!({
            "result": result,
            "usage": Usage::default(),
            "host": "here",
        }))
        .unwrap(),
    ));
    store.commit(&batch).await.unwrap();
    second
}

fn capability() -> Capability {
    serde_json::from_value(serde_json::json!({
        "slots": 2,
        "host": "here",
        "device": Device::Cpu { model: "none".to_owned() },
        "version": "0",
        "libtorch": "0",
    }))
    .unwrap()
}

/// A store with a result's two files, a checkpoint and log of the other attempt,
/// and as much again that nothing refers to.
struct Stand {
    directory: tempfile::TempDir,
    artifacts: ArtifactStore,
    journal: SqliteStore,
    needed: Vec<ArtifactRef>,
    orphan: ArtifactRef,
    attempt: AttemptId,
}

impl Stand {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let artifacts = ArtifactStore::local(&directory.path().join("artifacts")).unwrap();
        let store = SqliteStore::open(&directory.path().join("journal")).await;
        let store = store.unwrap();
        let checkpoint = put(&artifacts, Area::Shared, b"parameters").await;
        let embedding = put(&artifacts, Area::Shared, b"embedding").await;
        let result = TaskResult::Pretrain(PretrainResult {
            epochs: Vec::new(),
            checkpoint,
            embedding,
        });
        let attempt = journal(&store, result).await;
        let orphan = put(&artifacts, Area::Shared, b"orphan").await;
        put(&artifacts, Area::Checkpoint(attempt), b"orphan").await;
        artifacts.put_log(attempt, b"epoch 1").await.unwrap();
        Self {
            directory,
            artifacts,
            journal: store,
            needed: vec![checkpoint, embedding],
            orphan,
            attempt,
        }
    }

    async fn collect(&self, later: Duration, dry_run: bool) -> Result<Collected, GcError> {
        let referrers = Referrers::of_journal(self.journal.reader()).await?;
        let now = SystemTime::now() + later;
        collect(&self.artifacts, &referrers, now, GRACE, dry_run).await
    }
}

#[tokio::test]
async fn orphans_go_after_the_grace_and_what_is_referred_to_stays() {
    let stand = Stand::new().await;
    let unfinished = stand.directory.path().join("artifacts/ab#1");
    std::fs::write(&unfinished, b"half").unwrap();

    let young = stand.collect(Duration::ZERO, false).await.unwrap();
    assert_eq!((young.stored, young.removed), (5, 0));
    let later = GRACE + Duration::from_mins(1);
    let would = stand.collect(later, true).await.unwrap();
    // The shared orphan, the checkpoint that no task goes on from, half a file.
    assert_eq!((would.removed, would.removed_bytes), (3, 6 + 6 + 4));
    assert!(unfinished.exists());
    assert_eq!(stand.collect(later, false).await.unwrap(), would);
    assert!(!unfinished.exists());

    for needed in &stand.needed {
        let verdict = stand.artifacts.verify(Area::Shared, needed.digest).await;
        assert_eq!(verdict.unwrap(), Verdict::Whole);
    }
    let log = stand.artifacts.log(stand.attempt).await.unwrap();
    assert_eq!(log.as_deref(), Some(&b"epoch 1"[..]));
    let gone = stand.artifacts.size(Area::Shared, stand.orphan.digest);
    assert_eq!(gone.await.unwrap(), None);
    let again = stand.collect(later, false).await.unwrap();
    assert_eq!((again.stored, again.removed), (3, 0));
}

#[tokio::test]
async fn what_a_worker_was_told_of_a_moment_ago_stays() {
    let stand = Stand::new().await;
    let digest = stand.orphan.digest;
    assert!(stand.artifacts.has(Area::Shared, digest).await.unwrap());
    let later = GRACE + Duration::from_mins(1);
    stand.collect(later, false).await.unwrap();
    let kept = stand.artifacts.size(Area::Shared, digest).await.unwrap();
    assert_eq!(kept, Some(6));
}

#[tokio::test]
async fn nothing_is_removed_while_a_result_is_missing() {
    let stand = Stand::new().await;
    let empty = SqliteStore::open(&stand.directory.path().join("lost")).await;
    let empty = empty.unwrap();
    let events = replayed(&stand.journal).await;
    let batch = Batch {
        events,
        ..Batch::default()
    };
    empty.commit(&batch).await.unwrap();
    let referrers = Referrers::of_journal(empty.reader()).await.unwrap();
    let now = SystemTime::now() + 2 * GRACE;
    let refused = collect(&stand.artifacts, &referrers, now, GRACE, false).await;
    assert!(matches!(refused, Err(GcError::Store(_))));
    assert_eq!(stand.artifacts.list().await.unwrap().len(), 5);
}

async fn replayed(store: &SqliteStore) -> Vec<reprise_core::lifecycle::Event> {
    let mut all = Vec::new();
    let mut visit = |_, _, events: Vec<_>| all.extend(events);
    store.reader().replay(0, &mut visit).await.unwrap();
    all
}
