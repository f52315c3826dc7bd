//! What the state refers to in the artifact store, page by page: whoever sweeps the
//! store must know all of it, and nobody may hold up the core for long.

use std::collections::HashSet;

use reprise_domain::{BenchmarkRef, Digest, TaskKey};

use super::core::Core;
use super::view::TaskPhase;

/// Tasks that a page looks at: about a millisecond.
const LOOKED_AT: usize = 4096;

/// References of some tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct References {
    /// Finished tasks whose results may refer to artifacts, with the results'
    /// digests.
    pub results: Vec<(TaskKey, Digest)>,
    /// Open tasks with the digests of the checkpoints that they go on from.
    pub checkpoints: Vec<(TaskKey, Digest)>,
    /// Where the next page begins, unless this was the last.
    pub next: Option<usize>,
}

impl Core {
    /// References of the tasks from a position on, 0 at first.
    pub fn references(&self, from: usize) -> References {
        let mut found = References::default();
        let tasks = &self.state.tasks;
        for task in tasks.iter().skip(from).take(LOOKED_AT) {
            let Some(view) = self.task(task.key) else {
                continue;
            };
            if let TaskPhase::Finished { result, .. } = view.phase
                && view.spec.makes_artifacts()
            {
                found.results.push((view.key, result));
            }
            if let Some(checkpoint) = self.checkpoint(view.key) {
                found
                    .checkpoints
                    .push((view.key, checkpoint.artifact.digest));
            }
        }
        let next = from + LOOKED_AT;
        found.next = (next < tasks.len()).then_some(next);
        found
    }

    /// Files that clients stored for their studies: benchmark tables, and what is
    /// shipped with programs.
    pub fn tables(&self) -> HashSet<Digest> {
        let mut found = HashSet::new();
        for study in self.studies().filter_map(|name| self.study(name)) {
            let table = study.spec.search.as_ref().map(|search| search.benchmark);
            if let Some(BenchmarkRef::Table { digest }) = table {
                found.insert(digest);
            }
            let shipped = study.spec.experiments.iter().flat_map(|plan| &plan.files);
            found.extend(shipped.map(|file| file.digest));
        }
        found
    }
}
