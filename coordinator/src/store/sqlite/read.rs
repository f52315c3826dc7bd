//! Reads of a journal in SQLite, on connections that cannot write.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use reprise_domain::record::AttemptRecord;
use reprise_domain::{Digest, TaskKey};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, QueryBuilder, Row as _, Sqlite};
use tokio::sync::Mutex;

use super::super::attempts;
use super::super::lease::{Lease, Source};
use super::super::row::{self, Head, Joining, Replay, ResultRow};
use super::super::{
    Reader, Replayed, ResultVisitor, RowProblem, Sequence, Snapshot, StoreError, StoredResult,
    Visitor,
};
use super::{BUSY_TIMEOUT, ROWS, schema};

/// Reads that may run at once; a further one waits for its turn.
const CONNECTIONS: u32 = 4;

/// Faults of the file's structure that are listed at most.
const LISTED_FAULTS: &str = "PRAGMA integrity_check(20)";

/// Readers of one file.
#[derive(Debug)]
pub struct SqliteReader {
    path: String,
    source: Source<Sqlite>,
}

impl SqliteReader {
    /// Reads the journal at `path`, which may be in use by a coordinator.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let reader = Self::new(path);
        let mut lease = reader.lease().await?;
        let found = schema::verify(&mut lease, &reader.path).await?;
        drop(lease);
        if found == schema::FORMAT {
            return Ok(reader);
        }
        Err(StoreError::Older {
            path: reader.path,
            found,
            supported: schema::FORMAT,
        })
    }

    /// Readers of a file that a store of this process has opened.
    pub(super) fn new(path: &Path) -> Self {
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            // A file does not hang up, and asking costs as much as a statement.
            .test_before_acquire(false)
            .connect_lazy_with(options(path));
        Self {
            path: path.display().to_string(),
            source: Source::Pool(pool),
        }
    }

    /// A reader with a connection of its own, whose thread has the priority of the
    /// caller's.
    pub(super) async fn single(path: &Path) -> Result<Self, sqlx::Error> {
        Ok(Self {
            path: path.display().to_string(),
            source: Source::Single(Mutex::new(options(path).connect().await?)),
        })
    }

    /// Closes its connection, if it has one of its own.
    pub(super) async fn close(self) {
        if let Source::Single(connection) = self.source {
            // It has nothing to write.
            let _ = connection.into_inner().close().await;
        }
    }

    async fn lease(&self) -> Result<Lease<'_, Sqlite>, StoreError> {
        self.source
            .lease()
            .await
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, source: sqlx::Error) -> StoreError {
        StoreError::Access {
            path: self.path.clone(),
            operation: "read",
            source: source.into(),
        }
    }

    fn refused(&self, task: TaskKey, problem: RowProblem) -> StoreError {
        StoreError::Result {
            path: self.path.clone(),
            task,
            problem,
        }
    }

    /// The rows of some tasks, those that there are.
    async fn rows(&self, keys: &[TaskKey]) -> Result<HashMap<TaskKey, ResultRow>, StoreError> {
        let mut found = HashMap::with_capacity(keys.len());
        let mut lease = self.lease().await?;
        let mut rest = keys;
        while !rest.is_empty() {
            let length = ROWS.into_iter().find(|rows| *rows <= rest.len());
            let (now, later) = rest.split_at(length.unwrap_or(rest.len()));
            rest = later;
            let mut query =
                QueryBuilder::new("SELECT task, result, sum FROM result WHERE task IN (");
            let mut list = query.separated(", ");
            for key in now {
                list.push_bind(key.0.as_bytes().as_slice());
            }
            query.push(")");
            let rows = query.build().fetch_all(&mut *lease).await;
            for row in rows.map_err(|error| self.failed(error))? {
                let (key, row) = result_row(&row).map_err(|error| self.failed(error))?;
                found.extend(key.map(|key| (key, row)));
            }
        }
        Ok(found)
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .pragma("query_only", "on")
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

/// A row of the table of results; without a key if that is not a digest.
fn result_row(row: &sqlx::sqlite::SqliteRow) -> Result<(Option<TaskKey>, ResultRow), sqlx::Error> {
    let key: &[u8] = row.try_get(0)?;
    let text = row.try_get(1)?;
    let sum = row.try_get(2)?;
    Ok((row::key(key), ResultRow { text, sum }))
}

#[async_trait]
impl Reader for SqliteReader {
    async fn frozen(&self) -> Result<Arc<dyn Reader>, StoreError> {
        let path = Path::new(&self.path);
        let opened = async {
            let mut connection = options(path).connect().await?;
            sqlx::query("BEGIN").execute(&mut connection).await?;
            // The state is chosen by the first read.
            schema::format(&mut connection).await?;
            Ok(connection)
        };
        let connection = opened.await.map_err(|error| self.failed(error))?;
        Ok(Arc::new(Self {
            path: self.path.clone(),
            source: Source::Single(Mutex::new(connection)),
        }))
    }

    async fn replay(
        &self,
        after: Sequence,
        visit: &mut Visitor<'_>,
    ) -> Result<Replayed, StoreError> {
        let failed = |error| self.failed(error);
        let mut lease = self.lease().await?;
        let mut rows = sqlx::query(
            "SELECT sequence, at_ms, events, sum FROM journal WHERE sequence > ? \
             ORDER BY sequence",
        )
        .bind(after)
        .fetch(&mut *lease);
        let mut replay = Replay::new(&self.path, after, visit);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let sequence: i64 = row.try_get(0).map_err(failed)?;
            let at: i64 = row.try_get(1).map_err(failed)?;
            let text: &str = row.try_get(2).map_err(failed)?;
            let sum: Option<&[u8]> = row.try_get(3).map_err(failed)?;
            replay.visit(sequence, at, text, sum)?;
        }
        Ok(replay.finish())
    }

    async fn newest(&self) -> Result<Sequence, StoreError> {
        sqlx::query_scalar("SELECT COALESCE(MAX(sequence), 0) FROM journal")
            .fetch_one(&mut *self.lease().await?)
            .await
            .map_err(|error| self.failed(error))
    }

    async fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        let failed = |error| self.failed(error);
        let mut lease = self.lease().await?;
        // One statement, so that the snapshot is not replaced between two.
        let mut rows = sqlx::query(
            "SELECT generation, through, chunks, sum, chunk, state \
             FROM snapshot_head LEFT JOIN snapshot_chunk USING (generation) ORDER BY chunk",
        )
        .fetch(&mut *lease);
        let mut joining: Option<Joining> = None;
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let joining = if let Some(joining) = &mut joining {
                joining
            } else {
                let head = Head {
                    generation: row.try_get(0).map_err(failed)?,
                    through: row.try_get(1).map_err(failed)?,
                    chunks: row.try_get(2).map_err(failed)?,
                };
                let head = head.read(&self.path, row.try_get(3).map_err(failed)?)?;
                joining.insert(Joining::new(head))
            };
            let number = row.try_get(4).map_err(failed)?;
            joining.push(number, row.try_get(5).map_err(failed)?);
        }
        joining
            .map(|joining| joining.finish(&self.path))
            .transpose()
    }

    async fn is_compacted(&self) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM compaction)")
            .fetch_one(&mut *self.lease().await?)
            .await
            .map_err(|error| self.failed(error))
    }

    async fn results(&self, wanted: &[(TaskKey, Digest)]) -> Result<Vec<StoredResult>, StoreError> {
        let keys: Vec<TaskKey> = wanted.iter().map(|(key, _)| *key).collect();
        let rows = self.rows(&keys).await?;
        row::check_all(wanted, rows)
            .await
            .map_err(|(key, problem)| self.refused(key, problem))
    }

    async fn result_count(&self) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM result")
            .fetch_one(&mut *self.lease().await?)
            .await
            .map_err(|error| self.failed(error))?;
        Ok(count as u64)
    }

    async fn scan(&self, visit: &mut ResultVisitor<'_>) -> Result<(), StoreError> {
        let failed = |error| self.failed(error);
        let mut lease = self.lease().await?;
        let mut rows =
            sqlx::query("SELECT task, result, sum FROM result ORDER BY task").fetch(&mut *lease);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let (key, row) = result_row(&row).map_err(failed)?;
            let key = key.ok_or_else(|| StoreError::Damaged {
                path: self.path.clone(),
                verdict: "the key of a stored result is not a digest".to_owned(),
            })?;
            visit(
                key,
                row.read(key).map_err(|problem| self.refused(key, problem)),
            );
        }
        Ok(())
    }

    async fn attempts(&self, task: TaskKey) -> Result<Vec<AttemptRecord>, StoreError> {
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(attempts::newest(attempts::SQLITE_TABLE)))
                .bind(task.0.as_bytes().as_slice())
                .fetch_all(&mut *self.lease().await?)
                .await
                .map_err(|error| self.failed(error))?;
        Ok(attempts::read(&rows))
    }

    async fn provenance(&self, digest: Digest) -> Result<Option<String>, StoreError> {
        let record = sqlx::query_scalar("SELECT record FROM provenance WHERE digest = ?")
            .bind(digest.as_bytes().as_slice())
            .fetch_optional(&mut *self.lease().await?)
            .await
            .map_err(|error| self.failed(error))?;
        row::provenance(&self.path, digest, record)
    }

    async fn faults(&self) -> Result<Vec<String>, StoreError> {
        let mut found: Vec<String> = sqlx::query_scalar(LISTED_FAULTS)
            .fetch_all(&mut *self.lease().await?)
            .await
            .map_err(|error| self.failed(error))?;
        found.retain(|line| line != "ok");
        Ok(found)
    }
}
