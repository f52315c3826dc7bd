//! Statistics of repeated runs, the tables made of them, and their exporters.
//!
//! Everything here is a pure function of stored outcomes (INV-8): samples come
//! in as [`RunSet`]s, tables and figures go out as text, and whoever calls
//! writes the files. There is no clock, no file, and no entropy but the fixed
//! streams of the bootstrap, so equal outcomes give equal bytes in any order.
//!
//! What is not here: where outcomes are stored, which runs a study plans, and
//! any opinion on when to stop.

#![warn(missing_docs)]

pub mod curve;
pub mod experiment;
pub mod export;
pub mod format;
pub mod hypothesis;
pub mod interval;
pub mod multiplicity;
pub mod power;
pub mod sample;
pub mod student;
pub mod summary;
pub mod table;

#[cfg(test)]
mod testing;

pub use experiment::{LevelSet, ProgramRun};
pub use sample::{Final, Group, Incumbent, Run, RunId, RunSet, Runs, SampleError, Split};
pub use summary::Summary;
pub use table::{Cell, Column, Table};
