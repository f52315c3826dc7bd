//! Conversions between wire and domain. Each names the field that is wrong.

pub mod archive;
pub mod operation;
pub mod record;
pub mod result;
pub mod status;

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Digest, TaskKey, WorkerId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::pb;

/// A message that does not say what it should.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// A field that must be there is not.
    #[error("message field `{field}` is missing")]
    Missing {
        /// Path of the field.
        field: &'static str,
    },
    /// Bytes of the wrong length.
    #[error("message field `{field}` has {found} bytes, expected {expected}")]
    Length {
        /// Path of the field.
        field: &'static str,
        /// Length that it must have.
        expected: usize,
        /// Length that it has.
        found: usize,
    },
    /// A JSON field that does not hold its type.
    #[error("message field `{field}` is not valid")]
    Json {
        /// Path of the field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A name or an enumeration's number that means nothing here.
    #[error("message field `{field}` is not valid: `{found}`")]
    Unknown {
        /// Path of the field.
        field: &'static str,
        /// What it says.
        found: String,
    },
    /// A number outside its range.
    #[error("message field `{field}` is `{found}`, expected at least 1")]
    Zero {
        /// Path of the field.
        field: &'static str,
        /// The number.
        found: u32,
    },
}

/// Canonical JSON of a domain value: the form that travels, is stored and is
/// hashed.
///
/// # Panics
/// Never for domain types, whose maps have text keys and whose numbers are
/// finite.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("domain types serialise")
}

/// Reads the JSON of `field`.
pub fn from_json<T: DeserializeOwned>(
    field: &'static str,
    bytes: &[u8],
) -> Result<T, ConvertError> {
    serde_json::from_slice(bytes).map_err(|source| ConvertError::Json { field, source })
}

/// Reads a 32-byte digest.
pub fn digest(field: &'static str, bytes: &[u8]) -> Result<Digest, ConvertError> {
    exactly(field, bytes).map(Digest::from_bytes)
}

/// Reads a worker's 16-byte id.
pub fn worker_id(field: &'static str, bytes: &[u8]) -> Result<WorkerId, ConvertError> {
    exactly(field, bytes).map(|bytes| WorkerId(uuid::Uuid::from_bytes(bytes)))
}

/// Bytes of a digest.
pub fn digest_bytes(digest: Digest) -> Vec<u8> {
    digest.as_bytes().to_vec()
}

/// Bytes of a worker's id.
pub fn worker_bytes(worker: WorkerId) -> Vec<u8> {
    worker.0.as_bytes().to_vec()
}

/// Reads a task's key.
pub fn task_key(field: &'static str, bytes: &[u8]) -> Result<TaskKey, ConvertError> {
    digest(field, bytes).map(TaskKey)
}

/// A field that must be there.
fn required<T>(field: &'static str, value: Option<T>) -> Result<T, ConvertError> {
    value.ok_or(ConvertError::Missing { field })
}

/// Reads a value by the name that it has in JSON.
fn named<T: DeserializeOwned>(field: &'static str, name: &str) -> Result<T, ConvertError> {
    serde_json::from_value(serde_json::Value::String(name.to_owned()))
        .map_err(|_| unknown(field, name))
}

fn unknown(field: &'static str, found: &(impl ToString + ?Sized)) -> ConvertError {
    // A hostile peer may send megabytes; the message needs a few words.
    let found = found.to_string().chars().take(80).collect();
    ConvertError::Unknown { field, found }
}

fn exactly<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], ConvertError> {
    bytes.try_into().map_err(|_| ConvertError::Length {
        field,
        expected: N,
        found: bytes.len(),
    })
}

impl From<AttemptId> for pb::Attempt {
    fn from(attempt: AttemptId) -> Self {
        Self {
            task: digest_bytes(attempt.task.0),
            number: attempt.number,
        }
    }
}

impl TryFrom<pb::Attempt> for AttemptId {
    type Error = ConvertError;

    fn try_from(attempt: pb::Attempt) -> Result<Self, Self::Error> {
        if attempt.number == 0 {
            return Err(ConvertError::Zero {
                field: "attempt.number",
                found: 0,
            });
        }
        let task = TaskKey(digest("attempt.task", &attempt.task)?);
        Ok(Self {
            task,
            number: attempt.number,
        })
    }
}

impl From<ArtifactRef> for pb::Artifact {
    fn from(artifact: ArtifactRef) -> Self {
        Self {
            digest: digest_bytes(artifact.digest),
            bytes: artifact.bytes,
        }
    }
}

impl TryFrom<pb::Artifact> for ArtifactRef {
    type Error = ConvertError;

    fn try_from(artifact: pb::Artifact) -> Result<Self, Self::Error> {
        Ok(Self {
            digest: digest("artifact.digest", &artifact.digest)?,
            bytes: artifact.bytes,
        })
    }
}

/// Reads a list of attempts.
pub fn attempts(list: Vec<pb::Attempt>) -> Result<Vec<AttemptId>, ConvertError> {
    list.into_iter().map(AttemptId::try_from).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn attempts_survive_the_wire(task: [u8; 32], number in 1u32..) {
            let attempt = AttemptId { task: TaskKey(Digest::from_bytes(task)), number };
            let wire = pb::Attempt::from(attempt);
            prop_assert_eq!(AttemptId::try_from(wire).unwrap(), attempt);
        }
    }

    #[test]
    fn wrong_fields_are_named() {
        let short = pb::Attempt {
            task: vec![1; 31],
            number: 1,
        };
        let message = AttemptId::try_from(short).unwrap_err().to_string();
        assert_eq!(
            message,
            "message field `attempt.task` has 31 bytes, expected 32"
        );
        let zero = pb::Attempt {
            task: vec![1; 32],
            number: 0,
        };
        assert!(
            AttemptId::try_from(zero)
                .unwrap_err()
                .to_string()
                .contains("attempt.number")
        );
    }
}
