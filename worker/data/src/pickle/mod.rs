//! A restricted reader of Python pickles: data only, nothing is executed.
//!
//! A pickle is a program for a stack machine; Python's own reader lets it import
//! and call anything. This reader knows the opcodes that data needs, resolves no
//! name, and only *records* a call of a global that the caller allows. Anything
//! else is refused by name and offset.
//!
//! What was read lives in one arena ([`Pickle`]) and is looked at through
//! [`Value`], a copyable reference into it. Sharing through the memo costs
//! nothing, a pickle that contains itself is harmless, and nothing recurses, in
//! reading or in dropping.
//!
//! Not here: what a recorded call means, and compression.

mod cursor;
mod error;
mod machine;
mod opcode;
mod value;

pub use error::PickleError;
pub use machine::read;
pub use value::{Call, Pickle, Value};

/// A name that a pickle may import: `module.name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Global {
    /// The module, with its dots.
    pub module: &'static str,
    /// The name in it.
    pub name: &'static str,
}

impl Global {
    /// `collections.OrderedDict`, which reads as a plain dictionary.
    pub const ORDERED_DICT: Self = Self {
        module: "collections",
        name: "OrderedDict",
    };
}

impl std::fmt::Display for Global {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// Bounds of one pickle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of the pickle in bytes.
    pub bytes: usize,
    /// Nesting of containers.
    pub depth: u32,
    /// Remembered values.
    pub memo: usize,
    /// Values and container entries, together.
    pub items: usize,
}

impl Limits {
    /// Bounds for the published benchmark files: the largest is 1.4 MB.
    pub const DEFAULT: Self = Self {
        bytes: 8 << 20,
        depth: 64,
        memo: 100_000,
        items: 1_000_000,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
pub(crate) mod tests;
