//! The container before PyTorch 1.6: a stream of pickles (magic number, protocol
//! version, system, object, storage keys), then for each key a 64-bit element
//! count and the raw elements (format notes, section 6.2).

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::error::CheckpointError;
use super::state_dict::read_state_dict;
use super::storage::{StorageRef, Storages, allowed_globals};
use super::{NamedTensor, PICKLE_LIMITS};
use crate::pickle::{self, Global, Pickle};

/// The pickle of the magic number 0x1950a86a20f9469cfc6c, a whole pickle.
pub(super) const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e";
/// The only version of the stream there has been.
const PROTOCOL: i64 = 1001;

pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, NamedTensor>, CheckpointError> {
    let mut rest = &bytes[MAGIC.len()..];
    let protocol = next_pickle(&mut rest, "protocol version", &[])?;
    if protocol.root().as_int() != Some(PROTOCOL) {
        return Err(CheckpointError::Part {
            part: "protocol version",
            expected: "the integer `1001`",
            found: protocol.root().describe(),
        });
    }
    let system = next_pickle(&mut rest, "system description", &[])?;
    let little = system.root().get("little_endian");
    if little.and_then(pickle::Value::as_bool) != Some(true) {
        return Err(CheckpointError::Part {
            part: "byte order",
            expected: "little-endian",
            found: little.map_or_else(|| system.root().describe(), pickle::Value::describe),
        });
    }
    let object = next_pickle(&mut rest, "object", &allowed_globals())?;
    let keys = next_pickle(&mut rest, "list of storage keys", &[])?;
    let mut storages = slices(rest, &object, &keys)?;
    read_state_dict(object.root(), &mut storages)
}

/// Reads the pickle at the start of `rest` and moves behind it. The limit on
/// bytes cannot be the file's length here, as raw elements follow.
fn next_pickle<'b>(
    rest: &mut &'b [u8],
    part: &'static str,
    allowed: &[Global],
) -> Result<Pickle<'b>, CheckpointError> {
    let window = &rest[..rest.len().min(PICKLE_LIMITS.bytes)];
    let pickle = pickle::read(window, allowed, &PICKLE_LIMITS)
        .map_err(|source| CheckpointError::Pickle { part, source })?;
    *rest = &rest[pickle.consumed()..];
    Ok(pickle)
}

/// Slices of the file, by storage key.
struct Slices<'b>(BTreeMap<String, &'b [u8]>);

/// Finds every storage. Its length in bytes needs the element type, which only
/// the references in the object say.
fn slices<'b>(
    mut rest: &'b [u8],
    object: &Pickle<'_>,
    keys: &Pickle<'_>,
) -> Result<Slices<'b>, CheckpointError> {
    let mut described = BTreeMap::new();
    for payload in object.persistent() {
        let storage = StorageRef::parse(payload)?;
        described.insert(storage.key, storage);
    }
    let wrong_keys = |found| CheckpointError::Part {
        part: "list of storage keys",
        expected: "a list of keys that the object refers to",
        found,
    };
    let listed = keys.root().items();
    let listed = listed.ok_or_else(|| wrong_keys(keys.root().describe()))?;
    let mut slices = BTreeMap::new();
    for key in listed {
        let storage = key.as_text().and_then(|key| described.get(key));
        let storage = storage.ok_or_else(|| wrong_keys(key.describe()))?;
        let (count, raw) = rest
            .split_first_chunk()
            .ok_or_else(|| storage.wrong_length(0))?;
        let count = u64::from_le_bytes(*count);
        if count != storage.count as u64 {
            let size = storage.element.bytes() as u64;
            return Err(storage.wrong_length(count.saturating_mul(size)));
        }
        let length = usize::try_from(storage.length()).unwrap_or(usize::MAX);
        let (elements, behind) = raw
            .split_at_checked(length)
            .ok_or_else(|| storage.wrong_length(raw.len() as u64))?;
        slices.insert(storage.key.to_owned(), elements);
        rest = behind;
    }
    Ok(Slices(slices))
}

impl<'b> Storages<'b> for Slices<'b> {
    fn load(&mut self, storage: &StorageRef<'_>) -> Result<Cow<'b, [u8]>, CheckpointError> {
        let slice = self.0.get(storage.key).copied().unwrap_or_default();
        if slice.len() as u64 == storage.length() {
            Ok(Cow::Borrowed(slice))
        } else {
            Err(storage.wrong_length(slice.len() as u64))
        }
    }
}
