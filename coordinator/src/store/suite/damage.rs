//! What a store says when the database is not what was written.

use reprise_domain::{Digest, TaskKey};

use super::{Bench, batch, key, noop, result, stored};
use crate::store::{Batch, Mismatch, RowProblem, Store as _, StoreError};

/// Damages the store that the others have filled, each time in another place.
pub(super) async fn run(bench: &impl Bench) {
    damaged_results(bench).await;
    damaged_records(bench).await;
    damaged_snapshots(bench).await;
    missing_tables(bench).await;
}

async fn problem(bench: &impl Bench, wanted: (TaskKey, Digest)) -> RowProblem {
    let store = bench.open().await.unwrap();
    // A damaged one among others is no less damaged.
    let wanted = [(key(9), noop()), wanted, (key(10), noop())];
    match store.reader().results(&wanted).await {
        Err(error @ StoreError::Result { .. }) => {
            let text = error.to_string();
            assert!(text.contains(&key(5).to_string()), "{text}");
            assert!(
                text.contains("backup") && text.contains("invalidate"),
                "{text}"
            );
            match error {
                StoreError::Result { problem, .. } => problem,
                _ => unreachable!("it was matched above"),
            }
        }
        other => panic!("{other:?}"),
    }
}

async fn damaged_results(bench: &impl Bench) {
    let other = Digest::from_bytes([7; 32]);
    let found = problem(bench, (key(5), other)).await;
    let RowProblem::Digest(found) = found else {
        panic!("{found:?}");
    };
    let expected = Mismatch {
        expected: other,
        found: noop(),
    };
    assert_eq!(*found, expected);
    let (own, next) = (hex(key(5)), hex(key(6)));
    for (damage, expected) in [
        // A flipped digit or letter of what no digest covers.
        (
            format!(
                "UPDATE #result SET result = replace(result, '\"ended_ms\":2', '\"ended_ms\":3') WHERE task = {own}"
            ),
            "checksum",
        ),
        (
            format!(
                "UPDATE #result SET result = replace(result, '\"host\":\"a\"', '\"host\":\"b\"') WHERE task = {own}"
            ),
            "checksum",
        ),
        (
            format!("UPDATE #result SET result = '{{' WHERE task = {own}"),
            "checksum",
        ),
        // The row of another task, as a flipped bit in a key gives it.
        (
            format!(
                "UPDATE #result SET sum = (SELECT sum FROM #result WHERE task = {next}) WHERE task = {own}"
            ),
            "checksum",
        ),
        // Rows of older journals have no checksum.
        (
            format!("UPDATE #result SET sum = NULL, result = '{{' WHERE task = {own}"),
            "readable",
        ),
        (
            format!(
                "UPDATE #result SET sum = NULL, result = replace(result, 'kind', 'kinD') WHERE task = {own}"
            ),
            "readable",
        ),
        (format!("DELETE FROM #result WHERE task = {own}"), "missing"),
    ] {
        bench.execute(&damage).await;
        let found = problem(bench, (key(5), noop())).await.to_string();
        assert!(found.contains(expected), "{damage}: {found}");
        let store = bench.open().await.unwrap();
        let (mut whole, mut faults) = (0, 0);
        let scanned = store.reader();
        scanned
            .scan(&mut |_, row| match row {
                Ok(_) => whole += 1,
                Err(_) => faults += 1,
            })
            .await
            .unwrap();
        assert_eq!((whole, faults), (253, usize::from(expected != "missing")));
        let repaired = Batch {
            results: vec![(key(5), result("a"))],
            ..Batch::default()
        };
        store.commit(&repaired).await.unwrap();
        assert_eq!(stored(&store, key(5)).await, result("a"));
    }
    // A row of an older journal that is whole is read.
    bench.execute("UPDATE #result SET sum = NULL").await;
    let store = bench.open().await.unwrap();
    assert_eq!(stored(&store, key(5)).await, result("a"));
}

async fn damaged_records(bench: &impl Bench) {
    let store = bench.open().await.unwrap();
    let newest = store.reader().newest().await.unwrap();
    for _ in 0..4 {
        store.commit(&batch()).await.unwrap();
    }
    drop(store);
    let second = newest + 2;
    let read = async || {
        let store = bench.open().await.unwrap();
        let reader = store.reader();
        reader.replay(newest, &mut |_, _, _| ()).await
    };
    assert_eq!(read().await.unwrap().records, 4);
    for (damage, repair) in [
        ("at_ms = at_ms + 1", "at_ms = at_ms - 1"),
        (
            "events = replace(events, '0004', '0005')",
            "events = replace(events, '0005', '0004')",
        ),
    ] {
        let at = |change| format!("UPDATE #journal SET {change} WHERE sequence = {second}");
        bench.execute(&at(damage)).await;
        let error = read().await.unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Record { sequence, problem: RowProblem::Checksum, .. } if sequence == second
            ),
            "{error}"
        );
        bench.execute(&at(repair)).await;
        assert_eq!(read().await.unwrap().records, 4);
    }
    bench
        .execute(&format!("DELETE FROM #journal WHERE sequence = {second}"))
        .await;
    let error = read().await.unwrap_err();
    assert!(
        matches!(error, StoreError::Gap { from, to, .. } if from == second && to == second),
        "{error}"
    );
    // A record of an older journal has no checksum, and its number may follow a gap.
    let third = second + 1;
    bench
        .execute(&format!(
            "UPDATE #journal SET sum = NULL WHERE sequence = {third}"
        ))
        .await;
    assert_eq!(read().await.unwrap().records, 3);
    bench
        .execute(&format!(
            "UPDATE #journal SET events = '[' WHERE sequence = {third}"
        ))
        .await;
    let error = read().await.unwrap_err().to_string();
    assert!(error.contains(&format!("record {third}")), "{error}");
}

async fn damaged_snapshots(bench: &impl Bench) {
    for (damage, repair) in [
        (
            "UPDATE #snapshot_head SET through = through - 1",
            "UPDATE #snapshot_head SET through = through + 1",
        ),
        (
            "UPDATE #snapshot_head SET chunks = 2",
            "UPDATE #snapshot_head SET chunks = 1",
        ),
        ("DELETE FROM #snapshot_chunk", ""),
    ] {
        bench.execute(damage).await;
        let store = bench.open().await.unwrap();
        let error = store.reader().snapshot().await.unwrap_err();
        assert!(
            matches!(error, StoreError::Snapshot { .. }),
            "{damage}: {error}"
        );
        drop(store);
        if !repair.is_empty() {
            bench.execute(repair).await;
            let store = bench.open().await.unwrap();
            assert!(store.reader().snapshot().await.unwrap().is_some());
        }
    }
}

/// A table that is missing is damage, not something to make anew.
async fn missing_tables(bench: &impl Bench) {
    for table in ["result", "snapshot_head", "compaction", "journal"] {
        bench
            .execute(&format!("ALTER TABLE #{table} RENAME TO #away"))
            .await;
        let error = bench.open().await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Damaged { verdict, .. } if verdict.contains(table)),
            "{error}"
        );
        bench
            .execute(&format!("ALTER TABLE #away RENAME TO #{table}"))
            .await;
    }
    bench.open().await.unwrap();
}

/// A key as both databases write it: hexadecimal digits in quotes.
fn hex(key: TaskKey) -> String {
    format!("@{key}@")
}
