//! What the kernel keeps a program from, where it can: Landlock, which needs no
//! privileges. Everything can be read and executed, one directory can be written to.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::sys::prctl::set_no_new_privs;

/// The newest version whose rules are known here; an older kernel keeps what it knows.
const KNOWN: ABI = ABI::V6;

/// Where files are made that processes share memory by: without it neither Python's
/// `multiprocessing` nor PyTorch's loaders work.
const SHARED_MEMORY: &str = "/dev/shm";

/// Devices are written to, `/dev/null` first of all; none is made.
const DEVICES: &str = "/dev";

/// Restricts this process and its descendants; says what is active.
pub(super) fn enter(writable: &Path) -> io::Result<Vec<String>> {
    // Programs with the bit of another user do not get that user's rights.
    set_no_new_privs()?;
    let mut layers = vec!["no new privileges".to_owned()];
    match restrict(writable).map_err(io::Error::other)? {
        RulesetStatus::FullyEnforced => layers.push("landlock".to_owned()),
        RulesetStatus::PartiallyEnforced => layers.push("landlock (in part)".to_owned()),
        RulesetStatus::NotEnforced => {}
    }
    Ok(layers)
}

fn restrict(writable: &Path) -> Result<RulesetStatus, Box<dyn std::error::Error + Send + Sync>> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(Scope::Signal)?
        .create()?
        .add_rule(PathBeneath::new(
            PathFd::new("/")?,
            AccessFs::from_read(KNOWN),
        ))?
        .add_rule(PathBeneath::new(
            PathFd::new(writable)?,
            AccessFs::from_all(KNOWN),
        ))?
        .add_rule(PathBeneath::new(
            PathFd::new(DEVICES)?,
            AccessFs::WriteFile | AccessFs::IoctlDev,
        ))?;
    if let Ok(shared) = PathFd::new(SHARED_MEMORY) {
        rules = rules.add_rule(PathBeneath::new(shared, AccessFs::from_all(KNOWN)))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}
