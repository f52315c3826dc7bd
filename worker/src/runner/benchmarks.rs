//! Benchmark tables, read once a process and shared by its slots.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use reprise_data::{Benchmark, Nasbench201Table};
use reprise_domain::{ArchIndex, Digest};
use reprise_search::space::Nasbench201;

use super::RunError;
use crate::artifacts::Artifacts;
use crate::slots::Cancel;

/// The tables that were read so far.
#[derive(Debug, Default)]
pub(super) struct Benchmarks {
    known: Mutex<HashMap<Digest, Arc<dyn Benchmark>>>,
}

impl Benchmarks {
    /// The table with this digest.
    pub(super) fn table(
        &self,
        digest: Digest,
        artifacts: &Artifacts,
        cancel: &Cancel,
    ) -> Result<Arc<dyn Benchmark>, RunError> {
        // Held while a table is read, so that two slots do not read it twice.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = known.get(&digest) {
            return Ok(Arc::clone(table));
        }
        let content = artifacts.fetch(digest, cancel)?;
        let space = Nasbench201::new();
        let name = format!("artifact {}", digest.short());
        let table =
            Nasbench201Table::read(&name, &content, &|index| space.arch_str(ArchIndex(index)))
                .map_err(|error| RunError::impossible("read the benchmark table")(error.into()))?;
        let table: Arc<dyn Benchmark> = Arc::new(table);
        known.insert(digest, Arc::clone(&table));
        Ok(table)
    }
}
