//! From the pickled object to named tensors: finds the state dictionary and
//! copies each tensor out of its storage.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::error::CheckpointError;
use super::storage::{Element, REBUILD_PARAMETER, REBUILD_TENSOR, StorageRef, Storages};
use super::{LIMIT, NamedTensor};
use crate::pickle::Value;

/// Keys listed in an error.
const LISTED: usize = 12;
/// Top-level entries looked into. Real checkpoints have a handful; a hostile one
/// could name the same huge dictionary again and again.
const SEARCHED: usize = 256;
/// Dimensions of a tensor; torch itself stops at 64.
const DIMENSIONS: usize = 64;

/// Reads the tensors of the state dictionary in `object`.
pub(super) fn read_state_dict<'b>(
    object: Value<'_>,
    storages: &mut impl Storages<'b>,
) -> Result<BTreeMap<String, NamedTensor>, CheckpointError> {
    let mut reader = Reader {
        storages,
        loaded: BTreeMap::new(),
        budget: LIMIT,
    };
    let mut tensors = BTreeMap::new();
    for (name, tensor) in find(object)?.entries().into_iter().flatten() {
        let name = name.as_text().unwrap_or_default();
        tensors.insert(name.to_owned(), reader.tensor(name, tensor)?);
    }
    Ok(tensors)
}

/// The state dictionary: the object itself or its one value that is one.
fn find(object: Value<'_>) -> Result<Value<'_>, CheckpointError> {
    if is_state_dict(object) {
        return Ok(object);
    }
    let Some(entries) = object.entries() else {
        return Err(CheckpointError::NoStateDict {
            found: object.describe(),
        });
    };
    let holding: Vec<_> = entries
        .take(SEARCHED)
        .filter(|(_, value)| is_state_dict(*value))
        .collect();
    match holding.as_slice() {
        [(_, only)] => Ok(*only),
        [] => Err(CheckpointError::NoStateDict {
            found: list_entries(object),
        }),
        several => Err(CheckpointError::SeveralStateDicts {
            keys: list_keys(several.iter().map(|(key, _)| *key)),
        }),
    }
}

/// Whether a value is a dictionary, not empty, of names to tensors only.
fn is_state_dict(value: Value<'_>) -> bool {
    value.entries().is_some_and(|mut entries| {
        entries.len() > 0
            && entries.all(|(key, value)| key.as_text().is_some() && tensor_parts(value).is_some())
    })
}

fn list_entries(object: Value<'_>) -> String {
    let entries = object.entries().into_iter().flatten().take(LISTED);
    let listed: Vec<String> = entries
        .map(|(key, value)| {
            let key = key.as_text().map_or_else(|| key.describe(), quoted);
            format!("{key}: {}", value.describe())
        })
        .collect();
    if listed.is_empty() {
        object.describe()
    } else {
        listed.join(", ")
    }
}

fn list_keys<'p>(keys: impl Iterator<Item = Value<'p>>) -> String {
    let keys = keys.take(LISTED);
    let keys: Vec<String> = keys
        .map(|key| key.as_text().map_or_else(|| key.describe(), quoted))
        .collect();
    keys.join(", ")
}

fn quoted(key: &str) -> String {
    let key: String = key.chars().take(80).collect();
    format!("`{key}`")
}

/// Storage, offset, shape and strides of a recorded tensor, a parameter's of the
/// tensor inside it.
fn tensor_parts(value: Value<'_>) -> Option<[Value<'_>; 4]> {
    let mut call = value.as_call()?;
    if call.function == REBUILD_PARAMETER {
        let tensor = call.arguments.items()?.next()?;
        call = tensor.as_call()?;
    }
    if call.function != REBUILD_TENSOR {
        return None;
    }
    let mut arguments = call.arguments.items()?;
    let storage = arguments.next()?.as_persistent()?;
    Some([
        storage,
        arguments.next()?,
        arguments.next()?,
        arguments.next()?,
    ])
}

struct Reader<'s, 'b, S> {
    storages: &'s mut S,
    /// Storages read so far: tensors may share one.
    loaded: BTreeMap<String, Cow<'b, [u8]>>,
    /// Bytes that storages and tensors may still take.
    budget: u64,
}

impl<'b, S: Storages<'b>> Reader<'_, 'b, S> {
    fn tensor(&mut self, name: &str, value: Value<'_>) -> Result<NamedTensor, CheckpointError> {
        let wrong = |problem: String| CheckpointError::Tensor {
            name: name.chars().take(120).collect(),
            problem,
        };
        let [storage, offset, shape, strides] =
            tensor_parts(value).ok_or_else(|| wrong(format!("found {}", value.describe())))?;
        let storage = StorageRef::parse(storage)?;
        if let Element::Other(bytes) = storage.element {
            return Err(wrong(format!(
                "expected elements of 32 or 64 bits, found {} bits",
                8 * bytes
            )));
        }
        let size = |value: Value<'_>| {
            let size = value.as_int().and_then(|size| usize::try_from(size).ok());
            size.ok_or_else(|| wrong(format!("expected a size, found {}", value.describe())))
        };
        let sizes = |value: Value<'_>| match value.items() {
            Some(items) => items.map(size).collect::<Result<Vec<usize>, _>>(),
            None => Err(wrong(format!("expected sizes, found {}", value.describe()))),
        };
        let view = View {
            offset: size(offset)?,
            shape: sizes(shape)?,
            strides: sizes(strides)?,
        };
        let count = view.count(storage.count).map_err(wrong)?;
        self.spend(4 * count as u64)?;
        if !self.loaded.contains_key(storage.key) {
            self.spend(storage.length())?;
            let bytes = self.storages.load(&storage)?;
            self.loaded.insert(storage.key.to_owned(), bytes);
        }
        let bytes = &self.loaded[storage.key];
        let data = view
            .positions(count)
            .map(|position| storage.element.decode(bytes, position));
        let data: Option<Vec<f32>> = data.collect();
        // Only two references that contradict each other end here.
        let data = data.ok_or_else(|| storage.wrong_length(bytes.len() as u64))?;
        Ok(NamedTensor {
            shape: view.shape,
            data,
        })
    }

    fn spend(&mut self, bytes: u64) -> Result<(), CheckpointError> {
        let left = self.budget.checked_sub(bytes);
        self.budget = left.ok_or(CheckpointError::TooLarge { limit: LIMIT })?;
        Ok(())
    }
}

/// How a tensor lies in its storage.
struct View {
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl View {
    /// Number of elements, once all of them are known to lie in a storage of
    /// `available`.
    fn count(&self, available: usize) -> Result<usize, String> {
        if self.shape.len() != self.strides.len() {
            return Err(format!(
                "{} sizes do not go with {} strides",
                self.shape.len(),
                self.strides.len()
            ));
        }
        if self.shape.len() > DIMENSIONS {
            return Err(format!(
                "{} dimensions, expected at most {DIMENSIONS}",
                self.shape.len()
            ));
        }
        let count = self
            .shape
            .iter()
            .try_fold(1_usize, |count, size| count.checked_mul(*size));
        if self.shape.contains(&0) {
            return Ok(0);
        }
        let last = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |last, (size, stride)| {
                last.checked_add((size - 1).checked_mul(*stride)?)
            });
        match (count, last) {
            (Some(count), Some(last)) if last < available => Ok(count),
            _ => Err(format!(
                "shape {:?} from offset {} with strides {:?} leaves its storage of {available} elements",
                self.shape, self.offset, self.strides
            )),
        }
    }

    /// Positions in the storage of the `count` elements, in row-major order.
    fn positions(&self, count: usize) -> impl Iterator<Item = usize> {
        (0..count).map(move |element| {
            let dimensions = self.shape.iter().zip(&self.strides).rev();
            let (_, position) = dimensions.fold((element, self.offset), |(rest, at), dimension| {
                let (size, stride) = dimension;
                (rest / size, at + rest % size * stride)
            });
            position
        })
    }
}
