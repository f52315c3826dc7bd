//! Reads of a journal in PostgreSQL, apart from the connection that leads.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use reprise_domain::record::AttemptRecord;
use reprise_domain::{Digest, TaskKey};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Postgres, Row as _};
use tokio::sync::Mutex;

use super::super::attempts;
use super::super::lease::{Lease, Source};
use super::super::row::{self, Head, Joining, Replay, ResultRow};
use super::super::{
    Reader, Replayed, ResultVisitor, RowProblem, Sequence, Snapshot, StoreError, StoredResult,
    Visitor,
};
use super::location::{parse, place};
use super::schema;

/// Reads that may run at once; a further one waits for its turn.
const CONNECTIONS: u32 = 4;

/// Rows that one statement asks for.
const ROWS: usize = 1024;

/// Readers of one database.
#[derive(Debug)]
pub struct PostgresReader {
    path: String,
    options: PgConnectOptions,
    source: Source<Postgres>,
}

impl PostgresReader {
    /// Reads the journal in the database at `url`, which a coordinator may lead.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let options = parse(url)?;
        let path = place(&options);
        let reader = Self::new(path, options);
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

    pub(super) fn new(path: String, options: PgConnectOptions) -> Self {
        let options = options.options([("default_transaction_read_only", "on")]);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_lazy_with(options.clone());
        Self {
            path,
            options,
            source: Source::Pool(pool),
        }
    }

    async fn lease(&self) -> Result<Lease<'_, Postgres>, StoreError> {
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
        for keys in keys.chunks(ROWS) {
            let keys: Vec<&[u8]> = keys.iter().map(|key| key.0.as_bytes().as_slice()).collect();
            let rows =
                sqlx::query("SELECT task, result, sum FROM reprise_result WHERE task = ANY($1)")
                    .bind(keys)
                    .fetch_all(&mut *lease)
                    .await;
            for row in rows.map_err(|error| self.failed(error))? {
                let (key, row) = result_row(&row).map_err(|error| self.failed(error))?;
                found.extend(key.map(|key| (key, row)));
            }
        }
        Ok(found)
    }
}

/// A row of the table of results; without a key if that is not a digest.
fn result_row(row: &PgRow) -> Result<(Option<TaskKey>, ResultRow), sqlx::Error> {
    let key: &[u8] = row.try_get(0)?;
    let text = row.try_get(1)?;
    let sum = row.try_get(2)?;
    Ok((row::key(key), ResultRow { text, sum }))
}

#[async_trait]
impl Reader for PostgresReader {
    async fn frozen(&self) -> Result<Arc<dyn Reader>, StoreError> {
        let opened = async {
            let mut connection = self.options.connect().await?;
            sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .execute(&mut connection)
                .await?;
            Ok(connection)
        };
        let connection = opened.await.map_err(|error| self.failed(error))?;
        Ok(Arc::new(Self {
            path: self.path.clone(),
            options: self.options.clone(),
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
            "SELECT sequence, at_ms, events, sum FROM reprise_journal \
             WHERE sequence > $1 ORDER BY sequence",
        )
        .bind(after)
        .fetch(&mut *lease);
        let mut replay = Replay::new(&self.path, after, visit);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let sequence: Sequence = row.try_get(0).map_err(failed)?;
            let at: i64 = row.try_get(1).map_err(failed)?;
            let text: &str = row.try_get(2).map_err(failed)?;
            let sum: Option<&[u8]> = row.try_get(3).map_err(failed)?;
            replay.visit(sequence, at, text, sum)?;
        }
        Ok(replay.finish())
    }

    async fn newest(&self) -> Result<Sequence, StoreError> {
        sqlx::query_scalar("SELECT COALESCE(MAX(sequence), 0) FROM reprise_journal")
            .fetch_one(&mut *self.lease().await?)
            .await
            .map_err(|error| self.failed(error))
    }

    async fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        let failed = |error| self.failed(error);
        let mut lease = self.lease().await?;
        // One statement, so that the snapshot is not replaced between two.
        let mut rows = sqlx::query(
            "SELECT generation, through, chunks, sum, chunk, state FROM reprise_snapshot_head \
             LEFT JOIN reprise_snapshot_chunk USING (generation) ORDER BY chunk",
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
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM reprise_compaction)")
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
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM reprise_result")
            .fetch_one(&mut *self.lease().await?)
            .await
            .map_err(|error| self.failed(error))?;
        Ok(count as u64)
    }

    async fn scan(&self, visit: &mut ResultVisitor<'_>) -> Result<(), StoreError> {
        let failed = |error| self.failed(error);
        let mut lease = self.lease().await?;
        let mut rows = sqlx::query("SELECT task, result, sum FROM reprise_result ORDER BY task")
            .fetch(&mut *lease);
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
            sqlx::query_scalar(AssertSqlSafe(attempts::newest(attempts::POSTGRES_TABLE)))
                .bind(task.0.as_bytes().as_slice())
                .fetch_all(&mut *self.lease().await?)
                .await
                .map_err(|error| self.failed(error))?;
        Ok(attempts::read(&rows))
    }

    async fn provenance(&self, digest: Digest) -> Result<Option<String>, StoreError> {
        let record = sqlx::query_scalar("SELECT record FROM reprise_provenance WHERE digest = $1")
            .bind(digest.as_bytes().as_slice())
            .fetch_optional(&mut *self.lease().await?)
            .await
            .map_err(|error| self.failed(error))?;
        row::provenance(&self.path, digest, record)
    }

    /// The server checks its pages itself, where it was set up to.
    async fn faults(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}
