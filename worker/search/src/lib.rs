//! Search spaces, encodings and search methods: pure algorithms without clock,
//! filesystem, network or entropy. Everything random draws from [`rng::Stream`],
//! whose key is part of the task, so that a run's numbers depend on its task
//! alone (INV-7).
//!
//! Not here: the autoencoder that makes embeddings (`reprise-torch`) and the
//! files that accuracies are read from (`reprise-data`).

#![warn(missing_docs)]

pub mod embedding;
pub mod method;
pub mod rng;
pub mod space;
pub mod surrogate;
pub mod trial;
