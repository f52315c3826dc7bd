//! Workers on engines that people already run: Slurm, Kubernetes, Google Cloud.
//!
//! [`policy`] decides how many workers there should be, [`engine::Engine`] is what
//! is asked of an engine, [`service`] is the loop between them and [`ledger`] counts
//! what it costs. What tasks a worker gets is the coordinator's business, which
//! this module knows only as a client does.

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
