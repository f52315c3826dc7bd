//! Storages: the flat arrays that tensors are views of. A storage is described in
//! the pickle (element type, key, count); its bytes are elsewhere in the file.

use std::borrow::Cow;

use super::error::CheckpointError;
use crate::pickle::{Global, Value};

/// The type of a storage's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    F64,
    I64,
    I32,
    /// A type that is skipped over but not converted, of this many bytes.
    Other(usize),
}

const fn torch(name: &'static str) -> Global {
    Global {
        module: "torch",
        name,
    }
}

pub(super) const REBUILD_TENSOR: Global = Global {
    module: "torch._utils",
    name: "_rebuild_tensor_v2",
};
pub(super) const REBUILD_PARAMETER: Global = Global {
    module: "torch._utils",
    name: "_rebuild_parameter",
};

const ELEMENTS: [(Global, Element); 10] = [
    (torch("FloatStorage"), Element::F32),
    (torch("DoubleStorage"), Element::F64),
    (torch("LongStorage"), Element::I64),
    (torch("IntStorage"), Element::I32),
    (torch("ShortStorage"), Element::Other(2)),
    (torch("CharStorage"), Element::Other(1)),
    (torch("ByteStorage"), Element::Other(1)),
    (torch("BoolStorage"), Element::Other(1)),
    (torch("HalfStorage"), Element::Other(2)),
    (torch("BFloat16Storage"), Element::Other(2)),
];

/// Every name that a checkpoint may import.
pub(super) fn allowed_globals() -> Vec<Global> {
    let fixed = [Global::ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER];
    let storages = ELEMENTS.iter().map(|(global, _)| *global);
    fixed.into_iter().chain(storages).collect()
}

impl Element {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::Other(bytes) => bytes,
        }
    }

    /// Converts the element at `index` of a storage's bytes; nothing for a type
    /// that is not converted, or past the end.
    pub(super) fn decode(self, bytes: &[u8], index: usize) -> Option<f32> {
        fn at<const N: usize>(bytes: &[u8], index: usize) -> Option<[u8; N]> {
            let (elements, _) = bytes.as_chunks::<N>();
            elements.get(index).copied()
        }
        match self {
            Self::F32 => at(bytes, index).map(f32::from_le_bytes),
            Self::F64 => at(bytes, index).map(|value| f64::from_le_bytes(value) as f32),
            Self::I64 => at(bytes, index).map(|value| i64::from_le_bytes(value) as f32),
            Self::I32 => at(bytes, index).map(|value| i32::from_le_bytes(value) as f32),
            Self::Other(_) => None,
        }
    }
}

/// A storage as the pickle describes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct StorageRef<'p> {
    pub(super) element: Element,
    pub(super) key: &'p str,
    /// How many elements.
    pub(super) count: usize,
}

impl<'p> StorageRef<'p> {
    /// Reads `("storage", type, key, device, count)`, where the legacy container
    /// adds a view that must be none.
    pub(super) fn parse(payload: Value<'p>) -> Result<Self, CheckpointError> {
        let wrong = |found: String| CheckpointError::Part {
            part: "storage reference",
            expected: "a tuple (`storage`, element type, key, device, count)",
            found,
        };
        let parts: Vec<Value<'p>> = payload
            .items()
            .ok_or_else(|| wrong(payload.describe()))?
            .collect();
        let (tag, kind, key, count, view) = match parts.as_slice() {
            [tag, kind, key, _, count] => (*tag, *kind, *key, *count, None),
            [tag, kind, key, _, count, view] => (*tag, *kind, *key, *count, Some(*view)),
            _ => return Err(wrong(payload.describe())),
        };
        if tag.as_text() != Some("storage") {
            return Err(wrong(tag.describe()));
        }
        if let Some(view) = view.filter(|view| !view.is_none()) {
            return Err(wrong(format!("a view, {}", view.describe())));
        }
        let element = kind
            .as_global()
            .and_then(|global| ELEMENTS.iter().find(|(known, _)| *known == global))
            .ok_or_else(|| wrong(kind.describe()))?
            .1;
        let key = key.as_text().ok_or_else(|| wrong(key.describe()))?;
        let elements = count.as_int().and_then(|count| usize::try_from(count).ok());
        let count = elements.ok_or_else(|| wrong(count.describe()))?;
        Ok(Self {
            element,
            key,
            count,
        })
    }

    /// Length in bytes; saturates, so that an absurd count meets the bound.
    pub(super) fn length(&self) -> u64 {
        (self.count as u64).saturating_mul(self.element.bytes() as u64)
    }

    /// The error for a storage that has `found` bytes.
    pub(super) fn wrong_length(&self, found: u64) -> CheckpointError {
        CheckpointError::Storage {
            key: self.key.chars().take(80).collect(),
            expected: self.length(),
            found,
        }
    }
}

/// Where a container keeps the bytes of its storages.
pub(super) trait Storages<'b> {
    /// The bytes of a storage, exactly as many as it says. The caller has checked
    /// the length against the bound.
    fn load(&mut self, storage: &StorageRef<'_>) -> Result<Cow<'b, [u8]>, CheckpointError>;
}
