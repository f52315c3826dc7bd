//! What a benchmark answers, whichever file it came from.
//!
//! The two questions are separate calls with separate results, so that a search
//! can be handed the first and never the second (INV-9).

use reprise_domain::protocol::SearchQuirks;
use reprise_domain::{ArchIndex, Dataset};

pub use reprise_search::trial::{Guiding, Reported};

/// A table of trained architectures in their space's published order.
pub trait Benchmark: Send + Sync + std::fmt::Debug {
    /// Data sets that it answers for.
    fn datasets(&self) -> Vec<Dataset>;

    /// Number of architectures.
    fn architectures(&self) -> usize;

    /// Answers a query. `quirks` decide what is charged.
    fn guiding(
        &self,
        dataset: Dataset,
        arch: ArchIndex,
        quirks: SearchQuirks,
    ) -> Result<Guiding, QueryError>;

    /// What is reported of `arch`; never shown to a search.
    fn reported(&self, dataset: Dataset, arch: ArchIndex) -> Result<Reported, QueryError>;
}

/// A question that a benchmark has no answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The data set is not in the table.
    #[error("the benchmark has no data set `{dataset}`, it has {available}")]
    Dataset {
        /// What was asked for.
        dataset: Dataset,
        /// What there is, as words.
        available: &'static str,
    },
    /// The architecture is not in the table.
    #[error("the benchmark has no architecture {arch}, it has 0 to {last}")]
    Architecture {
        /// What was asked for.
        arch: ArchIndex,
        /// The last index in the table.
        last: u32,
    },
}
