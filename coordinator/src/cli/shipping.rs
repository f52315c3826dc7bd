//! Files that travel with programs: read beside the study file, stored at submission.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use reprise_data::digest;
use reprise_domain::Digest;
use reprise_domain::bounds::program as bounds;
use reprise_domain::program::ShippedFile;
use reprise_study::{StudyFile, StudyFileError};

/// Reads all files that a study ships, from the directory of the study file. Returns
/// their contents by digest.
pub(super) fn ship(
    file: &mut StudyFile,
    base: &Path,
) -> Result<BTreeMap<Digest, Vec<u8>>, StudyFileError> {
    let mut contents = BTreeMap::new();
    file.ship(|path| {
        let (content, executable) = read(&base.join(path))?;
        let digest = digest(&content);
        let bytes = content.len() as u64;
        contents.insert(digest, content);
        Ok(ShippedFile {
            path: path.to_owned(),
            digest,
            bytes,
            executable,
        })
    })?;
    Ok(contents)
}

/// The content of a file, and whether its owner may execute it.
fn read(path: &Path) -> Result<(Vec<u8>, bool), String> {
    let said = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no `{}`", path.display()),
        _ => error.to_string(),
    };
    // Looked at before it is opened: a pipe would be waited for.
    let known = path.metadata().map_err(said)?;
    if !known.is_file() {
        return Err(
            "it is not a regular file; name the files of a directory one by one".to_owned(),
        );
    }
    let file = File::open(path).map_err(said)?;
    let most = bounds::FILES_BYTES;
    let mut content = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut content)
        .map_err(said)?;
    if content.len() as u64 > most {
        return Err(format!("it has more than {}", bounds::in_units(most)));
    }
    Ok((content, known.permissions().mode() & 0o100 != 0))
}
