//! A journal as a file: copies, and the check of a copy.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use super::super::StoreError;
use super::{BUSY_TIMEOUT, schema};

/// Copies the journal at `path` to `copy`, which must not exist. A coordinator may
/// be using it: the copy is the state after one of its commits.
pub async fn back_up(path: &Path, copy: &Path) -> Result<(), StoreError> {
    let name = path.display().to_string();
    let failed = |source: sqlx::Error| StoreError::Open {
        path: name.clone(),
        source: source.into(),
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT);
    let mut connection = SqliteConnection::connect_with(&options)
        .await
        .map_err(failed)?;
    sqlx::query("VACUUM INTO ?")
        .bind(copy.display().to_string())
        .execute(&mut connection)
        .await
        .map_err(|source| StoreError::Access {
            path: name.clone(),
            operation: "copy",
            source: source.into(),
        })?;
    connection.close().await.map_err(failed)
}

/// Checks that a file is a whole database with the tables of a journal that this
/// version reads. Nothing in its directory is changed.
pub async fn check(path: &Path) -> Result<(), StoreError> {
    let name = path.display().to_string();
    let failed = |source: sqlx::Error| StoreError::Open {
        path: name.clone(),
        source: source.into(),
    };
    // Immutable: a log that lies beside the copy is not a part of it.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(true);
    let mut connection = SqliteConnection::connect_with(&options)
        .await
        .map_err(failed)?;
    let found = schema::verify(&mut connection, &name).await?;
    if found == 0 {
        return Err(StoreError::Damaged {
            path: name,
            verdict: "it is empty, or the torn copy of a journal".to_owned(),
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
            path: name,
            verdict,
        })
    }
}
