//! The connection that a reader uses: one of a pool, or one that stays within a
//! transaction so that all its reads see the same state.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};
use tokio::sync::{Mutex, MutexGuard};

use crate::background;

/// Where a reader's connections come from.
#[derive(Debug)]
pub(super) enum Source<DB: Database> {
    /// Each read sees what is committed when it begins.
    Pool(Pool<DB>),
    /// One connection for all reads, one after another: in a transaction all of them see
    /// what was committed when the first one began.
    Single(Mutex<DB::Connection>),
}

impl<DB: Database> Source<DB> {
    /// A connection for one read.
    pub(super) async fn lease(&self) -> Result<Lease<'_, DB>, sqlx::Error> {
        Ok(match self {
            // A new connection to a file comes with a thread, which inherits the priority
            // of the one that starts it.
            Self::Pool(pool) if grows(pool) => {
                let pool = pool.clone();
                let leased = background::run_future(async move { pool.acquire().await });
                Lease::Pooled(leased.await?)
            }
            Self::Pool(pool) => Lease::Pooled(pool.acquire().await?),
            Self::Single(connection) => Lease::Single(connection.lock().await),
        })
    }
}

/// Whether another connection is opened for whoever asks.
fn grows<DB: Database>(pool: &Pool<DB>) -> bool {
    pool.num_idle() == 0 && pool.size() < pool.options().get_max_connections()
}

/// A connection in use.
pub(super) enum Lease<'a, DB: Database> {
    Pooled(PoolConnection<DB>),
    Single(MutexGuard<'a, DB::Connection>),
}

impl<DB: Database> Deref for Lease<'_, DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        match self {
            Self::Pooled(connection) => connection,
            Self::Single(connection) => connection,
        }
    }
}

impl<DB: Database> DerefMut for Lease<'_, DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        match self {
            Self::Pooled(connection) => connection,
            Self::Single(connection) => connection,
        }
    }
}
