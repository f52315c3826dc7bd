//! The store in one SQLite file: write-ahead log, flushed at every commit.
//!
//! One connection writes; readers have their own, which cannot. A third one moves the
//! log into the file.

mod checkpointer;
mod file;
mod mark;
mod read;
mod schema;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reprise_domain::TaskKey;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{
    ConnectOptions as _, Connection as _, QueryBuilder, Sqlite, SqliteConnection, Transaction,
};
use tokio::sync::Mutex;

use super::attempts;
use super::row::{self, Head, ResultRow};
use super::{Batch, Reader, Sequence, Store, StoreError, StoredResult};
use checkpointer::{Checkpointer, Pace};
pub use file::{back_up, check};
use mark::Mark;
pub use mark::{Lack, name as mark_of, written};
pub use read::SqliteReader;

/// Longest wait for another process that writes or recovers the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Rows of one statement. Each statement is a message to the thread of its
/// connection and back, which costs more than the row; of few lengths, so that the
/// prepared statements are found again.
const ROWS: [usize; 4] = [256, 32, 4, 1];

/// Records and chunks that one transaction removes, so that commits wait for some
/// milliseconds at most.
const SWEPT_RECORDS: i64 = 32;
const SWEPT_CHUNKS: i64 = 8;

/// A store in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: String,
    writer: Mutex<Writer>,
    checkpointer: Checkpointer,
    reader: Arc<SqliteReader>,
    prompt_reader: Arc<SqliteReader>,
    lacks: Option<Lack>,
}

#[derive(Debug)]
struct Writer {
    connection: SqliteConnection,
    /// Number of the newest record.
    newest: Sequence,
    mark: Mark,
}

impl SqliteStore {
    /// Opens the journal at `path`, making it when there is none.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let failed = |source: sqlx::Error| StoreError::Open {
            path: name.clone(),
            source: source.into(),
        };
        let mut connection = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // The whole point: a commit that has returned survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("wal_autocheckpoint", "0")
            // Results are stored under their keys, which lie anywhere in their table.
            .pragma("cache_size", "-32768")
            // A log that grew during a long read is cut again.
            .pragma("journal_size_limit", "67108864")
            .disable_statement_logging()
            .connect()
            .await
            .map_err(failed)?;
        let found = schema::verify(&mut connection, &name).await?;
        schema::upgrade(&mut connection, found)
            .await
            .map_err(failed)?;
        let newest = sqlx::query_scalar("SELECT COALESCE(MAX(sequence), 0) FROM journal")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let mark = Mark::open(path).map_err(|error| failed(sqlx::Error::Io(error)))?;
        let lacks = Lack::of(newest, mark.read());
        let checkpointer = Checkpointer::start(path, Pace::default()).await;
        let checkpointer = checkpointer.map_err(failed)?;
        let prompt_reader = SqliteReader::single(path).await.map_err(failed)?;
        Ok(Self {
            path: name,
            writer: Mutex::new(Writer {
                connection,
                newest,
                mark,
            }),
            checkpointer,
            reader: Arc::new(SqliteReader::new(path)),
            prompt_reader: Arc::new(prompt_reader),
            lacks,
        })
    }

    /// What it lacked of its newest part when it was opened.
    pub const fn lacks(&self) -> Option<Lack> {
        self.lacks
    }

    /// Closes the file; what is in its log goes into it.
    pub async fn close(self) -> Result<(), StoreError> {
        let Self {
            path,
            writer,
            checkpointer,
            prompt_reader,
            ..
        } = self;
        checkpointer.stop().await;
        // Whoever closes the file last moves the log into it.
        if let Some(reader) = Arc::into_inner(prompt_reader) {
            reader.close().await;
        }
        let closed = writer.into_inner().connection.close().await;
        closed.map_err(|source| StoreError::Open {
            path,
            source: source.into(),
        })
    }

    fn failed(&self, operation: &'static str, source: sqlx::Error) -> StoreError {
        StoreError::Access {
            path: self.path.clone(),
            operation,
            source: source.into(),
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, batch: &Batch) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock().await;
        let sequence = writer.newest + 1;
        let committed = async {
            let mut transaction = begin(&mut writer.connection).await?;
            let bytes = write(&mut transaction, sequence, batch).await?;
            transaction.commit().await?;
            Ok(bytes)
        };
        let bytes = committed
            .await
            .map_err(|error| self.failed("write to", error))?;
        if !batch.events.is_empty() {
            writer.newest = sequence;
            writer.mark.write(sequence);
        }
        Ok(bytes)
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader) as Arc<dyn Reader>
    }

    fn prompt_reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.prompt_reader) as Arc<dyn Reader>
    }

    async fn begin_snapshot(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar(
            "SELECT 1 + MAX((SELECT COALESCE(MAX(generation), 0) FROM snapshot_head), \
                            (SELECT COALESCE(MAX(generation), 0) FROM snapshot_chunk))",
        )
        .fetch_one(&mut self.writer.lock().await.connection)
        .await
        .map_err(|error| self.failed("read", error))
    }

    async fn put_chunk(&self, generation: i64, chunk: i64, state: &[u8]) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO snapshot_chunk (generation, chunk, state) VALUES (?, ?, ?)")
            .bind(generation)
            .bind(chunk)
            .bind(state)
            .execute(&mut self.writer.lock().await.connection)
            .await
            .map(drop)
            .map_err(|error| self.failed("write a snapshot to", error))
    }

    async fn end_snapshot(
        &self,
        generation: i64,
        through: Sequence,
        chunks: i64,
    ) -> Result<bool, StoreError> {
        let head = Head {
            generation,
            through,
            chunks,
        };
        let mut writer = self.writer.lock().await;
        let ended = async {
            let mut transaction = begin(&mut writer.connection).await?;
            sqlx::query("DELETE FROM snapshot_head WHERE through <= ?")
                .bind(through)
                .execute(&mut *transaction)
                .await?;
            let newer: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM snapshot_head)")
                .fetch_one(&mut *transaction)
                .await?;
            if !newer {
                schema::insert_head(&mut transaction, head).await?;
            }
            transaction.commit().await?;
            Ok(!newer)
        };
        ended
            .await
            .map_err(|error| self.failed("write a snapshot to", error))
    }

    async fn sweep_chunks(&self) -> Result<u64, StoreError> {
        let removed = sqlx::query(
            "DELETE FROM snapshot_chunk WHERE (generation, chunk) IN \
             (SELECT generation, chunk FROM snapshot_chunk \
              WHERE generation NOT IN (SELECT generation FROM snapshot_head) LIMIT ?)",
        )
        .bind(SWEPT_CHUNKS)
        .execute(&mut self.writer.lock().await.connection)
        .await
        .map_err(|error| self.failed("compact", error))?;
        Ok(removed.rows_affected())
    }

    async fn sweep_records(&self) -> Result<u64, StoreError> {
        let mut writer = self.writer.lock().await;
        let swept = async {
            let mut transaction = begin(&mut writer.connection).await?;
            let removed = sqlx::query(
                "DELETE FROM journal WHERE sequence IN \
                 (SELECT sequence FROM journal \
                  WHERE sequence <= (SELECT MAX(through) FROM snapshot_head) \
                  AND sequence < (SELECT MAX(sequence) FROM journal) ORDER BY sequence LIMIT ?)",
            )
            .bind(SWEPT_RECORDS)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if removed > 0 {
                sqlx::query("DELETE FROM compaction")
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query("INSERT INTO compaction SELECT MAX(through) FROM snapshot_head")
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok(removed)
        };
        swept.await.map_err(|error| self.failed("compact", error))
    }

    async fn reclaim(&self) -> Result<(), StoreError> {
        sqlx::query("VACUUM")
            .execute(&mut self.writer.lock().await.connection)
            .await
            .map(drop)
            .map_err(|error| self.failed("compact", error))
    }
}

/// Begins to write: at once, so that it cannot turn out later that another process
/// does.
async fn begin(connection: &mut SqliteConnection) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
    connection.begin_with("BEGIN IMMEDIATE").await
}

/// Puts a batch into a transaction; returns the size of its record.
async fn write(
    transaction: &mut SqliteConnection,
    sequence: Sequence,
    batch: &Batch,
) -> Result<u64, sqlx::Error> {
    let mut bytes = 0;
    if !batch.events.is_empty() {
        let events = serde_json::to_string(&batch.events).map_err(row::encoded)?;
        let at = batch.at.0 as i64;
        bytes = events.len() as u64;
        let sum = row::record_sum(sequence, at, &events);
        sqlx::query("INSERT INTO journal (sequence, at_ms, events, sum) VALUES (?, ?, ?, ?)")
            .bind(sequence)
            .bind(at)
            .bind(events)
            .bind(sum.as_slice())
            .execute(&mut *transaction)
            .await?;
    }
    let mut rest = batch.removed.as_slice();
    while !rest.is_empty() {
        let rows = ROWS.into_iter().find(|rows| *rows <= rest.len());
        let (now, later) = rest.split_at(rows.unwrap_or(rest.len()));
        remove_results(transaction, now).await?;
        rest = later;
    }
    for (digest, record) in &batch.provenance {
        sqlx::query("INSERT OR IGNORE INTO provenance (digest, record) VALUES (?, ?)")
            .bind(digest.as_bytes().as_slice())
            .bind(record)
            .execute(&mut *transaction)
            .await?;
    }
    attempts::write_sqlite(transaction, &batch.attempts).await?;
    let mut results: Vec<_> = batch.results.iter().collect();
    // Neighbours share pages of the table. Stable: of two under one key the later
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

async fn remove_results(
    transaction: &mut SqliteConnection,
    tasks: &[TaskKey],
) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::new("DELETE FROM result WHERE task IN (");
    let mut list = query.separated(", ");
    for key in tasks {
        list.push_bind(key.0.as_bytes().as_slice());
    }
    query.push(")");
    query.build().execute(transaction).await.map(drop)
}

async fn write_results(
    transaction: &mut SqliteConnection,
    results: &[&(TaskKey, StoredResult)],
) -> Result<(), sqlx::Error> {
    let mut rows = Vec::with_capacity(results.len());
    for (key, result) in results {
        rows.push((*key, ResultRow::of(*key, result)?));
    }
    QueryBuilder::new("INSERT OR REPLACE INTO result (task, result, sum) ")
        .push_values(&rows, |mut values, (key, row)| {
            values
                .push_bind(key.0.as_bytes().as_slice())
                .push_bind(&row.text)
                .push_bind(row.sum.as_deref());
        })
        .build()
        .execute(transaction)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::store::suite;

    struct File(std::path::PathBuf);

    impl suite::Bench for File {
        type Store = SqliteStore;

        async fn open(&self) -> Result<SqliteStore, StoreError> {
            SqliteStore::open(&self.0).await
        }

        async fn execute(&self, statement: &str) {
            let mut parts = statement.split('@');
            let mut text = parts.next().unwrap_or_default().replace('#', "");
            while let (Some(key), Some(rest)) = (parts.next(), parts.next()) {
                let _ = write!(text, "x'{key}'{}", rest.replace('#', ""));
            }
            let options = SqliteConnectOptions::new().filename(&self.0);
            let mut connection = options.connect().await.unwrap();
            sqlx::query(sqlx::AssertSqlSafe(text))
                .execute(&mut connection)
                .await
                .unwrap();
            connection.close().await.unwrap();
        }
    }

    #[tokio::test]
    async fn keeps_the_store_contract() {
        let directory = tempfile::tempdir().unwrap();
        suite::run(&File(directory.path().join("journal.sqlite"))).await;
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
                let newest = reopened.reader().newest().await.unwrap();
                assert_eq!(newest, whole as Sequence + 1, "log of {torn} bytes");
            }
        }
    }

    #[tokio::test]
    async fn a_lost_end_is_noticed_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.sqlite");
        let mut copy = Vec::new();
        for _ in 0..3 {
            let store = SqliteStore::open(&path).await.unwrap();
            assert_eq!(store.lacks(), None);
            store.commit(&suite::batch()).await.unwrap();
            store.close().await.unwrap();
            if copy.is_empty() {
                copy = std::fs::read(&path).unwrap();
            }
        }
        std::fs::write(&path, &copy).unwrap();
        let store = SqliteStore::open(&path).await.unwrap();
        let (newest, written) = (1, 3);
        assert_eq!(store.lacks(), Some(Lack { newest, written }));
        store.commit(&suite::batch()).await.unwrap();
        store.close().await.unwrap();
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(store.lacks(), None);
        store.close().await.unwrap();
        std::fs::write(mark_of(&path), "not a number, but long enough").unwrap();
        assert_eq!(SqliteStore::open(&path).await.unwrap().lacks(), None);
    }

    #[tokio::test]
    async fn a_journal_from_the_future_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.sqlite");
        let store = SqliteStore::open(&path).await.unwrap();
        sqlx::query("PRAGMA user_version = 99")
            .execute(&mut store.writer.lock().await.connection)
            .await
            .unwrap();
        let error = SqliteStore::open(&path).await.unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Version {
                    found: 99,
                    supported: 2,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_file_that_is_not_a_database_is_named() {
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
