//! Names the commit that a release is built from.

use std::env;
use std::fs;
use std::path::Path;

fn main() {
    name_the_commit();
}

/// `REPRISE_COMMIT` names the commit where a build has no checkout, as in a source
/// archive. A development build names none otherwise, so that a commit does not
/// build it anew.
fn name_the_commit() {
    println!("cargo::rerun-if-env-changed=REPRISE_COMMIT");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let given = env::var("REPRISE_COMMIT").ok();
    let read = || is_release.then(commit).flatten();
    let commit = given.or_else(read).unwrap_or_default();
    println!("cargo::rustc-env=REPRISE_COMMIT={commit}");
}

/// The commit that is checked out, where there is a checkout.
fn commit() -> Option<String> {
    let root = Path::new(&env::var_os("CARGO_MANIFEST_DIR")?).join("..");
    let git = root.join(".git");
    // In a linked worktree it is a file that names a directory, which names the
    // repository's own.
    let git = match fs::read_to_string(&git) {
        Ok(link) => root.join(link.strip_prefix("gitdir:")?.trim()),
        Err(_) => git,
    };
    let common = match fs::read_to_string(git.join("commondir")) {
        Ok(path) => git.join(path.trim()),
        Err(_) => git.clone(),
    };
    // A commit changes this file even where the branch was packed.
    watched(&git.join("logs/HEAD"));
    let head = watched(&git.join("HEAD"))?;
    let Some(branch) = head.trim().strip_prefix("ref: ") else {
        return Some(head.trim().to_owned());
    };
    if let Some(id) = watched(&common.join(branch)) {
        return Some(id.trim().to_owned());
    }
    let packed = watched(&common.join("packed-refs"))?;
    packed.lines().find_map(|line| {
        let (id, name) = line.split_once(' ')?;
        (name == branch).then(|| id.to_owned())
    })
}

/// What a file holds; its change is a reason to build anew.
fn watched(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text)
}
