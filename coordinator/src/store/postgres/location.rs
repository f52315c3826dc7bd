//! Where a database is, and how it is named to people.

use std::str::FromStr as _;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::store::StoreError;

/// The database of a URL.
pub(super) fn parse(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|source| StoreError::Open {
        // The text may hold a password.
        path: "--database".to_owned(),
        source: source.into(),
    })?;
    Ok(options.disable_statement_logging())
}

/// A database as it is named to people, without its password.
pub(super) fn place(options: &PgConnectOptions) -> String {
    format!(
        "postgres://{}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or_default()
    )
}
