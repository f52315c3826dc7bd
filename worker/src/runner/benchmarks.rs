//! Benchmark tables, read once a process and shared by its slots.

use std::sync::Arc;

use reprise_data::{Benchmark, KnownTable};
use reprise_domain::{ArchIndex, BuiltinBenchmark, Digest};
use reprise_search::space::Nasbench201;

use super::RunError;
use super::shared::Shared;
use crate::artifacts::Artifacts;
use crate::slots::Cancel;

/// The tables that were read so far.
#[derive(Debug)]
pub(super) struct Benchmarks {
    known: Shared<dyn Benchmark>,
}

impl Default for Benchmarks {
    fn default() -> Self {
        Self {
            known: Shared::all(),
        }
    }
}

impl Benchmarks {
    /// The stored table with this digest.
    pub(super) fn table(
        &self,
        digest: Digest,
        artifacts: &Artifacts,
        cancel: &Cancel,
    ) -> Result<Arc<dyn Benchmark>, RunError> {
        self.known.get(digest, cancel, || {
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
        cancel: &Cancel,
    ) -> Result<Arc<dyn Benchmark>, RunError> {
        self.known.get(digest, cancel, || {
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
}

/// Reads a table's plain form; `name` names it in errors.
fn read(name: &str, content: &[u8]) -> Result<Arc<dyn Benchmark>, RunError> {
    let space = Nasbench201::new();
    KnownTable::read(name, content, &|index| space.arch_str(ArchIndex(index)))
        .map(KnownTable::into_benchmark)
        .map_err(|error| RunError::impossible("read the benchmark table")(error.into()))
}
