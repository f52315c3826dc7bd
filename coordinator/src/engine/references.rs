//! What the garbage collector asks of a running engine.

use std::collections::HashSet;

use reprise_core::lifecycle::{Core, References};
use reprise_domain::{Digest, TaskKey};

use super::handle::{Handle, Unavailable};

impl Handle {
    /// Artifacts that the state refers to, a page from a position on.
    pub(crate) async fn references(&self, from: usize) -> Result<References, Unavailable> {
        self.look(move |core| core.references(from)).await
    }

    /// Tables that studies search.
    pub(crate) async fn tables(&self) -> Result<HashSet<Digest>, Unavailable> {
        self.look(Core::tables).await
    }

    /// Those of `tasks` that there are.
    pub(crate) async fn known(&self, tasks: Vec<TaskKey>) -> Result<Vec<TaskKey>, Unavailable> {
        self.look(move |core| {
            let tasks = tasks.into_iter();
            tasks.filter(|key| core.spec(*key).is_some()).collect()
        })
        .await
    }
}
