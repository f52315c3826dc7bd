//! The tables of a journal in PostgreSQL, and how older ones become those of now.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::super::row::Head;
use super::super::{StoreError, attempts};

/// Format of the tables and of the records in them.
pub(super) const FORMAT: i64 = 2;

/// The tables of a journal of the present format.
const TABLES: [&str; 6] = [
    "reprise_compaction",
    "reprise_journal",
    "reprise_provenance",
    "reprise_result",
    "reprise_snapshot_chunk",
    "reprise_snapshot_head",
];

/// The tables of format 1.
const OLD_TABLES: [&str; 4] = [
    "reprise_compaction",
    "reprise_journal",
    "reprise_result",
    "reprise_snapshot",
];

const CREATE: [&str; 5] = [
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

/// From format 1 to 2: checksums, numbers of records without gaps, records of
/// provenance, and snapshots that are written beside the one before.
const CHECKSUMS: [&str; 8] = [
    "ALTER TABLE reprise_journal ALTER COLUMN sequence DROP IDENTITY",
    "ALTER TABLE reprise_journal ADD COLUMN sum BYTEA",
    "ALTER TABLE reprise_result ADD COLUMN sum BYTEA",
    "CREATE TABLE reprise_provenance (
        digest BYTEA PRIMARY KEY,
        record TEXT NOT NULL
    )",
    "CREATE TABLE reprise_snapshot_head (
        generation BIGINT NOT NULL,
        through    BIGINT NOT NULL,
        chunks     BIGINT NOT NULL,
        sum        BYTEA NOT NULL
    )",
    "CREATE TABLE reprise_snapshot_chunk (
        generation BIGINT NOT NULL,
        chunk      BIGINT NOT NULL,
        state      BYTEA NOT NULL,
        PRIMARY KEY (generation, chunk)
    )",
    "INSERT INTO reprise_snapshot_chunk SELECT 1, chunk, state FROM reprise_snapshot",
    "DROP TABLE reprise_snapshot",
];

async fn is_there(connection: &mut PgConnection, table: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(connection)
        .await
}

/// The format of a journal, 0 of one that is not made yet.
async fn format(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    if !is_there(connection, "reprise_format").await? {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT COALESCE(MAX(format), 0) FROM reprise_format")
        .fetch_one(connection)
        .await
}

/// Refuses formats that cannot be read, and journals that lack a table.
pub(super) async fn verify(connection: &mut PgConnection, path: &str) -> Result<i64, StoreError> {
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
    for table in expected {
        if !is_there(connection, table).await.map_err(failed)? {
            return Err(StoreError::Damaged {
                path: path.to_owned(),
                verdict: format!("it has no table `{table}`"),
            });
        }
    }
    Ok(found)
}

/// Makes the tables of the present format out of what there is, all or nothing.
pub(super) async fn upgrade(connection: &mut PgConnection, found: i64) -> Result<(), sqlx::Error> {
    // "already exists" helps nobody.
    sqlx::query("SET client_min_messages = warning")
        .execute(&mut *connection)
        .await?;
    for statement in attempts::POSTGRES {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    if found == FORMAT {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    if found == 0 {
        for statement in CREATE {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
    }
    let (through, chunks): (Option<i64>, i64) =
        sqlx::query_as("SELECT MAX(through), COUNT(*) FROM reprise_snapshot")
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
    sqlx::query("DELETE FROM reprise_format")
        .execute(&mut *transaction)
        .await?;
    sqlx::query("INSERT INTO reprise_format VALUES ($1)")
        .bind(FORMAT)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Names the newest snapshot.
pub(super) async fn insert_head(
    connection: &mut PgConnection,
    head: Head,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO reprise_snapshot_head (generation, through, chunks, sum) \
         VALUES ($1, $2, $3, $4)",
    )
    .bind(head.generation)
    .bind(head.through)
    .bind(head.chunks)
    .bind(head.sum().as_slice())
    .execute(connection)
    .await
    .map(drop)
}
