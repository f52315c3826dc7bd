//! The coordinator: takes studies, shards them over workers, keeps what they
//! find, and turns it into tables. Builds and runs without libtorch.
//!
//! The decisions are `reprise-core`'s, the numbers `reprise-stats`'; here are the
//! shell around them (engine, journal, artifacts, gRPC) and the command line.

pub mod api;
mod architectures;
pub mod archive;
pub mod artifact;
mod background;
pub mod cli;
pub mod client;
pub mod engine;
mod environment;
pub mod estimate;
pub mod fleet;
pub mod gc;
pub mod instance;
pub mod local;
pub mod reading;
mod repeats;
pub mod report;
pub mod security;
pub mod state;
pub mod store;
