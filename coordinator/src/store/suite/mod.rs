//! The contract of [`Store`](super::Store) as tests that every implementation
//! passes.

mod damage;

use reprise_core::Timestamp;
use reprise_core::lifecycle::Event;
use reprise_data::digest;
use reprise_domain::{Digest, TaskKey, TaskResult, Usage, WorkerId};

use super::{
    Batch, Pace, RowProblem, SNAPSHOT_CHUNK, Sequence, Snapshot, Store, StoreError, StoredResult,
};

/// The database behind a store.
pub(super) trait Bench {
    type Store: Store;

    /// Opens the same store each time.
    async fn open(&self) -> Result<Self::Store, StoreError>;

    /// Runs a statement behind the store's back. `#` stands for what the names of
    /// tables begin with.
    async fn execute(&self, statement: &str);
}

/// Runs the suite on an empty database.
pub(super) async fn run(bench: &impl Bench) {
    records_and_results(bench).await;
    many_results(&bench.open().await.unwrap()).await;
    replaced_results(&bench.open().await.unwrap()).await;
    reads_of_one_state(&bench.open().await.unwrap()).await;
    snapshots(bench).await;
    snapshot_in_the_making(bench).await;
    damage::run(bench).await;
}

async fn records_and_results(bench: &impl Bench) {
    let store = bench.open().await.unwrap();
    assert_eq!(replayed(&store).await, []);
    is_missing(&store, key(1)).await;

    let first = Batch {
        at: Timestamp(10),
        events: vec![event(1), event(2)],
        results: vec![(key(1), result("a"))],
        ..Batch::default()
    };
    let record = r#"{"version":"1"}"#.to_owned();
    let second = Batch {
        at: Timestamp(20),
        events: vec![event(3)],
        provenance: vec![(digest(record.as_bytes()), record.clone())],
        ..Batch::default()
    };
    store.commit(&first).await.unwrap();
    store.commit(&second).await.unwrap();
    // An empty commit leaves no record.
    store.commit(&Batch::default()).await.unwrap();
    let expected = [
        (Timestamp(10), vec![event(1), event(2)]),
        (Timestamp(20), vec![event(3)]),
    ];
    assert_eq!(replayed(&store).await, expected);
    drop(store);

    let reopened = bench.open().await.unwrap();
    assert_eq!(replayed(&reopened).await, expected);
    assert_eq!(stored(&reopened, key(1)).await, result("a"));
    is_missing(&reopened, key(2)).await;
    // A record that is there already stays.
    reopened.commit(&second).await.unwrap();
    let reader = reopened.reader();
    let known = reader.provenance(digest(record.as_bytes())).await.unwrap();
    assert_eq!(known, Some(record));
    assert_eq!(reader.provenance(digest(b"other")).await.unwrap(), None);
}

/// Results that a store may write and read in several pieces.
async fn many_results(store: &impl Store) {
    let batch = Batch {
        results: (1..=255).rev().map(|n| (key(n), result("a"))).collect(),
        ..Batch::default()
    };
    store.commit(&batch).await.unwrap();
    // In any order, and one twice.
    let wanted: Vec<_> = (1..=255).chain([7]).map(|n| (key(n), noop())).collect();
    let reader = store.reader();
    let found = reader.results(&wanted).await.unwrap();
    assert_eq!(found, vec![result("a"); 256]);
    assert_eq!(reader.result_count().await.unwrap(), 255);
    let mut keys = Vec::new();
    reader
        .scan(&mut |key, row| {
            assert_eq!(row.unwrap(), (noop(), result("a")));
            keys.push(key);
        })
        .await
        .unwrap();
    assert_eq!(keys, (1..=255).map(key).collect::<Vec<_>>());
}

/// A result goes when it is removed, and the latest of a task counts.
async fn replaced_results(store: &impl Store) {
    let removing = Batch {
        removed: vec![key(1), key(2)],
        results: vec![(key(2), result("b")), (key(2), result("c"))],
        ..Batch::default()
    };
    store.commit(&removing).await.unwrap();
    is_missing(store, key(1)).await;
    assert_eq!(stored(store, key(2)).await, result("c"));
    let replacing = Batch {
        results: vec![(key(2), result("d")), (key(1), result("a"))],
        ..Batch::default()
    };
    store.commit(&replacing).await.unwrap();
    assert_eq!(stored(store, key(1)).await, result("a"));
    assert_eq!(stored(store, key(2)).await, result("d"));
}

/// A frozen reader sees nothing of what comes later.
async fn reads_of_one_state(store: &impl Store) {
    let frozen = store.reader().frozen().await.unwrap();
    let before = frozen.newest().await.unwrap();
    let removing = Batch {
        removed: vec![key(255)],
        ..batch()
    };
    store.commit(&removing).await.unwrap();
    assert_eq!(store.reader().newest().await.unwrap(), before + 1);
    assert_eq!(frozen.newest().await.unwrap(), before);
    assert_eq!(frozen.result_count().await.unwrap(), 255);
    assert_eq!(store.reader().result_count().await.unwrap(), 254);
}

/// Snapshots and compaction, on the store that the others have filled.
async fn snapshots(bench: &impl Bench) {
    let store = bench.open().await.unwrap();
    let reader = store.reader();
    assert_eq!(reader.snapshot().await.unwrap(), None);
    assert_eq!(
        store.compact(Pace::Beside).await.unwrap(),
        0,
        "nothing is covered yet"
    );
    assert!(!reader.is_compacted().await.unwrap());
    let covered = reader.newest().await.unwrap();
    let large = Snapshot {
        through: covered - 1,
        state: (0..SNAPSHOT_CHUNK * 20 + 5)
            .map(|byte| byte as u8)
            .collect(),
    };
    store.keep_snapshot(&large, Pace::Beside).await.unwrap();
    assert_eq!(reader.snapshot().await.unwrap(), Some(large));
    let small = Snapshot {
        through: covered,
        state: vec![7],
    };
    store.keep_snapshot(&small, Pace::Beside).await.unwrap();
    for _ in 0..100 {
        store.commit(&batch()).await.unwrap();
    }
    drop(store);

    let store = bench.open().await.unwrap();
    let reader = store.reader();
    assert_eq!(reader.snapshot().await.unwrap(), Some(small.clone()));
    let older = Snapshot {
        through: covered - 1,
        state: vec![6],
    };
    store.keep_snapshot(&older, Pace::Beside).await.unwrap();
    assert_eq!(reader.snapshot().await.unwrap(), Some(small));
    let beyond = vec![(Timestamp(30), vec![event(4)]); 100];
    assert_eq!(replayed_after(&store, covered).await, beyond);
    assert_eq!(store.compact(Pace::Beside).await.unwrap(), covered as u64);
    assert!(reader.is_compacted().await.unwrap());
    assert_eq!(replayed_after(&store, covered).await, beyond);
    assert_eq!(stored(&store, key(1)).await, result("a"));
    let newest = reader.newest().await.unwrap();
    assert_eq!(newest, covered + 100);
    let all = Snapshot {
        through: newest,
        state: vec![8],
    };
    store.keep_snapshot(&all, Pace::Beside).await.unwrap();
    assert_eq!(
        store.compact(Pace::Beside).await.unwrap(),
        99,
        "the newest record stays"
    );
    store.reclaim().await.unwrap();
    assert_eq!(reader.newest().await.unwrap(), newest);
    store.commit(&batch()).await.unwrap();
    assert_eq!(replayed_after(&store, newest).await, beyond[..1]);
}

/// What a process leaves behind that ends in the middle of a snapshot.
async fn snapshot_in_the_making(bench: &impl Bench) {
    let store = bench.open().await.unwrap();
    let before = store.reader().snapshot().await.unwrap();
    let generation = store.begin_snapshot().await.unwrap();
    store.put_chunk(generation, 0, b"half").await.unwrap();
    drop(store);
    let store = bench.open().await.unwrap();
    let reader = store.reader();
    assert_eq!(reader.snapshot().await.unwrap(), before);
    let whole = Snapshot {
        through: reader.newest().await.unwrap(),
        state: b"whole".to_vec(),
    };
    store.keep_snapshot(&whole, Pace::Beside).await.unwrap();
    assert_eq!(reader.snapshot().await.unwrap(), Some(whole));
    assert_eq!(
        store.sweep_chunks().await.unwrap(),
        0,
        "nothing is left over"
    );
}

async fn stored(store: &impl Store, key: TaskKey) -> StoredResult {
    let found = store.reader().results(&[(key, noop())]).await.unwrap();
    found.into_iter().next().unwrap()
}

async fn is_missing(store: &impl Store, wanted: TaskKey) {
    let found = store.reader().results(&[(wanted, noop())]).await;
    assert!(
        matches!(
            found,
            Err(StoreError::Result {
                task,
                problem: RowProblem::Missing,
                ..
            }) if task == wanted
        ),
        "{found:?}"
    );
}

/// The digest of the result of all tasks here.
fn noop() -> Digest {
    digest(br#"{"kind":"noop"}"#)
}

/// A small batch.
pub(super) fn batch() -> Batch {
    Batch {
        at: Timestamp(30),
        events: vec![event(4)],
        ..Batch::default()
    }
}

async fn replayed(store: &impl Store) -> Vec<(Timestamp, Vec<Event>)> {
    replayed_after(store, 0).await
}

async fn replayed_after(store: &impl Store, after: Sequence) -> Vec<(Timestamp, Vec<Event>)> {
    let mut records = Vec::new();
    let replayed = store
        .reader()
        .replay(after, &mut |_, at, events| records.push((at, events)))
        .await
        .unwrap();
    assert_eq!(replayed.records, records.len() as u64);
    records
}

fn event(number: u128) -> Event {
    Event::WorkerLeft {
        worker: WorkerId(uuid::Uuid::from_u128(number)),
    }
}

fn key(byte: u8) -> TaskKey {
    TaskKey(Digest::from_bytes([byte; 32]))
}

fn result(host: &str) -> StoredResult {
    StoredResult {
        result: TaskResult::Noop,
        usage: Usage::default(),
        host: host.to_owned(),
        attempt: 1,
        worker: Some(WorkerId(uuid::Uuid::from_u128(1))),
        started_ms: 1,
        ended_ms: 2,
        provenance: None,
    }
}
