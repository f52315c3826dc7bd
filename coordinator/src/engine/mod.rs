//! The engine: one loop that owns the core. It takes requests, lets the core
//! decide, makes the decisions durable in one commit for all requests that are
//! waiting, and only then answers and acts (INV-6).
//!
//! The core runs ahead of the journal within one turn of the loop. When the
//! commit fails the loop ends and the process with it: nothing that was not
//! durable has been seen outside, and a restart reads what is.

mod act;
mod attempts;
mod compactor;
mod handle;
mod history;
mod questions;
mod references;
mod report;
mod service;
mod told;
mod turn;
mod unarchive;
mod wakeup;

pub use handle::{
    Assignment, Greeting, Handle, OutboxMessage, SessionId, SubmitError, Unavailable,
};
pub use questions::{FailurePage, Standing};
pub(crate) use service::now;
pub use service::{Config, EngineError, Service};
pub use told::Listener;
pub use unarchive::{Settled, UnarchiveError};
