//! Moves what commits append to the log into the file, beside them: a commit that did
//! it would take some ten milliseconds longer.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How the log is kept short.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Time between two looks.
    pub(super) interval: Duration,
    /// Pages of the log from which on commits wait until it can be begun anew, which
    /// takes a millisecond where no reader holds it.
    pub(super) longest: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            // 64 MiB.
            longest: 16_384,
        }
    }
}

/// The task that does it; it ends with this value.
#[derive(Debug)]
pub(super) struct Checkpointer {
    task: JoinHandle<()>,
    stop: DropGuard,
}

impl Checkpointer {
    /// Looks after the log of the journal at `path`.
    pub(super) async fn start(path: &Path, pace: Pace) -> Result<Self, sqlx::Error> {
        let mut connection = SqliteConnectOptions::new()
            .filename(path)
            .synchronous(SqliteSynchronous::Full)
            // Who waits for a reader here holds up commits: rather later.
            .busy_timeout(Duration::ZERO)
            .disable_statement_logging()
            .connect()
            .await?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut fails = false;
            while stopped
                .run_until_cancelled(tokio::time::sleep(pace.interval))
                .await
                .is_some()
            {
                match shorten(&mut connection, pace.longest).await {
                    Ok(()) => fails = false,
                    // The log grows, and is whole. Said once, until it works again.
                    Err(error) if !fails => {
                        fails = true;
                        tracing::warn!(%error, "the log of the journal is not shortened");
                    }
                    Err(_) => {}
                }
            }
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "a connection to the journal does not close");
            }
        });
        Ok(Self {
            task,
            stop: stop.drop_guard(),
        })
    }

    /// Ends it, after what it has begun.
    pub(super) async fn stop(self) {
        drop(self.stop);
        // A task that panicked has been reported.
        let _ = self.task.await;
    }
}

async fn shorten(connection: &mut SqliteConnection, longest: i64) -> Result<(), sqlx::Error> {
    let (_, pages, _) = checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    if pages > longest {
        // What is left to move is what was appended since. Where a reader or a commit
        // is in the way it says so at once, and is tried again at the next look.
        checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)").await?;
    }
    Ok(())
}

/// Whether something was in the way, pages of the log, pages of it that are moved.
async fn checkpoint(
    connection: &mut SqliteConnection,
    statement: &'static str,
) -> Result<(i64, i64, i64), sqlx::Error> {
    sqlx::query_as(statement).fetch_one(connection).await
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn the_log_stays_short_although_commits_move_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.sqlite");
        let mut writer = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
            .pragma("wal_autocheckpoint", "0")
            .busy_timeout(Duration::from_secs(10))
            .connect()
            .await
            .unwrap();
        sqlx::query("CREATE TABLE t (x BLOB)")
            .execute(&mut writer)
            .await
            .unwrap();
        let pace = Pace {
            interval: Duration::from_millis(1),
            longest: 64,
        };
        let checkpointer = Checkpointer::start(&path, pace).await.unwrap();
        let log = directory.path().join("journal.sqlite-wal");
        let (begun, mut written) = (Instant::now(), 0);
        // Ten times what the log may have before it is begun anew.
        while written < 10 * 64 * 4096 || std::fs::metadata(&log).unwrap().len() * 4 > written {
            assert!(begun.elapsed() < Duration::from_mins(1), "{written}");
            sqlx::query("INSERT INTO t VALUES (randomblob(16384))")
                .execute(&mut writer)
                .await
                .unwrap();
            written += 16_384;
        }
        checkpointer.stop().await;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM t")
            .fetch_one(&mut writer)
            .await
            .unwrap();
        assert_eq!(count as u64 * 16_384, written);
    }
}
