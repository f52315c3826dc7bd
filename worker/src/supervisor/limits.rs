//! Limits that the kernel keeps for each process, inherited by all descendants.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How much more than its share a single process may allocate: what it allocates and
/// does not touch takes no memory, and many programs do that. The memory that is in use
/// is watched beside it.
const ALLOCATED: u64 = 2;

/// Limits this process; says which limits these are.
pub(super) fn apply(memory: Option<u64>, open_files: Option<u64>) -> io::Result<Vec<String>> {
    let mut layers = Vec::new();
    // A memory image of a program that crashes helps nobody here, and is large.
    lower(Resource::RLIMIT_CORE, 0)?;
    if let Some(files) = open_files {
        lower(Resource::RLIMIT_NOFILE, files)?;
        layers.push("open files".to_owned());
    }
    if let Some(bytes) = memory {
        lower(Resource::RLIMIT_DATA, bytes.saturating_mul(ALLOCATED))?;
        layers.push("memory".to_owned());
    }
    Ok(layers)
}

/// Lowers a limit; one that is lower already stays.
fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let most = most.min(hard);
    Ok(setrlimit(resource, most, most)?)
}
