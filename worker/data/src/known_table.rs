//! A benchmark table whose form its header tells.
//!
//! Not here: what the forms hold (`table`, `digits_benchmark`), and folders
//! (`nats`), which are converted to the plain form.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::benchmark::Benchmark;
use crate::bytes::{FileError, read_table_file};
use crate::csv_table::TableError;
use crate::digits_benchmark::{self, DigitsTable};
use crate::table::Nasbench201Table;

/// The published table is 4.1 MB; a longer number format may triple it.
const LIMIT: u64 = 64 << 20;

/// A table file that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TableFileError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its content.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A table in one of the known forms.
#[derive(Debug, Clone)]
pub enum KnownTable {
    /// NAS-Bench-201 as published.
    Nasbench201(Nasbench201Table),
    /// Reprise's own benchmark on the digits.
    Digits(DigitsTable),
}

impl KnownTable {
    /// Reads a file, packed by gzip or plain; `arch_str` gives the architecture
    /// that belongs at each index.
    pub fn read_file(
        path: &Path,
        arch_str: &dyn Fn(u32) -> String,
    ) -> Result<Self, TableFileError> {
        let bytes = read_table_file(path, LIMIT)?;
        Ok(Self::read(&path.display().to_string(), &bytes, arch_str)?)
    }

    /// Reads uncompressed bytes; `file` names them in errors. A header of neither
    /// form is reported against the published table's.
    pub fn read(
        file: &str,
        bytes: &[u8],
        arch_str: &dyn Fn(u32) -> String,
    ) -> Result<Self, TableError> {
        if digits_benchmark::is_header(bytes) {
            DigitsTable::read(file, bytes).map(Self::Digits)
        } else {
            Nasbench201Table::read(file, bytes, arch_str).map(Self::Nasbench201)
        }
    }

    /// Writes the table in its plain form. Tables of the same numbers are written
    /// as the same bytes, so that they have the same digest.
    pub fn write_csv(
        &self,
        writer: impl Write,
        arch_str: &dyn Fn(u32) -> String,
    ) -> io::Result<()> {
        match self {
            Self::Nasbench201(table) => table.write_csv(writer, arch_str),
            Self::Digits(table) => table.write_csv(writer),
        }
    }

    /// The table as something to query.
    pub fn into_benchmark(self) -> Arc<dyn Benchmark> {
        match self {
            Self::Nasbench201(table) => Arc::new(table),
            Self::Digits(table) => Arc::new(table),
        }
    }
}
