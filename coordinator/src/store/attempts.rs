//! Attempts that ended without finishing their task, in a table of each store. It is
//! for people: nothing is decided by it, it holds the newest attempts only, and a
//! journal that lacks it gets an empty one.

use reprise_domain::TaskKey;
use reprise_domain::record::AttemptRecord;
use sqlx::{PgConnection, Postgres, QueryBuilder, Sqlite, SqliteConnection};

/// Attempts that are kept: some 60 MB.
const KEPT: i64 = 200_000;

/// Attempts that are told of one task, the newest ones.
const TOLD: i64 = 100;

/// Rows of one statement.
const ROWS: usize = 256;

/// Its name in SQLite, and in PostgreSQL.
pub(super) const SQLITE_TABLE: &str = "attempt";
pub(super) const POSTGRES_TABLE: &str = "reprise_attempt";

/// The table in SQLite.
pub(super) const SQLITE: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS attempt (
        id     INTEGER PRIMARY KEY,
        task   BLOB NOT NULL,
        record TEXT NOT NULL
    ) STRICT",
    "CREATE INDEX IF NOT EXISTS attempt_task ON attempt (task)",
];

/// The table in PostgreSQL.
pub(super) const POSTGRES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS reprise_attempt (
        id     BIGSERIAL PRIMARY KEY,
        task   BYTEA NOT NULL,
        record TEXT NOT NULL
    )",
    "CREATE INDEX IF NOT EXISTS reprise_attempt_task ON reprise_attempt (task)",
];

/// Adds attempts in the transaction of their events.
pub(super) async fn write_sqlite(
    connection: &mut SqliteConnection,
    attempts: &[(TaskKey, AttemptRecord)],
) -> Result<(), sqlx::Error> {
    if attempts.is_empty() {
        return Ok(());
    }
    for some in attempts.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO attempt (task, record) ");
        query.push_values(some, |mut row, (task, record)| {
            row.push_bind(task.0.as_bytes().to_vec())
                .push_bind(text(record));
        });
        query
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await?;
    }
    let mut query = QueryBuilder::<Sqlite>::new(old(SQLITE_TABLE));
    query.push(KEPT).build().execute(connection).await.map(drop)
}

/// Adds attempts in the transaction of their events.
pub(super) async fn write_postgres(
    connection: &mut PgConnection,
    attempts: &[(TaskKey, AttemptRecord)],
) -> Result<(), sqlx::Error> {
    if attempts.is_empty() {
        return Ok(());
    }
    for some in attempts.chunks(ROWS) {
        let mut query =
            QueryBuilder::<Postgres>::new("INSERT INTO reprise_attempt (task, record) ");
        query.push_values(some, |mut row, (task, record)| {
            row.push_bind(task.0.as_bytes().to_vec())
                .push_bind(text(record));
        });
        query
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await?;
    }
    let mut query = QueryBuilder::<Postgres>::new(old(POSTGRES_TABLE));
    query.push(KEPT).build().execute(connection).await.map(drop)
}

/// The statement that reads the newest attempts of a task, the newest one first.
pub(super) fn newest(table: &str) -> String {
    format!("SELECT record FROM {table} WHERE task = $1 ORDER BY id DESC LIMIT {TOLD}")
}

fn old(table: &str) -> String {
    format!("DELETE FROM {table} WHERE id <= (SELECT MAX(id) FROM {table}) - ")
}

/// Attempts from rows, the oldest one first. Of two records of one attempt the
/// later one counts: an attempt that was lost may finish its task all the same. A
/// row that is not readable is left out, since nothing depends on it.
pub(super) fn read(rows: &[String]) -> Vec<AttemptRecord> {
    let mut attempts: Vec<AttemptRecord> = Vec::new();
    for row in rows {
        let Ok(record) = serde_json::from_str::<AttemptRecord>(row) else {
            continue;
        };
        if attempts.iter().all(|known| known.number != record.number) {
            attempts.push(record);
        }
    }
    attempts.sort_by_key(|attempt| attempt.number);
    attempts
}

fn text(record: &AttemptRecord) -> String {
    serde_json::to_string(record).unwrap_or_default()
}
