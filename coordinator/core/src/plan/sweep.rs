//! What the tasks of a sweep have in common.
//!
//! A task differs from its neighbours in its seed, and in the architecture that it
//! trains or the embedding that it reads. The rest of its spec is most of it, and
//! is worth keeping once.

use reprise_domain::{ArchIndex, Digest, EncodingName, Seed, TaskKey, TaskSpec};

/// What `spec` has in common with the others of its sweep.
pub(crate) fn blank(spec: &TaskSpec) -> TaskSpec {
    let nobody = TaskKey(Digest::from_bytes([0; 32]));
    filled(spec, Seed(0), Some(ArchIndex(0)), Some(nobody))
}

/// A spec with its own seed, and its own architecture or input if it has one.
pub(crate) fn filled(
    blank: &TaskSpec,
    seed: Seed,
    arch: Option<ArchIndex>,
    input: Option<TaskKey>,
) -> TaskSpec {
    let mut spec = blank.clone();
    match &mut spec {
        TaskSpec::Pretrain(spec) => spec.seed = seed,
        TaskSpec::Search(spec) => {
            spec.seed = seed;
            if let (EncodingName::Embedding { pretrain }, Some(input)) = (&mut spec.encoding, input)
            {
                *pretrain = input;
            }
        }
        TaskSpec::Evaluate(spec) => {
            spec.seed = seed;
            spec.arch = arch.unwrap_or(spec.arch);
        }
        TaskSpec::Noop(spec) => spec.seed = seed,
        TaskSpec::Program(spec) => spec.seed = seed,
    }
    spec
}

/// The architecture that a spec names.
pub(crate) const fn arch(spec: &TaskSpec) -> Option<ArchIndex> {
    match spec {
        TaskSpec::Evaluate(spec) => Some(spec.arch),
        TaskSpec::Pretrain(_) | TaskSpec::Search(_) | TaskSpec::Noop(_) | TaskSpec::Program(_) => {
            None
        }
    }
}
