//! The store in PostgreSQL, for coordinators that stand in for each other.
//!
//! One connection holds an advisory lock and makes all commits: who has lost the
//! connection has lost the lock and cannot commit, and who has the lock is alone.
//! The server is told to give a silent connection up within seconds, so that a
//! leader whose machine has vanished is replaced as soon as one that was killed.

use std::str::FromStr as _;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use reprise_domain::TaskKey;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::Mutex;

use super::{
    Batch, Replayed, SNAPSHOT_CHUNK, Sequence, Snapshot, Store, StoreError, StoredResult, Visitor,
    decoded, joined, reading,
};

/// Format of the tables below and of the records in them.
const FORMAT: i64 = 1;

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

const SCHEMA: [&str; 5] = [
    "CREATE TABLE IF NOT EXISTS reprise_format (format BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS reprise_journal (
        sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at_ms    BIGINT NOT NULL,
        events   TEXT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS reprise_result (
        task   BYTEA PRIMARY KEY,
        result TEXT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS reprise_compaction (through BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS reprise_snapshot (
        through BIGINT NOT NULL,
        chunk   BIGINT NOT NULL,
        state   BYTEA NOT NULL,
        PRIMARY KEY (through, chunk)
    )",
];

/// A store in a PostgreSQL database whose lead this process has.
#[derive(Debug)]
pub struct PostgresStore {
    /// The database without its password.
    place: String,
    /// Holds the lock and commits.
    leader: Mutex<PgConnection>,
    readers: PgPool,
}

impl PostgresStore {
    /// Connects to `url` and waits until this process has the lead. `waiting` is
    /// called once if another one has it.
    pub async fn lead(url: &str, waiting: impl FnOnce()) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|source| StoreError::Open {
                // The text may hold a password.
                path: "--database".to_owned(),
                source,
            })?
            .disable_statement_logging();
        let place = format!(
            "postgres://{}:{}/{}",
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or_default()
        );
        let failed = |source| StoreError::Open {
            path: place.clone(),
            source,
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
        let mut leader = PgConnection::connect_with(&leading).await.map_err(failed)?;
        let mut waiting = Some(waiting);
        while !try_lock(&mut leader, &place).await? {
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            tokio::time::sleep(LEAD_POLL).await;
        }
        prepare(&mut leader, &place).await?;
        let readers = PgPoolOptions::new()
            .max_connections(2)
            .connect_with(options)
            .await
            .map_err(failed)?;
        Ok(Self {
            place,
            leader: Mutex::new(leader),
            readers,
        })
    }

    async fn check_lead(&self) -> Result<(), StoreError> {
        // Whoever has the connection now notices by itself.
        let Ok(mut leader) = self.leader.try_lock() else {
            return Ok(());
        };
        in_time(LEAD_TIMEOUT, &self.place, leader.ping())
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
        source,
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

/// Makes the tables where there are none, and refuses those of a later version.
async fn prepare(leader: &mut PgConnection, place: &str) -> Result<(), StoreError> {
    let failed = |source| StoreError::Open {
        path: place.to_owned(),
        source,
    };
    // "already exists" is said at every start and helps nobody.
    sqlx::query("SET client_min_messages = warning")
        .execute(&mut *leader)
        .await
        .map_err(failed)?;
    for statement in SCHEMA {
        sqlx::query(statement)
            .execute(&mut *leader)
            .await
            .map_err(failed)?;
    }
    let found: Option<i64> = sqlx::query_scalar("SELECT MAX(format) FROM reprise_format")
        .fetch_one(&mut *leader)
        .await
        .map_err(failed)?;
    match found {
        Some(found) if found > FORMAT => Err(StoreError::Version {
            path: place.to_owned(),
            found,
            supported: FORMAT,
        }),
        Some(_) => Ok(()),
        None => sqlx::query("INSERT INTO reprise_format VALUES ($1)")
            .bind(FORMAT)
            .execute(&mut *leader)
            .await
            .map(drop)
            .map_err(failed),
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, batch: &Batch) -> Result<u64, StoreError> {
        let failed = |source| StoreError::Access {
            operation: "write to",
            source,
        };
        let mut leader = self.leader.lock().await;
        let committed = async {
            let mut transaction = leader.begin().await?;
            let bytes = write(&mut transaction, batch).await?;
            transaction.commit().await?;
            Ok(bytes)
        };
        in_time(COMMIT_TIMEOUT, &self.place, committed)
            .await?
            .map_err(failed)
    }

    async fn replay(
        &self,
        after: Sequence,
        visit: &mut Visitor<'_>,
    ) -> Result<Replayed, StoreError> {
        let mut rows = sqlx::query(
            "SELECT sequence, at_ms, events FROM reprise_journal \
             WHERE sequence > $1 ORDER BY sequence",
        )
        .bind(after)
        .fetch(&self.readers);
        let mut replayed = Replayed::default();
        while let Some(row) = rows.try_next().await.map_err(reading)? {
            let sequence: Sequence = row.try_get(0).map_err(reading)?;
            let at: i64 = row.try_get(1).map_err(reading)?;
            let text: &str = row.try_get(2).map_err(reading)?;
            replayed.visit(sequence, at, text, visit)?;
        }
        Ok(replayed)
    }

    async fn newest(&self) -> Result<Sequence, StoreError> {
        sqlx::query_scalar("SELECT COALESCE(MAX(sequence), 0) FROM reprise_journal")
            .fetch_one(&self.readers)
            .await
            .map_err(reading)
    }

    async fn is_compacted(&self) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM reprise_compaction)")
            .fetch_one(&self.readers)
            .await
            .map_err(reading)
    }

    async fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        let chunks: Vec<(Sequence, Vec<u8>)> =
            sqlx::query_as("SELECT through, state FROM reprise_snapshot ORDER BY chunk")
                .fetch_all(&self.readers)
                .await
                .map_err(reading)?;
        Ok(joined(chunks))
    }

    async fn keep_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        let failed = |source| StoreError::Access {
            operation: "write a snapshot to",
            source,
        };
        let mut leader = self.leader.lock().await;
        let kept = async {
            let mut transaction = leader.begin().await?;
            sqlx::query("DELETE FROM reprise_snapshot")
                .execute(&mut *transaction)
                .await?;
            for (place, chunk) in snapshot.state.chunks(SNAPSHOT_CHUNK).enumerate() {
                sqlx::query(
                    "INSERT INTO reprise_snapshot (through, chunk, state) VALUES ($1, $2, $3)",
                )
                .bind(snapshot.through)
                .bind(place as i64)
                .bind(chunk)
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await
        };
        in_time(COMMIT_TIMEOUT, &self.place, kept)
            .await?
            .map_err(failed)
    }

    async fn compact(&self) -> Result<u64, StoreError> {
        let failed = |source| StoreError::Access {
            operation: "compact",
            source,
        };
        let mut leader = self.leader.lock().await;
        let mut transaction = leader.begin().await.map_err(failed)?;
        let removed = sqlx::query(
            "DELETE FROM reprise_journal \
             WHERE sequence <= (SELECT MAX(through) FROM reprise_snapshot) \
             AND sequence < (SELECT MAX(sequence) FROM reprise_journal)",
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?
        .rows_affected();
        if removed > 0 {
            sqlx::query("INSERT INTO reprise_compaction SELECT MAX(through) FROM reprise_snapshot")
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        // The server's own vacuum gives the space back.
        transaction.commit().await.map_err(failed)?;
        Ok(removed)
    }

    async fn lost(&self) -> StoreError {
        loop {
            tokio::time::sleep(LEAD_CHECK).await;
            if let Err(lost) = self.check_lead().await {
                return lost;
            }
        }
    }

    async fn result(&self, key: TaskKey) -> Result<Option<StoredResult>, StoreError> {
        let text: Option<String> =
            sqlx::query_scalar("SELECT result FROM reprise_result WHERE task = $1")
                .bind(key.0.as_bytes().as_slice())
                .fetch_optional(&self.readers)
                .await
                .map_err(reading)?;
        decoded(text)
    }
}

/// Puts the events and results of a batch into a transaction; returns the size
/// of the record.
async fn write(transaction: &mut PgConnection, batch: &Batch) -> Result<u64, sqlx::Error> {
    let encoded = |error: serde_json::Error| sqlx::Error::Encode(error.into());
    let mut bytes = 0;
    if !batch.events.is_empty() {
        let events = serde_json::to_string(&batch.events).map_err(encoded)?;
        bytes = events.len() as u64;
        sqlx::query("INSERT INTO reprise_journal (at_ms, events) VALUES ($1, $2)")
            .bind(batch.at.0 as i64)
            .bind(events)
            .execute(&mut *transaction)
            .await?;
    }
    if !batch.results.is_empty() {
        let mut keys = Vec::with_capacity(batch.results.len());
        let mut results = Vec::with_capacity(batch.results.len());
        for (key, result) in &batch.results {
            keys.push(key.0.as_bytes().to_vec());
            results.push(serde_json::to_string(result).map_err(encoded)?);
        }
        // One round trip however many results a commit carries.
        sqlx::query(
            "INSERT INTO reprise_result (task, result) \
             SELECT * FROM UNNEST($1::bytea[], $2::text[]) ON CONFLICT DO NOTHING",
        )
        .bind(keys)
        .bind(results)
        .execute(&mut *transaction)
        .await?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use reprise_tests::postgres::PrivateServer;

    use super::*;
    use crate::store::suite;

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_store_contract() {
        let Some(server) = PrivateServer::start().unwrap() else {
            return;
        };
        let url = server.url();
        suite::run(|| async { PostgresStore::lead(&url, || ()).await.unwrap() }).await;
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
