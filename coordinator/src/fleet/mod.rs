//! Workers on engines that people already run: Slurm, Kubernetes, Google Cloud.
//!
//! [`policy`] decides how many workers there should be, [`engine::Engine`] is the
//! interface of an engine, [`service`] is the loop between them and [`ledger`] counts
//! the cost. The coordinator decides which tasks a worker gets; this module is one of
//! its clients.

pub mod backoff;
mod clock;
mod cloud_init;
pub mod engine;
mod gcp;
pub mod home;
mod kubernetes;
pub mod ledger;
pub mod policy;
pub mod program;
pub mod service;
pub mod setup;
mod slurm;
pub mod workload;

pub(crate) use clock::unix_now;
