//! Where a command writes tables, looked at before the work that would be lost with it.
//! Writing is not here.

use std::path::Path;

use anyhow::Context as _;
use nix::unistd::{AccessFlags, access};

use super::exit::OrWrongInput as _;

/// Makes a directory, or sees that files can be made in the one that is there; wrong
/// input if not.
pub(super) fn ensure_writable(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)
        .and_then(|()| Ok(access(directory, AccessFlags::W_OK | AccessFlags::X_OK)?))
        .with_context(|| format!("write to `{}`", directory.display()))
        .or_wrong_input()
}
