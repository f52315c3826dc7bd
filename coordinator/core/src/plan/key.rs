//! Content keys: BLAKE3 over canonical JSON, one derivation context a purpose, so
//! that a key of one kind can never equal a key of another.
//!
//! The canonical form is what `serde_json` writes for the domain types: fields in
//! declaration order, no white space, floats in their shortest exact form.

use reprise_domain::study::StudySpec;
use reprise_domain::{Digest, TaskKey, TaskSpec};
use serde::Serialize;

const TASK_CONTEXT: &str = "reprise 2026-11-24 task key v1";
const STUDY_CONTEXT: &str = "reprise 2026-11-24 study digest v1";

/// The key of a task: a digest over the version of its algorithm and everything
/// that its spec says, the keys of its inputs and its benchmark's digest included.
pub fn task_key(spec: &TaskSpec) -> TaskKey {
    task_key_of(spec.algorithm_version(), spec)
}

/// The key that a task had under a version of its algorithm.
pub(super) fn task_key_of(version: u32, spec: &TaskSpec) -> TaskKey {
    let mut hasher = blake3::Hasher::new_derive_key(TASK_CONTEXT);
    hasher.update(&version.to_le_bytes());
    hasher.update(&canonical(spec));
    TaskKey(Digest::from_bytes(hasher.finalize().into()))
}

/// The digest of a study's spec, its identity together with its name.
pub fn study_digest(study: &StudySpec) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key(STUDY_CONTEXT);
    hasher.update(&canonical(study));
    Digest::from_bytes(hasher.finalize().into())
}

/// A key as a hash table wants it. It is a digest already: any eight bytes of it
/// are as good as a hash.
pub(crate) fn hash(key: TaskKey) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *key.0.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

fn canonical(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("domain types have string keys and serialise without errors")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use reprise_domain::{NoopSpec, Seed};

    use super::*;

    fn noop(seed: u64, hold_ms: u32) -> TaskSpec {
        TaskSpec::Noop(NoopSpec {
            seed: Seed(seed),
            hold_ms,
            failures: 0,
        })
    }

    #[test]
    fn a_key_follows_everything_in_the_spec() {
        let specs = [noop(1, 0), noop(2, 0), noop(1, 2), noop(0, 1)];
        let keys: HashSet<_> = specs.iter().map(task_key).collect();
        assert_eq!(keys.len(), specs.len());
        assert_eq!(task_key(&noop(1, 0)), task_key(&noop(1, 0)));
    }

    #[test]
    fn a_key_is_the_keyed_hash_of_version_and_canonical_json() {
        let json = br#"{"kind":"noop","seed":7,"hold-ms":5,"failures":0}"#;
        let mut bytes = 1u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(json);
        let expected = blake3::derive_key(TASK_CONTEXT, &bytes);
        assert_eq!(task_key(&noop(7, 5)).0.as_bytes(), &expected);
    }
}
