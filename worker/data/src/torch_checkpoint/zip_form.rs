//! The container since PyTorch 1.6: a zip archive with `NAME/data.pkl` and one
//! entry `NAME/data/KEY` a storage.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Cursor;

use zip::ZipArchive;
use zip::result::ZipError;

use super::error::CheckpointError;
use super::state_dict::read_state_dict;
use super::storage::{StorageRef, Storages, allowed_globals};
use super::{NamedTensor, PICKLE_LIMITS};
use crate::bytes::read_bounded;
use crate::pickle;

/// First bytes of a zip archive.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";
const OBJECT: &str = "data.pkl";

pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, NamedTensor>, CheckpointError> {
    let archive_error = |source| CheckpointError::Archive {
        entry: OBJECT.to_owned(),
        source,
    };
    let archive = ZipArchive::new(Cursor::new(bytes)).map_err(archive_error)?;
    let folder = archive.file_names().find_map(|name| {
        let folder = name.strip_suffix(OBJECT)?;
        (folder.is_empty() || folder.ends_with('/')).then(|| folder.to_owned())
    });
    let folder = folder.ok_or_else(|| archive_error(ZipError::FileNotFound))?;
    let mut entries = Entries { archive, folder };
    entries.check_byte_order()?;
    let object = entries.read(OBJECT, PICKLE_LIMITS.bytes as u64)?;
    let pickle = pickle::read(&object, &allowed_globals(), &PICKLE_LIMITS).map_err(|source| {
        CheckpointError::Pickle {
            part: "object",
            source,
        }
    })?;
    read_state_dict(pickle.root(), &mut entries)
}

struct Entries<'b> {
    archive: ZipArchive<Cursor<&'b [u8]>>,
    /// The archive's folder with its slash.
    folder: String,
}

impl Entries<'_> {
    fn read(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, CheckpointError> {
        let entry = format!("{}{name}", self.folder);
        match self.archive.by_name(&entry) {
            Ok(reader) => read_bounded(reader, limit, "zip")
                .map_err(|source| CheckpointError::Entry { entry, source }),
            Err(source) => Err(CheckpointError::Archive { entry, source }),
        }
    }

    /// Archives say since PyTorch 2.1 in which order their bytes are; older ones
    /// were written on little-endian machines.
    fn check_byte_order(&mut self) -> Result<(), CheckpointError> {
        let order = match self.read("byteorder", 16) {
            Ok(order) => order,
            Err(CheckpointError::Archive {
                source: ZipError::FileNotFound,
                ..
            }) => return Ok(()),
            Err(error) => return Err(error),
        };
        if order == b"little" {
            return Ok(());
        }
        Err(CheckpointError::Part {
            part: "byte order",
            expected: "`little`",
            found: format!("`{}`", String::from_utf8_lossy(&order)),
        })
    }
}

impl<'b> Storages<'b> for Entries<'_> {
    fn load(&mut self, storage: &StorageRef<'_>) -> Result<Cow<'b, [u8]>, CheckpointError> {
        let bytes = self.read(&format!("data/{}", storage.key), storage.length())?;
        if bytes.len() as u64 != storage.length() {
            return Err(storage.wrong_length(bytes.len() as u64));
        }
        Ok(Cow::Owned(bytes))
    }
}
