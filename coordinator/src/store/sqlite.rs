//! The store in one SQLite file: write-ahead log, flushed at every commit.

use std::path::Path;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use reprise_core::Timestamp;
use reprise_core::lifecycle::Event;
use reprise_domain::TaskKey;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Row as _, Sqlite, Transaction};

use super::{Batch, Store, StoreError, StoredResult, Visitor};

/// Format of the tables below and of the records in them.
const FORMAT: i64 = 1;

/// A record is one commit: all events that the core decided together, as one
/// JSON array. One row a commit keeps the index small and the replay sequential.
const SCHEMA: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS journal (
        sequence INTEGER PRIMARY KEY,
        at_ms    INTEGER NOT NULL,
        events   TEXT NOT NULL
    ) STRICT",
    "CREATE TABLE IF NOT EXISTS result (
        task   BLOB PRIMARY KEY,
        result TEXT NOT NULL
    ) STRICT, WITHOUT ROWID",
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

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let failed = |source| StoreError::Access {
            operation: "write to",
            source,
        };
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        write(&mut transaction, batch).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    async fn replay(&self, visit: &mut Visitor<'_>) -> Result<u64, StoreError> {
        let failed = |source| StoreError::Access {
            operation: "read",
            source,
        };
        let mut rows = sqlx::query("SELECT sequence, at_ms, events FROM journal ORDER BY sequence")
            .fetch(&self.pool);
        let mut records = 0;
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let sequence: i64 = row.try_get(0).map_err(failed)?;
            let at: i64 = row.try_get(1).map_err(failed)?;
            let text: &str = row.try_get(2).map_err(failed)?;
            let events: Vec<Event> = serde_json::from_str(text)
                .map_err(|source| StoreError::Record { sequence, source })?;
            visit(Timestamp(at as u64), events);
            records += 1;
        }
        Ok(records)
    }

    async fn result(&self, key: TaskKey) -> Result<Option<StoredResult>, StoreError> {
        let failed = |source| StoreError::Access {
            operation: "read",
            source,
        };
        let text: Option<String> = sqlx::query_scalar("SELECT result FROM result WHERE task = ?")
            .bind(key.0.as_bytes().as_slice())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        text.map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|source| StoreError::Record {
                sequence: 0,
                source,
            })
    }
}

async fn write(
    transaction: &mut Transaction<'_, Sqlite>,
    batch: &Batch,
) -> Result<(), sqlx::Error> {
    if !batch.events.is_empty() {
        let events = serde_json::to_string(&batch.events)
            .map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query("INSERT INTO journal (at_ms, events) VALUES (?, ?)")
            .bind(batch.at.0 as i64)
            .bind(events)
            .execute(&mut **transaction)
            .await?;
    }
    for (key, result) in &batch.results {
        let result =
            serde_json::to_string(result).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query("INSERT OR IGNORE INTO result (task, result) VALUES (?, ?)")
            .bind(key.0.as_bytes().as_slice())
            .bind(result)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
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
