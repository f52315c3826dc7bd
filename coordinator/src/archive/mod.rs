//! A study in a file: its spec, what is stored of its finished tasks, and their files.
//!
//! The file is a tar archive of regular files, in this order:
//! * `archive.json`: the version of the form, and the study's spec;
//! * `results/00000000.jsonl` and so on: an archived result a line;
//! * `artifacts/DIGEST`: each file that the spec or a result names, once;
//! * `end.json`: how many results and artifacts there are, and the BLAKE3 digest of the
//!   names, sizes and contents of all entries before it.
//!
//! Reading checks all of that before anything is brought back. Not here: the calls to a
//! coordinator.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::io;

use reprise_domain::study::StudySpec;
use reprise_domain::{BenchmarkRef, Digest};
use serde::{Deserialize, Serialize};

pub use read::Archive;
pub use write::Writer;

/// Version of the form.
const FORMAT: u32 = 1;

/// Names of the entries.
const HEAD: &str = "archive.json";
const RESULTS: &str = "results/";
const ARTIFACTS: &str = "artifacts/";
const END: &str = "end.json";

/// The first entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    spec: StudySpec,
}

/// What an archive has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contents {
    /// Results of finished tasks.
    pub results: u64,
    /// Files.
    pub artifacts: u64,
}

/// The last entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    #[serde(flatten)]
    contents: Contents,
    /// Of all entries before.
    sum: Digest,
}

/// An archive that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file could not be opened or read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The file is damaged, or not an archive of a study.
    #[error("{0}")]
    Damaged(String),
    /// A later version wrote it.
    #[error("it has form `{found}`: expected at most `{FORMAT}`, which this version reads")]
    Form {
        /// The form's version.
        found: u32,
    },
}

fn damaged(what: impl Into<String>) -> ArchiveError {
    ArchiveError::Damaged(what.into())
}

/// The files that a spec names. Their sizes are not in it.
pub fn files_of(spec: &StudySpec) -> impl Iterator<Item = Digest> {
    let table = match spec.search.as_ref().map(|search| &search.benchmark) {
        Some(BenchmarkRef::Table { digest }) => Some(*digest),
        _ => None,
    };
    let experiments = spec.experiments.iter();
    let programs = experiments.flat_map(|plan| plan.files.iter().map(|file| file.digest));
    table.into_iter().chain(programs)
}

/// Follows what is written or read, in the order of the file.
#[derive(Debug, Default)]
struct Sum(blake3::Hasher);

impl Sum {
    /// Before an entry's content.
    fn entry(&mut self, name: &str, bytes: u64) {
        self.0.update(&(name.len() as u64).to_le_bytes());
        self.0.update(name.as_bytes());
        self.0.update(&bytes.to_le_bytes());
    }

    fn content(&mut self, content: &[u8]) {
        self.0.update(content);
    }

    fn digest(&self) -> Digest {
        Digest::from_bytes(*self.0.finalize().as_bytes())
    }
}
