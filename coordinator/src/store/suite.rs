//! The contract of [`Store`](super::Store) as tests that every implementation
//! passes.

use reprise_core::Timestamp;
use reprise_core::lifecycle::Event;
use reprise_domain::{Digest, TaskKey, TaskResult, Usage, WorkerId};

use super::{Batch, SNAPSHOT_CHUNK, Sequence, Snapshot, Store, StoredResult};

/// Runs the suite; `open` opens the same store each time.
pub(super) async fn run<S: Store, F: Future<Output = S>>(open: impl Fn() -> F) {
    let store = open().await;
    assert_eq!(replayed(&store).await, []);
    assert_eq!(store.result(key(1)).await.unwrap(), None);

    let first = Batch {
        at: Timestamp(10),
        events: vec![event(1), event(2)],
        results: vec![(key(1), result("a"))],
    };
    let second = Batch {
        at: Timestamp(20),
        events: vec![event(3)],
        results: vec![(key(1), result("b"))],
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

    let reopened = open().await;
    assert_eq!(replayed(&reopened).await, expected);
    // The first result of a key stays.
    assert_eq!(reopened.result(key(1)).await.unwrap(), Some(result("a")));
    assert_eq!(reopened.result(key(2)).await.unwrap(), None);
    many_results(&reopened).await;
    drop(reopened);
    snapshots(&open).await;
}

/// Results that a store may write in several pieces.
async fn many_results(store: &impl Store) {
    let mut results: Vec<_> = (2..=255).rev().map(|n| (key(n), result("a"))).collect();
    results.push((key(1), result("b")));
    results.extend((2..=255).map(|n| (key(n), result("b"))));
    let batch = Batch {
        at: Timestamp(25),
        events: Vec::new(),
        results,
    };
    store.commit(&batch).await.unwrap();
    for n in 1..=255 {
        let stored = store.result(key(n)).await.unwrap();
        assert_eq!(stored, Some(result("a")), "{n}");
    }
}

/// Snapshots and compaction, on the store that [`run`] has filled with two records.
async fn snapshots<S: Store, F: Future<Output = S>>(open: &impl Fn() -> F) {
    let store = open().await;
    assert_eq!(store.snapshot().await.unwrap(), None);
    assert_eq!(store.compact().await.unwrap(), 0, "nothing is covered yet");
    assert!(!store.is_compacted().await.unwrap());
    let covered = store.newest().await.unwrap();
    let large = Snapshot {
        through: covered - 1,
        state: (0..SNAPSHOT_CHUNK * 2 + 5).map(|byte| byte as u8).collect(),
    };
    store.keep_snapshot(large.clone()).await.unwrap();
    assert_eq!(store.snapshot().await.unwrap(), Some(large));
    let small = Snapshot {
        through: covered,
        state: vec![7],
    };
    store.keep_snapshot(small.clone()).await.unwrap();
    store.commit(&batch()).await.unwrap();
    drop(store);

    let store = open().await;
    assert_eq!(store.snapshot().await.unwrap(), Some(small));
    let beyond = [(Timestamp(30), vec![event(4)])];
    assert_eq!(replayed_after(&store, covered).await, beyond);
    assert_eq!(store.compact().await.unwrap(), 2);
    assert!(store.is_compacted().await.unwrap());
    assert_eq!(replayed(&store).await, beyond);
    assert_eq!(store.result(key(1)).await.unwrap(), Some(result("a")));
    let newest = store.newest().await.unwrap();
    assert!(newest > covered);
    let all = Snapshot {
        through: newest,
        state: vec![8],
    };
    store.keep_snapshot(all).await.unwrap();
    assert_eq!(store.compact().await.unwrap(), 0, "the newest record stays");
    assert_eq!(store.newest().await.unwrap(), newest);
    store.commit(&batch()).await.unwrap();
    assert_eq!(replayed_after(&store, newest).await, beyond);
}

/// A small batch.
pub(super) fn batch() -> Batch {
    Batch {
        at: Timestamp(30),
        events: vec![event(4)],
        results: Vec::new(),
    }
}

async fn replayed(store: &impl Store) -> Vec<(Timestamp, Vec<Event>)> {
    replayed_after(store, 0).await
}

async fn replayed_after(store: &impl Store, after: Sequence) -> Vec<(Timestamp, Vec<Event>)> {
    let mut records = Vec::new();
    let replayed = store
        .replay(after, &mut |at, events| records.push((at, events)))
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
    }
}
