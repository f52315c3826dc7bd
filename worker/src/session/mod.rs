//! The session with the coordinator: one loop that owns the queue, the slots and
//! the spool, connected or not.
//!
//! A connection is a pair of channels that comes and goes; nothing of the state
//! lives in it. The only module besides `reprise-proto` that names generated
//! types is `connection`.

mod config;
mod connection;
mod delivery;
mod held;
mod sending;
mod service;

pub use config::{Config, SessionError};
pub use service::Service;
