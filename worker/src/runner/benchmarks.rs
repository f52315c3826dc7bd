//! Benchmark tables, read once a process and shared by its slots.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use reprise_data::{Benchmark, KnownTable};
use reprise_domain::{ArchIndex, BuiltinBenchmark, Digest};
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
    /// The stored table with this digest.
    pub(super) fn table(
        &self,
        digest: Digest,
        artifacts: &Artifacts,
        cancel: &Cancel,
    ) -> Result<Arc<dyn Benchmark>, RunError> {
        self.known_or(digest, || {
            let content = artifacts.fetch(digest, cancel);
            let content = content.map_err(RunError::of_upload)?;
            read(&format!("artifact {}", digest.short()), &content)
        })
    }

    /// The table that ships with this program, if it is the one with this digest.
    pub(super) fn builtin(
        &self,
        name: BuiltinBenchmark,
        digest: Digest,
    ) -> Result<Arc<dyn Benchmark>, RunError> {
        self.known_or(digest, || {
            let content = reprise_data::builtin(name);
            let found = reprise_data::digest(&content);
            if found != digest {
                let differs = format!(
                    "the study searches version `{}` of `{}`, this worker has version `{}`; \
                     use a worker of the coordinator's release",
                    digest.short(),
                    name.as_str(),
                    found.short()
                );
                return Err(RunError::impossible("open the builtin benchmark")(
                    differs.into(),
                ));
            }
            read(name.as_str(), &content)
        })
    }

    fn known_or(
        &self,
        digest: Digest,
        read: impl FnOnce() -> Result<Arc<dyn Benchmark>, RunError>,
    ) -> Result<Arc<dyn Benchmark>, RunError> {
        // Held while a table is read, so that two slots do not read it twice.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = known.get(&digest) {
            return Ok(Arc::clone(table));
        }
        let table = read()?;
        known.insert(digest, Arc::clone(&table));
        Ok(table)
    }
}

/// Reads a table's plain form; `name` names it in errors.
fn read(name: &str, content: &[u8]) -> Result<Arc<dyn Benchmark>, RunError> {
    let space = Nasbench201::new();
    KnownTable::read(name, content, &|index| space.arch_str(ArchIndex(index)))
        .map(KnownTable::into_benchmark)
        .map_err(|error| RunError::impossible("read the benchmark table")(error.into()))
}
