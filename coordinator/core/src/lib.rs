//! The pure heart of the coordinator: what a study consists of ([`plan`]), what
//! has become of it ([`lifecycle`]), and who works on what next ([`scheduler`]).
//!
//! Everything here is a function of its arguments. There is no IO, no clock, no
//! randomness and no thread: the shell passes the time in, appends the events
//! that come out to its journal, and then carries out the actions.

#![warn(missing_docs)]

pub mod lifecycle;
pub mod message;
pub mod plan;
pub mod scheduler;
mod time;

pub use time::Timestamp;
