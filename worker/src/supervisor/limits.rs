//! Limits that the kernel keeps for each process, inherited by all descendants.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What a single process may allocate beyond twice its share: what it allocates and does
/// not touch takes no memory, and many programs do that. The memory that is in use is
/// watched beside it; this is for what fills faster than anybody looks.
const BEYOND: u64 = 1 << 30;

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
        let allocated = bytes.saturating_mul(2).saturating_add(BEYOND);
        lower(Resource::RLIMIT_DATA, allocated)?;
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
