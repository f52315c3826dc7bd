//! The contract of [`Store`](super::Store) as tests that every implementation
//! passes.

use reprise_core::Timestamp;
use reprise_core::lifecycle::Event;
use reprise_domain::{Digest, TaskKey, TaskResult, Usage, WorkerId};

use super::{Batch, Store, StoredResult};

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
}

async fn replayed(store: &impl Store) -> Vec<(Timestamp, Vec<Event>)> {
    let mut records = Vec::new();
    let count = store
        .replay(&mut |at, events| records.push((at, events)))
        .await
        .unwrap();
    assert_eq!(count, records.len() as u64);
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
