//! Tests of the core through its public interface: one unit-sized test for each
//! known bug of such systems, and a simulated cluster for the unknown ones.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod archives;
mod audits;
mod checkpoints;
mod deleting;
mod fixtures;
mod lab;
mod lifecycle;
mod limits;
mod plan;
mod programs;
mod releases;
mod reopening;
mod replay;
mod restores;
mod scheduler;
mod sessions;
mod simulation;
mod snapshots;
mod stragglers;
mod studies;
