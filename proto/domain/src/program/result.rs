//! What a program found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::Digest;
use crate::measure::ArtifactRef;

/// Result of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgramResult {
    /// Its metrics by name: each that its task declares, and no other.
    pub metrics: BTreeMap<String, f64>,
    /// Steps that it gave metrics of while it ran.
    pub steps: u64,
    /// These metrics as JSON lines by ascending step, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<ArtifactRef>,
    /// Files that it left, by ascending path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<NamedArtifact>,
}

impl ProgramResult {
    /// All files that it refers to.
    pub fn files(&self) -> Vec<ArtifactRef> {
        let left = self.artifacts.iter().map(NamedArtifact::content);
        self.series.into_iter().chain(left).collect()
    }
}

/// A file that a program left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedArtifact {
    /// Its path below the directory for artifacts.
    pub path: String,
    /// BLAKE3 of its content.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
}

impl NamedArtifact {
    /// The file without its name.
    pub const fn content(&self) -> ArtifactRef {
        ArtifactRef {
            digest: self.digest,
            bytes: self.bytes,
        }
    }
}
