//! The store in one SQLite file: write-ahead log, flushed at every commit.

use std::path::Path;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use reprise_domain::TaskKey;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, QueryBuilder, Row as _, Sqlite, SqliteConnection, Transaction};

use super::{
    Batch, Replayed, SNAPSHOT_CHUNK, Sequence, Snapshot, Store, StoreError, StoredResult, Visitor,
    decoded, joined, reading,
};

/// Format of the tables below and of the records in them.
const FORMAT: i64 = 1;

/// A record is one commit: all events that the core decided together, as one
/// JSON array. One row a commit keeps the index small and the replay sequential.
const SCHEMA: [&str; 4] = [
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

/// A store in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
}

impl SqliteStore {
    /// Opens the journal at `path`, making it when there is none.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let failed = |source| StoreError::Open {
            path: name.clone(),
            source,
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // The whole point: a commit that has returned survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(std::time::Duration::from_secs(10));
        // One connection writes; the others serve reads beside it.
        let pool = SqlitePoolOptions::new()
            .max_connections(3)
            // A file does not hang up, and asking costs as much as a statement.
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .map_err(failed)?;
        let found: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&pool)
            .await
            .map_err(failed)?;
        if found > FORMAT {
            return Err(StoreError::Version {
                path: name,
                found,
                supported: FORMAT,
            });
        }
        for statement in SCHEMA {
            sqlx::query(statement)
                .execute(&pool)
                .await
                .map_err(failed)?;
        }
        sqlx::query("PRAGMA user_version = 1")
            .execute(&pool)
            .await
            .map_err(failed)?;
        Ok(Self { pool })
    }
}

/// Copies the journal at `path` to `copy`, which must not exist. A coordinator may
/// be using it: the copy is the state after one of its commits.
pub async fn back_up(path: &Path, copy: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Open {
        path: path.display().to_string(),
        source,
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(std::time::Duration::from_secs(10));
    let mut connection = SqliteConnection::connect_with(&options)
        .await
        .map_err(failed)?;
    sqlx::query("VACUUM INTO ?")
        .bind(copy.display().to_string())
        .execute(&mut connection)
        .await
        .map_err(|source| StoreError::Access {
            operation: "copy",
            source,
        })?;
    connection.close().await.map_err(failed)
}

/// Checks that a file is a whole journal that this version reads.
pub async fn check(path: &Path) -> Result<(), StoreError> {
    let name = path.display().to_string();
    let failed = |source| StoreError::Open {
        path: name.clone(),
        source,
    };
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options)
        .await
        .map_err(failed)?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    if !(1..=FORMAT).contains(&found) {
        return Err(StoreError::Version {
            path: name,
            found,
            supported: FORMAT,
        });
    }
    let verdict: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(StoreError::Damaged {
            path: path.display().to_string(),
            verdict,
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, batch: &Batch) -> Result<u64, StoreError> {
        let failed = |source| StoreError::Access {
            operation: "write to",
            source,
        };
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        let bytes = write(&mut transaction, batch).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(bytes)
    }

    async fn replay(
        &self,
        after: Sequence,
        visit: &mut Visitor<'_>,
    ) -> Result<Replayed, StoreError> {
        let failed = reading;
        let mut rows = sqlx::query(
            "SELECT sequence, at_ms, events FROM journal WHERE sequence > ? ORDER BY sequence",
        )
        .bind(after)
        .fetch(&self.pool);
        let mut replayed = Replayed::default();
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let sequence: i64 = row.try_get(0).map_err(failed)?;
            let at: i64 = row.try_get(1).map_err(failed)?;
            let text: &str = row.try_get(2).map_err(failed)?;
            replayed.visit(sequence, at, text, visit)?;
        }
        Ok(replayed)
    }

    async fn newest(&self) -> Result<Sequence, StoreError> {
        sqlx::query_scalar("SELECT COALESCE(MAX(sequence), 0) FROM journal")
            .fetch_one(&self.pool)
            .await
            .map_err(reading)
    }

    async fn is_compacted(&self) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM compaction)")
            .fetch_one(&self.pool)
            .await
            .map_err(reading)
    }

    async fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        let chunks: Vec<(Sequence, Vec<u8>)> =
            sqlx::query_as("SELECT through, state FROM snapshot ORDER BY chunk")
                .fetch_all(&self.pool)
                .await
                .map_err(reading)?;
        Ok(joined(chunks))
    }

    async fn keep_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        let failed = |source| StoreError::Access {
            operation: "write a snapshot to",
            source,
        };
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        sqlx::query("DELETE FROM snapshot")
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        for (place, chunk) in snapshot.state.chunks(SNAPSHOT_CHUNK).enumerate() {
            sqlx::query("INSERT INTO snapshot (through, chunk, state) VALUES (?, ?, ?)")
                .bind(snapshot.through)
                .bind(place as i64)
                .bind(chunk)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    async fn compact(&self) -> Result<u64, StoreError> {
        let failed = |source| StoreError::Access {
            operation: "compact",
            source,
        };
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        let removed = sqlx::query(
            "DELETE FROM journal WHERE sequence <= (SELECT MAX(through) FROM snapshot)
             AND sequence < (SELECT MAX(sequence) FROM journal)",
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?
        .rows_affected();
        if removed > 0 {
            sqlx::query("INSERT INTO compaction SELECT MAX(through) FROM snapshot")
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
        sqlx::query("VACUUM")
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(removed)
    }

    async fn result(&self, key: TaskKey) -> Result<Option<StoredResult>, StoreError> {
        let failed = reading;
        let text: Option<String> = sqlx::query_scalar("SELECT result FROM result WHERE task = ?")
            .bind(key.0.as_bytes().as_slice())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        decoded(text)
    }
}

/// Puts the events and results of a batch into a transaction; returns the size
/// of the record.
async fn write(
    transaction: &mut Transaction<'_, Sqlite>,
    batch: &Batch,
) -> Result<u64, sqlx::Error> {
    let mut bytes = 0;
    if !batch.events.is_empty() {
        let events = serde_json::to_string(&batch.events)
            .map_err(|error| sqlx::Error::Encode(error.into()))?;
        bytes = events.len() as u64;
        sqlx::query("INSERT INTO journal (at_ms, events) VALUES (?, ?)")
            .bind(batch.at.0 as i64)
            .bind(events)
            .execute(&mut **transaction)
            .await?;
    }
    let mut results: Vec<_> = batch.results.iter().collect();
    // Neighbours share pages of the table. Stable: of two under one key the first
    // one stays.
    results.sort_by_key(|(key, _)| *key);
    let mut rest = results.as_slice();
    while !rest.is_empty() {
        let rows = ROWS.into_iter().find(|rows| *rows <= rest.len());
        let (now, later) = rest.split_at(rows.unwrap_or(rest.len()));
        write_results(transaction, now).await?;
        rest = later;
    }
    Ok(bytes)
}

/// Rows of one statement. Each statement is a message to the thread of its
/// connection and back, which costs more than the row; of few lengths, so that the
/// prepared statements are found again.
const ROWS: [usize; 4] = [256, 32, 4, 1];

async fn write_results(
    transaction: &mut Transaction<'_, Sqlite>,
    results: &[&(TaskKey, StoredResult)],
) -> Result<(), sqlx::Error> {
    let mut texts = Vec::with_capacity(results.len());
    for (_, result) in results {
        texts.push(
            serde_json::to_string(result).map_err(|error| sqlx::Error::Encode(error.into()))?,
        );
    }
    QueryBuilder::new("INSERT OR IGNORE INTO result (task, result) ")
        .push_values(results.iter().zip(texts), |mut row, ((key, _), text)| {
            row.push_bind(key.0.as_bytes().as_slice()).push_bind(text);
        })
        .build()
        .execute(&mut **transaction)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::suite;

    #[tokio::test]
    async fn keeps_the_store_contract() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.sqlite");
        suite::run(|| async { SqliteStore::open(&path).await.unwrap() }).await;
    }

    /// What is left after a power cut in the middle of a write: the files, with the
    /// log torn anywhere.
    #[tokio::test]
    async fn a_torn_log_costs_what_was_not_committed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.sqlite");
        let store = SqliteStore::open(&path).await.unwrap();
        let log = path.with_extension("sqlite-wal");
        let mut ends = Vec::new();
        for _ in 0..3 {
            store.commit(&suite::batch()).await.unwrap();
            ends.push(std::fs::metadata(&log).unwrap().len());
        }
        for (whole, end) in ends.iter().enumerate() {
            for torn in [*end, end + 1, (end + 100).min(ends[2])] {
                let copy = tempfile::tempdir().unwrap();
                let journal = copy.path().join("journal.sqlite");
                std::fs::copy(&path, &journal).unwrap();
                let kept = &std::fs::read(&log).unwrap()[..torn.min(ends[2]) as usize];
                std::fs::write(journal.with_extension("sqlite-wal"), kept).unwrap();
                let reopened = SqliteStore::open(&journal).await.unwrap();
                let newest = reopened.newest().await.unwrap();
                assert_eq!(newest, whole as Sequence + 1, "log of {torn} bytes");
            }
        }
    }

    #[tokio::test]
    async fn a_journal_from_the_future_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.sqlite");
        let store = SqliteStore::open(&path).await.unwrap();
        sqlx::query("PRAGMA user_version = 99")
            .execute(&store.pool)
            .await
            .unwrap();
        let error = SqliteStore::open(&path).await.unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Version {
                    found: 99,
                    supported: 1,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.sqlite");
        std::fs::write(
            &path,
            "this is not a database, however long it may be".repeat(100),
        )
        .unwrap();
        let error = SqliteStore::open(&path).await.unwrap_err();
        assert!(error.to_string().contains("journal.sqlite"), "{error}");
    }
}
