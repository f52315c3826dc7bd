//! The files that a program left to be kept.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use reprise_domain::bounds::{ARTIFACT_BYTES, program as bounds};
use reprise_domain::program::NamedArtifact;

use super::error::ProgramError;
use super::workspace::Root;
use crate::artifacts::Artifacts;
use crate::runner::RunError;
use crate::slots::Cancel;

/// Stores every file below a directory.
pub(super) fn keep(
    root: &Root,
    artifacts: &Artifacts,
    cancel: &Cancel,
) -> Result<Vec<NamedArtifact>, RunError> {
    let mut paths = Vec::new();
    list(&root.path(), "", &mut paths)?;
    paths.sort_unstable();
    let mut kept = Vec::with_capacity(paths.len());
    for path in paths {
        if cancel.is_cancelled() {
            return Err(RunError::Stopped);
        }
        let content = read(root, &path).map_err(|error| wrong(&path, error.to_string()))?;
        if content.len() as u64 > ARTIFACT_BYTES {
            let most = bounds::in_units(ARTIFACT_BYTES);
            return Err(wrong(&path, format!("has more than {most}")).into());
        }
        let stored = artifacts.store_in_time(&content, cancel)?;
        kept.push(NamedArtifact {
            path,
            digest: stored.digest,
            bytes: stored.bytes,
        });
    }
    Ok(kept)
}

/// The paths of all files below a directory.
fn list(directory: &Path, outer: &str, paths: &mut Vec<String>) -> Result<(), ProgramError> {
    let at = directory.join(outer);
    for entry in fs::read_dir(at).map_err(|error| wrong(outer, error.to_string()))? {
        let entry = entry.map_err(|error| wrong(outer, error.to_string()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = match outer {
            "" => name,
            outer => format!("{outer}/{name}"),
        };
        if !bounds::is_path(&path) || path.contains(char::REPLACEMENT_CHARACTER) {
            return Err(wrong(
                &path,
                format!("has a wrong name, expected {}", bounds::PATH),
            ));
        }
        // Of the entry itself, not of what a link leads to.
        let kind = entry
            .file_type()
            .map_err(|error| wrong(&path, error.to_string()))?;
        if kind.is_dir() {
            list(directory, &path, paths)?;
        } else if kind.is_file() {
            paths.push(path);
        } else {
            return Err(wrong(&path, "is neither a file nor a directory"));
        }
        if paths.len() > bounds::ARTIFACTS {
            let why = format!("is one too many: at most {} are kept", bounds::ARTIFACTS);
            return Err(wrong(paths.last().map_or("", String::as_str), why));
        }
    }
    Ok(())
}

fn read(root: &Root, path: &str) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    root.open_regular(Path::new(path))?
        .take(ARTIFACT_BYTES + 1)
        .read_to_end(&mut content)?;
    Ok(content)
}

fn wrong(path: &str, why: impl Into<String>) -> ProgramError {
    ProgramError::Artifact {
        path: reprise_domain::text::printable(path, 200),
        why: why.into(),
    }
}
