//! The worker: runs tasks on this machine's slots and reports what they found.
//!
//! It only dials out, goes on computing when the coordinator is away, keeps every
//! finished result on its own disk until it is acknowledged, and takes its
//! running attempts along over reconnections. It has no libtorch: what needs that runs in
//! a child process ([`torch`]).

pub mod artifacts;
pub mod checkpoints;
pub mod cli;
pub mod identity;
pub mod logs;
mod outcome;
pub mod packing;
pub mod preemption;
pub mod progress;
mod queue;
pub mod runner;
pub mod session;
pub mod slots;
pub mod spool;
pub mod supervisor;
pub mod torch;
