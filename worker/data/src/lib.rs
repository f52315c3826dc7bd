//! Benchmark files and published checkpoints: what searches are answered from,
//! and what other people trained.
//!
//! Everything here reads files that somebody else made. A file may be wrong,
//! huge or hostile: every reader has a bound on memory and time, executes
//! nothing, and its errors say where the file departs from what was expected.
//!
//! Not here: downloading, caching by digest, the search spaces themselves, and
//! libtorch. A caller that knows a space passes the text it expects for each
//! index.

#![warn(missing_docs)]

pub mod benchmark;
mod builtin;
pub mod bytes;
mod csv_table;
pub mod digits_benchmark;
mod known_table;
pub mod nats;
pub mod npz;
pub mod pickle;
pub mod table;
pub mod torch_checkpoint;

pub use benchmark::{Benchmark, Guiding, QueryError, Reported};
pub use builtin::builtin;
pub use bytes::{FileError, Hasher, SizeError, digest};
pub use csv_table::TableError;
pub use digits_benchmark::{DigitsRow, DigitsTable};
pub use known_table::{KnownTable, TableFileError};
pub use nats::{NatsError, NatsFolder};
pub use table::{Nasbench201Row, Nasbench201Table};
pub use torch_checkpoint::{CheckpointError, NamedTensor};
