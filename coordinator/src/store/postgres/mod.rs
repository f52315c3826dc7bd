//! The store in PostgreSQL, for coordinators that stand in for each other.
//!
//! One connection holds an advisory lock and makes all commits: whoever loses the
//! connection loses the lock and cannot commit, and the holder is alone.
//! The server is told to give a silent connection up within seconds, so that a
//! leader whose machine has vanished is replaced as soon as one that was killed.

mod location;
mod read;
mod schema;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::{Mutex, MutexGuard};

use super::attempts;
use super::row::{self, Head, ResultRow};
use super::{Batch, Reader, Sequence, Store, StoreError};
use location::{parse, place};
pub use read::PostgresReader;

/// First half of the advisory lock's key, `REPR` in ASCII; the second half tells
/// the schemas of one database apart.
const LOCK_CLASS: i32 = 0x5245_5052;

/// Time between two tries at the lead. A takeover waits half of it on average.
const LEAD_POLL: Duration = Duration::from_millis(200);

/// Time between two looks at whether the lead is still held.
const LEAD_CHECK: Duration = Duration::from_secs(1);

/// Longest time that the server may take to answer such a look.
const LEAD_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest time that a commit or a snapshot may take. A submission of a million
/// tasks takes some ten seconds.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Records and chunks that one transaction removes, so that commits wait for some
/// milliseconds at most.
const SWEPT_RECORDS: i64 = 32;
const SWEPT_CHUNKS: i64 = 8;

/// A store in a PostgreSQL database whose lead this process has.
#[derive(Debug)]
pub struct PostgresStore {
    /// The database without its password.
    place: String,
    leader: Mutex<Leader>,
    reader: Arc<PostgresReader>,
}

#[derive(Debug)]
struct Leader {
    /// Holds the lock and commits.
    connection: PgConnection,
    /// Number of the newest record.
    newest: Sequence,
}

impl PostgresStore {
    /// Connects to `url` and waits until this process has the lead. `waiting` is
    /// called once if another one has it.
    pub async fn lead(url: &str, waiting: impl FnOnce()) -> Result<Self, StoreError> {
        let options = parse(url)?;
        let place = place(&options);
        let failed = |source: sqlx::Error| StoreError::Open {
            path: place.clone(),
            source: source.into(),
        };
        // A leader that has vanished is given up within about four seconds.
        let leading = options.clone().options([
            ("tcp_keepalives_idle", "1"),
            ("tcp_keepalives_interval", "1"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "4000"),
            // Whatever the server's default: a commit that returned is durable.
            ("synchronous_commit", "on"),
        ]);
        let mut connection = PgConnection::connect_with(&leading).await.map_err(failed)?;
        let mut waiting = Some(waiting);
        while !try_lock(&mut connection, &place).await? {
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            tokio::time::sleep(LEAD_POLL).await;
        }
        let found = schema::verify(&mut connection, &place).await?;
        schema::upgrade(&mut connection, found)
            .await
            .map_err(failed)?;
        let newest = sqlx::query_scalar("SELECT COALESCE(MAX(sequence), 0) FROM reprise_journal")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let reader = Arc::new(PostgresReader::new(place.clone(), options));
        Ok(Self {
            place,
            leader: Mutex::new(Leader { connection, newest }),
            reader,
        })
    }

    /// Runs a step on the leading connection, within the time that it may take.
    async fn step<T>(
        &self,
        operation: &'static str,
        step: impl AsyncFnOnce(&mut Leader) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let mut leader: MutexGuard<'_, Leader> = self.leader.lock().await;
        in_time(COMMIT_TIMEOUT, &self.place, step(&mut leader))
            .await?
            .map_err(|source| StoreError::Access {
                path: self.place.clone(),
                operation,
                source: source.into(),
            })
    }

    async fn check_lead(&self) -> Result<(), StoreError> {
        // Whoever has the connection now notices by itself.
        let Ok(mut leader) = self.leader.try_lock() else {
            return Ok(());
        };
        in_time(LEAD_TIMEOUT, &self.place, leader.connection.ping())
            .await?
            .map_err(|source| lost(&self.place, source))
    }
}

/// Lets the server take its time, but not for ever: a connection that is cut says
/// nothing, and another coordinator leads by then.
async fn in_time<T>(
    limit: Duration,
    place: &str,
    step: impl Future<Output = T>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, step)
        .await
        .map_err(|_| lost(place, sqlx::Error::PoolTimedOut))
}

fn lost(place: &str, source: sqlx::Error) -> StoreError {
    StoreError::Lost {
        place: place.to_owned(),
        source: source.into(),
    }
}

async fn try_lock(connection: &mut PgConnection, place: &str) -> Result<bool, StoreError> {
    let asked = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, hashtext(current_schema()))")
        .bind(LOCK_CLASS)
        .fetch_one(connection);
    in_time(LEAD_TIMEOUT, place, asked)
        .await?
        .map_err(|source| lost(place, source))
}

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, batch: &Batch) -> Result<u64, StoreError> {
        self.step("write to", async |leader| {
            let sequence = leader.newest + 1;
            let mut transaction = leader.connection.begin().await?;
            let bytes = write(&mut transaction, sequence, batch).await?;
            transaction.commit().await?;
            if !batch.events.is_empty() {
                leader.newest = sequence;
            }
            Ok(bytes)
        })
        .await
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader) as Arc<dyn Reader>
    }

    async fn begin_snapshot(&self) -> Result<i64, StoreError> {
        self.step("read", async |leader| {
            sqlx::query_scalar(
                "SELECT 1 + GREATEST(\
                 (SELECT COALESCE(MAX(generation), 0) FROM reprise_snapshot_head), \
                 (SELECT COALESCE(MAX(generation), 0) FROM reprise_snapshot_chunk))",
            )
            .fetch_one(&mut leader.connection)
            .await
        })
        .await
    }

    async fn put_chunk(&self, generation: i64, chunk: i64, state: &[u8]) -> Result<(), StoreError> {
        self.step("write a snapshot to", async |leader| {
            sqlx::query(
                "INSERT INTO reprise_snapshot_chunk (generation, chunk, state) \
                 VALUES ($1, $2, $3)",
            )
            .bind(generation)
            .bind(chunk)
            .bind(state)
            .execute(&mut leader.connection)
            .await
            .map(drop)
        })
        .await
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
        self.step("write a snapshot to", async |leader| {
            let mut transaction = leader.connection.begin().await?;
            sqlx::query("DELETE FROM reprise_snapshot_head WHERE through <= $1")
                .bind(through)
                .execute(&mut *transaction)
                .await?;
            let newer: bool =
                sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM reprise_snapshot_head)")
                    .fetch_one(&mut *transaction)
                    .await?;
            if !newer {
                schema::insert_head(&mut transaction, head).await?;
            }
            transaction.commit().await?;
            Ok(!newer)
        })
        .await
    }

    async fn sweep_chunks(&self) -> Result<u64, StoreError> {
        self.step("compact", async |leader| {
            let removed = sqlx::query(
                "DELETE FROM reprise_snapshot_chunk WHERE (generation, chunk) IN \
                 (SELECT generation, chunk FROM reprise_snapshot_chunk \
                  WHERE generation NOT IN (SELECT generation FROM reprise_snapshot_head) \
                  LIMIT $1)",
            )
            .bind(SWEPT_CHUNKS)
            .execute(&mut leader.connection)
            .await?;
            Ok(removed.rows_affected())
        })
        .await
    }

    async fn sweep_records(&self) -> Result<u64, StoreError> {
        self.step("compact", async |leader| {
            let mut transaction = leader.connection.begin().await?;
            let removed = sqlx::query(
                "DELETE FROM reprise_journal WHERE sequence IN \
                 (SELECT sequence FROM reprise_journal \
                  WHERE sequence <= (SELECT MAX(through) FROM reprise_snapshot_head) \
                  AND sequence < (SELECT MAX(sequence) FROM reprise_journal) \
                  ORDER BY sequence LIMIT $1)",
            )
            .bind(SWEPT_RECORDS)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if removed > 0 {
                sqlx::query("DELETE FROM reprise_compaction")
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query(
                    "INSERT INTO reprise_compaction \
                     SELECT MAX(through) FROM reprise_snapshot_head",
                )
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await?;
            Ok(removed)
        })
        .await
    }

    /// The server's own vacuum makes the space free for other rows all the time; this
    /// gives it back to the file system.
    async fn reclaim(&self) -> Result<(), StoreError> {
        let mut leader = self.leader.lock().await;
        for statement in [
            "VACUUM (FULL) reprise_journal",
            "VACUUM (FULL) reprise_snapshot_chunk",
        ] {
            sqlx::query(statement)
                .execute(&mut leader.connection)
                .await
                .map_err(|source| StoreError::Access {
                    path: self.place.clone(),
                    operation: "compact",
                    source: source.into(),
                })?;
        }
        Ok(())
    }

    async fn lost(&self) -> StoreError {
        loop {
            tokio::time::sleep(LEAD_CHECK).await;
            if let Err(lost) = self.check_lead().await {
                return lost;
            }
        }
    }
}

/// Puts a batch into a transaction; returns the size of its record.
async fn write(
    transaction: &mut PgConnection,
    sequence: Sequence,
    batch: &Batch,
) -> Result<u64, sqlx::Error> {
    let mut bytes = 0;
    if !batch.events.is_empty() {
        let events = serde_json::to_string(&batch.events).map_err(row::encoded)?;
        let at = batch.at.0 as i64;
        bytes = events.len() as u64;
        let sum = row::record_sum(sequence, at, &events);
        sqlx::query(
            "INSERT INTO reprise_journal (sequence, at_ms, events, sum) VALUES ($1, $2, $3, $4)",
        )
        .bind(sequence)
        .bind(at)
        .bind(events)
        .bind(sum.as_slice())
        .execute(&mut *transaction)
        .await?;
    }
    if !batch.removed.is_empty() {
        let keys = batch.removed.iter().map(|key| key.0.as_bytes().as_slice());
        sqlx::query("DELETE FROM reprise_result WHERE task = ANY($1)")
            .bind(keys.collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await?;
    }
    for (digest, record) in &batch.provenance {
        sqlx::query(
            "INSERT INTO reprise_provenance (digest, record) VALUES ($1, $2) \
             ON CONFLICT DO NOTHING",
        )
        .bind(digest.as_bytes().as_slice())
        .bind(record)
        .execute(&mut *transaction)
        .await?;
    }
    attempts::write_postgres(transaction, &batch.attempts).await?;
    if !batch.results.is_empty() {
        write_results(transaction, batch).await?;
    }
    Ok(bytes)
}

async fn write_results(transaction: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    // Of two for one task the later one counts.
    let results: BTreeMap<_, _> = batch
        .results
        .iter()
        .map(|(key, stored)| (key, stored))
        .collect();
    let mut keys = Vec::with_capacity(results.len());
    let mut texts = Vec::with_capacity(results.len());
    let mut sums = Vec::with_capacity(results.len());
    for (key, stored) in results {
        let row = ResultRow::of(*key, stored)?;
        keys.push(key.0.as_bytes().as_slice());
        texts.push(row.text);
        sums.push(row.sum);
    }
    // One round trip however many results a commit carries.
    sqlx::query(
        "INSERT INTO reprise_result (task, result, sum) \
         SELECT * FROM UNNEST($1::bytea[], $2::text[], $3::bytea[]) \
         ON CONFLICT (task) DO UPDATE SET result = EXCLUDED.result, sum = EXCLUDED.sum",
    )
    .bind(keys)
    .bind(texts)
    .bind(sums)
    .execute(&mut *transaction)
    .await
    .map(drop)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use reprise_tests::postgres::PrivateServer;

    use super::*;
    use crate::store::suite;

    impl suite::Bench for PrivateServer {
        type Store = PostgresStore;

        async fn open(&self) -> Result<PostgresStore, StoreError> {
            PostgresStore::lead(&self.url(), || ()).await
        }

        async fn execute(&self, statement: &str) {
            let mut parts = statement.split('@');
            let mut text = parts.next().unwrap_or_default().replace('#', "reprise_");
            while let (Some(key), Some(rest)) = (parts.next(), parts.next()) {
                let _ = write!(text, "'\\x{key}'{}", rest.replace('#', "reprise_"));
            }
            PrivateServer::execute(self, &text).unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_store_contract() {
        let Some(server) = PrivateServer::start().unwrap() else {
            return;
        };
        suite::run(&server).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_leads_and_another_takes_over_and_the_first_cannot_commit() {
        let Some(server) = PrivateServer::start().unwrap() else {
            return;
        };
        let first = PostgresStore::lead(&server.url(), || ()).await.unwrap();
        let (said, waits) = tokio::sync::oneshot::channel();
        let url = server.url();
        let second = tokio::spawn(async move {
            PostgresStore::lead(&url, || {
                let _ = said.send(());
            })
            .await
        });
        waits.await.unwrap();
        assert!(!second.is_finished());

        server
            .execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            .unwrap();
        let second = second.await.unwrap().unwrap();
        let batch = suite::batch();
        assert!(
            first.commit(&batch).await.is_err(),
            "two coordinators can commit"
        );
        let lost = tokio::time::timeout(Duration::from_secs(10), first.lost());
        assert!(matches!(lost.await, Ok(StoreError::Lost { .. })));
        second.commit(&batch).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_journal_from_the_future_is_refused() {
        let Some(server) = PrivateServer::start().unwrap() else {
            return;
        };
        drop(PostgresStore::lead(&server.url(), || ()).await.unwrap());
        server
            .execute("UPDATE reprise_format SET format = 99")
            .unwrap();
        let error = PostgresStore::lead(&server.url(), || ()).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Version { found: 99, .. }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_unreachable_server_is_named_without_its_password() {
        let url = "postgres://me:secret@127.0.0.1:1/studies";
        let error = PostgresStore::lead(url, || ()).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("127.0.0.1:1/studies") && !text.contains("secret"),
            "{text}"
        );
    }
}
