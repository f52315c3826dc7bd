//! What every place keeps, on a directory and on an S3 server.

use object_store::aws::AmazonS3Builder;
use reprise_data::digest as digest_of;
use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Digest, TaskKey};
use reprise_tests::object_server::ObjectServer;

use super::*;

fn attempt(number: u32) -> AttemptId {
    AttemptId {
        task: TaskKey(digest_of(b"task")),
        number,
    }
}

async fn put(store: &ArtifactStore, area: Area, content: &[u8]) -> Result<Digest, ArtifactError> {
    let digest = digest_of(content);
    put_as(store, area, digest, content).await.map(|()| digest)
}

async fn put_as(
    store: &ArtifactStore,
    area: Area,
    digest: Digest,
    content: &[u8],
) -> Result<(), ArtifactError> {
    let bytes = content.len() as u64;
    let mut upload = store
        .writer()
        .await?
        .begin(area, ArtifactRef { digest, bytes })?;
    for piece in content.chunks(700_001) {
        upload.write(piece).await?;
    }
    upload.finish().await
}

async fn begin(store: &ArtifactStore, artifact: ArtifactRef) -> Upload {
    let writer = store.writer().await.unwrap();
    writer.begin(Area::Shared, artifact).unwrap()
}

async fn read(store: &ArtifactStore, area: Area, digest: Digest) -> Result<Vec<u8>, ArtifactError> {
    store.get(area, digest).await?.all().await
}

/// Overwrites what is stored, as a disk or a person might.
async fn damage(store: &ArtifactStore, object: Object, content: &'static [u8]) {
    let location = object.location();
    store.objects.put(&location, content.into()).await.unwrap();
}

/// Content comes back, storing twice changes nothing, and nothing is stored under
/// a wrong digest or before it is whole.
async fn keeps_content(store: &ArtifactStore) {
    let digest = digest_of(b"embedding");
    assert_eq!(store.size(Area::Shared, digest).await.unwrap(), None);
    let missing = store.get(Area::Shared, digest).await;
    assert!(matches!(missing, Err(ArtifactError::Missing(_))));
    put(store, Area::Shared, b"embedding").await.unwrap();
    put(store, Area::Shared, b"embedding").await.unwrap();
    let content = read(store, Area::Shared, digest).await.unwrap();
    assert_eq!(content, b"embedding");
    assert_eq!(store.size(Area::Shared, digest).await.unwrap(), Some(9));

    let empty = put(store, Area::Shared, b"").await.unwrap();
    assert_eq!(read(store, Area::Shared, empty).await.unwrap(), b"");

    let wrong = digest_of(b"other");
    let large: Vec<_> = (0..12 << 20).map(|at: u32| (at >> 7) as u8).collect();
    for content in [&b"this"[..], &large] {
        let refused = put_as(store, Area::Shared, wrong, content).await;
        assert!(matches!(refused, Err(ArtifactError::Corrupt { .. })));
        assert_eq!(store.size(Area::Shared, wrong).await.unwrap(), None);
    }
    let digest = digest_of(&large);
    let bytes = large.len() as u64;
    let mut torn = begin(store, ArtifactRef { digest, bytes }).await;
    torn.write(&large[1..]).await.unwrap();
    let refused = torn.finish().await;
    assert!(matches!(refused, Err(ArtifactError::Truncated { .. })));
    assert_eq!(store.size(Area::Shared, digest).await.unwrap(), None);
    put(store, Area::Shared, &large).await.unwrap();
    assert_eq!(read(store, Area::Shared, digest).await.unwrap(), large);
}

/// Damage ends a read in an error, counts as missing afterwards, and is healed by
/// an upload, whether anybody has read it or not.
async fn heals(store: &ArtifactStore) {
    let digest = put(store, Area::Shared, b"weights").await.unwrap();
    let object = Object::Artifact(Area::Shared, digest);
    for content in [&b"weight"[..], b"weightZ", b""] {
        damage(store, object, content).await;
        put(store, Area::Shared, b"weights").await.unwrap();
        assert_eq!(read(store, Area::Shared, digest).await.unwrap(), b"weights");

        damage(store, object, content).await;
        let refused = read(store, Area::Shared, digest).await;
        assert!(matches!(refused, Err(ArtifactError::Corrupt { .. })));
        let verdict = store.verify(Area::Shared, digest).await.unwrap();
        assert_eq!(verdict, Verdict::Missing);
        let aside = store.head(Object::Damaged(digest)).await.unwrap();
        assert_eq!(aside.unwrap().size, content.len() as u64);
        put(store, Area::Shared, b"weights").await.unwrap();
        let verdict = store.verify(Area::Shared, digest).await.unwrap();
        assert_eq!(verdict, Verdict::Whole);
    }
}

/// A reader that has begun before an artifact was replaced does not take the new
/// one away.
async fn heals_only_what_was_read(store: &ArtifactStore) {
    let digest = put(store, Area::Shared, b"replaced").await.unwrap();
    damage(store, Object::Artifact(Area::Shared, digest), b"broken").await;
    let old = store.get(Area::Shared, digest).await.unwrap();
    put(store, Area::Shared, b"replaced").await.unwrap();
    assert!(old.all().await.is_err());
    let verdict = store.verify(Area::Shared, digest).await.unwrap();
    assert_eq!(verdict, Verdict::Whole);
}

/// An attempt's checkpoints are its own: removing them touches neither the shared
/// area nor another attempt's. What older versions stored in the shared area is
/// found from there.
async fn keeps_attempts_apart(store: &ArtifactStore) {
    let (first, second) = (Area::Checkpoint(attempt(1)), Area::Checkpoint(attempt(2)));
    let shared = put(store, Area::Shared, b"result").await.unwrap();
    assert_eq!(read(store, first, shared).await.unwrap(), b"result");
    assert_eq!(store.size(first, shared).await.unwrap(), None);
    put(store, first, b"result").await.unwrap();
    put(store, second, b"result").await.unwrap();
    store.remove_checkpoint(attempt(1), shared).await.unwrap();
    store.remove_checkpoint(attempt(1), shared).await.unwrap();
    assert_eq!(store.size(first, shared).await.unwrap(), None);
    assert_eq!(store.size(second, shared).await.unwrap(), Some(6));
    assert_eq!(store.size(Area::Shared, shared).await.unwrap(), Some(6));
}

async fn keeps_logs(store: &ArtifactStore) {
    assert_eq!(store.log(attempt(3)).await.unwrap(), None);
    store.put_log(attempt(3), b"epoch 1").await.unwrap();
    store.put_log(attempt(10), b"epoch 9").await.unwrap();
    store
        .put_log(attempt(3), b"epoch 1\nepoch 2")
        .await
        .unwrap();
    let kept = store.log(attempt(3)).await.unwrap();
    assert_eq!(kept.as_deref(), Some(&b"epoch 1\nepoch 2"[..]));
    let attempts = store.logs(attempt(1).task).await.unwrap();
    assert_eq!(attempts, [attempt(3), attempt(10)]);
}

async fn keeps_the_contract(store: &ArtifactStore) {
    keeps_content(store).await;
    heals(store).await;
    keeps_attempts_apart(store).await;
    keeps_logs(store).await;
}

#[tokio::test]
async fn a_directory_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(&directory.path().display().to_string()).unwrap();
    keeps_the_contract(&store).await;
    heals_only_what_was_read(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_server_keeps_the_contract() {
    let Some(server) = ObjectServer::start("artifacts").unwrap() else {
        return;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = AmazonS3Builder::new()
        .with_endpoint(server.url())
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test");
    let store = ArtifactStore::s3("s3://artifacts/reprise/lab", settings).unwrap();
    keeps_the_contract(&store).await;
}

#[tokio::test]
async fn an_upload_that_is_dropped_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = ArtifactStore::local(directory.path()).unwrap();
    let content = vec![7; 3 << 20];
    let artifact = ArtifactRef {
        digest: digest_of(&content),
        bytes: content.len() as u64,
    };
    let mut upload = begin(&store, artifact).await;
    upload.write(&content).await.unwrap();
    let files = || {
        walk(directory.path())
            .into_iter()
            .filter(|path| path.is_file())
            .count()
    };
    assert_eq!(files(), 1);
    drop(upload);
    tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while files() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(walk(&entry.path()));
        }
        found.push(entry.path());
    }
    found
}
