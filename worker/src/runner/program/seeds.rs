//! Seeds that are derived from a task's key: one a name, so that adding a use of random
//! numbers to a program changes none of the others.
//!
//! Version 1: BLAKE3 in key derivation mode, context `reprise program seed v1`, over the
//! 32 bytes of the task's key and the name; of the digest the first four bytes as a
//! little-endian number without its highest bit, so that every language's integers and
//! `numpy.random.seed` take it.

use std::collections::BTreeMap;

use reprise_domain::TaskKey;
use reprise_domain::program::SEED_NAMES;

const CONTEXT: &str = "reprise program seed v1";

/// The seed of a name.
pub(super) fn derive(task: TaskKey, name: &str) -> u32 {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(task.0.as_bytes());
    hasher.update(name.as_bytes());
    let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
    u32::from_le_bytes([a, b, c, d]) & 0x7fff_ffff
}

/// The seeds of all names.
pub(super) fn all(task: TaskKey) -> BTreeMap<&'static str, u32> {
    SEED_NAMES
        .into_iter()
        .map(|name| (name, derive(task, name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use reprise_domain::Digest;

    use super::*;

    #[test]
    fn seeds_depend_on_task_and_name_alone() {
        let key = |byte| TaskKey(Digest::from_bytes([byte; 32]));
        let seeds: BTreeSet<u32> = [1, 2]
            .into_iter()
            .flat_map(|byte| all(key(byte)).into_values())
            .collect();
        assert_eq!(seeds.len(), 2 * SEED_NAMES.len());
        assert!(seeds.iter().all(|seed| *seed < 1 << 31));
        // By the definition above, so that results of version 1 stay what they are.
        let mut bytes = vec![1; 32];
        bytes.extend_from_slice(b"data");
        let digest = blake3::derive_key(CONTEXT, &bytes);
        let [a, b, c, d, ..] = digest;
        let expected = u32::from_le_bytes([a, b, c, d]) % (1 << 31);
        assert_eq!(derive(key(1), "data"), expected);
    }
}
