//! The tables of a journal in SQLite, and how older ones become those of now.

use std::collections::BTreeSet;

use sqlx::{Connection as _, SqliteConnection};

use super::super::row::Head;
use super::super::{StoreError, attempts};

/// Format of the tables and of the records in them.
pub(super) const FORMAT: i64 = 2;

/// The tables of a journal of the present format.
const TABLES: [&str; 6] = [
    "compaction",
    "journal",
    "provenance",
    "result",
    "snapshot_chunk",
    "snapshot_head",
];

/// The tables that every journal of format 1 has; snapshots and compaction came to
/// it later, without a number of their own.
const OLD_TABLES: [&str; 2] = ["journal", "result"];

/// A record is one commit: all events that the core decided together, as one
/// JSON array. One row a commit keeps the index small and the replay sequential.
const CREATE: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS journal (
        sequence INTEGER PRIMARY KEY,
        at_ms    INTEGER NOT NULL,
        events   TEXT NOT NULL
    ) STRICT",
    "CREATE TABLE IF NOT EXISTS result (
        task   BLOB PRIMARY KEY,
        result TEXT NOT NULL
    ) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS compaction (through INTEGER NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS snapshot (
        through INTEGER NOT NULL,
        chunk   INTEGER NOT NULL,
        state   BLOB NOT NULL,
        PRIMARY KEY (through, chunk)
    ) STRICT",
];

/// From format 1 to 2: checksums, records of provenance, and snapshots that are
/// written beside the one before.
const CHECKSUMS: [&str; 7] = [
    "ALTER TABLE journal ADD COLUMN sum BLOB",
    "ALTER TABLE result ADD COLUMN sum BLOB",
    "CREATE TABLE provenance (
        digest BLOB PRIMARY KEY,
        record TEXT NOT NULL
    ) STRICT, WITHOUT ROWID",
    "CREATE TABLE snapshot_head (
        generation INTEGER NOT NULL,
        through    INTEGER NOT NULL,
        chunks     INTEGER NOT NULL,
        sum        BLOB NOT NULL
    ) STRICT",
    "CREATE TABLE snapshot_chunk (
        generation INTEGER NOT NULL,
        chunk      INTEGER NOT NULL,
        state      BLOB NOT NULL,
        PRIMARY KEY (generation, chunk)
    ) STRICT",
    "INSERT INTO snapshot_chunk SELECT 1, chunk, state FROM snapshot",
    "DROP TABLE snapshot",
];

/// The format of a journal, 0 of one that is not made yet.
pub(super) async fn format(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(connection)
        .await
}

/// Refuses formats that cannot be read, and journals that lack a table.
pub(super) async fn verify(
    connection: &mut SqliteConnection,
    path: &str,
) -> Result<i64, StoreError> {
    let failed = |source: sqlx::Error| StoreError::Open {
        path: path.to_owned(),
        source: source.into(),
    };
    let found = format(connection).await.map_err(failed)?;
    if !(0..=FORMAT).contains(&found) {
        return Err(StoreError::Version {
            path: path.to_owned(),
            found,
            supported: FORMAT,
        });
    }
    let expected: &[&str] = match found {
        0 => &[],
        1 => &OLD_TABLES,
        _ => &TABLES,
    };
    let there: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'")
            .fetch_all(connection)
            .await
            .map_err(failed)?;
    let there: BTreeSet<&str> = there.iter().map(String::as_str).collect();
    match expected.iter().find(|name| !there.contains(**name)) {
        None => Ok(found),
        Some(missing) => Err(StoreError::Damaged {
            path: path.to_owned(),
            verdict: format!("it has no table `{missing}`"),
        }),
    }
}

/// Makes the tables of the present format out of what there is, all or nothing.
pub(super) async fn upgrade(
    connection: &mut SqliteConnection,
    found: i64,
) -> Result<(), sqlx::Error> {
    for statement in attempts::SQLITE {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    if found == FORMAT {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for statement in CREATE {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    let (through, chunks): (Option<i64>, i64) =
        sqlx::query_as("SELECT MAX(through), COUNT(*) FROM snapshot")
            .fetch_one(&mut *transaction)
            .await?;
    for statement in CHECKSUMS {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    if let Some(through) = through {
        let head = Head {
            generation: 1,
            through,
            chunks,
        };
        insert_head(&mut transaction, head).await?;
    }
    sqlx::query("PRAGMA user_version = 2")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Names the newest snapshot.
pub(super) async fn insert_head(
    connection: &mut SqliteConnection,
    head: Head,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO snapshot_head (generation, through, chunks, sum) VALUES (?, ?, ?, ?)")
        .bind(head.generation)
        .bind(head.through)
        .bind(head.chunks)
        .bind(head.sum().as_slice())
        .execute(connection)
        .await
        .map(drop)
}
