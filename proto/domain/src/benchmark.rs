//! Which benchmark answers the queries of a search.

use serde::{Deserialize, Serialize};

use crate::ids::Digest;
use crate::task::Recipe;

/// A benchmark that ships inside the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuiltinBenchmark {
    /// NAS-Bench-201 cells trained on the handwritten digits by Reprise itself.
    Nasbench201Digits,
}

impl BuiltinBenchmark {
    /// The name as written in study files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nasbench201Digits => "nasbench201-digits",
        }
    }
}

/// A benchmark as a task names it: by content, never by path, so that a task's
/// key covers the numbers that it searched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum BenchmarkRef {
    /// Shipped with the worker; the digest is of its table.
    Builtin {
        /// Which one.
        name: BuiltinBenchmark,
        /// BLAKE3 of the uncompressed table.
        digest: Digest,
    },
    /// A table in Reprise's plain CSV form, held by the artifact store.
    Table {
        /// BLAKE3 of the artifact.
        digest: Digest,
    },
    /// No table: every query trains the architecture.
    Train {
        /// How it is trained.
        recipe: Recipe,
    },
}

impl BenchmarkRef {
    /// Whether queries train instead of being looked up.
    pub const fn is_training(&self) -> bool {
        matches!(self, Self::Train { .. })
    }
}
