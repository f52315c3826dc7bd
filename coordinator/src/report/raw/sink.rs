//! Where rows go.

use std::fmt;
use std::io;

use super::column::Value;

/// A file of rows in some form, written as they come.
pub(super) trait Sink: Send + fmt::Debug {
    /// Takes a row, a value a column.
    fn push(&mut self, row: &[Value<'_>]) -> io::Result<()>;

    /// Writes what is left.
    fn finish(self: Box<Self>) -> io::Result<()>;
}
