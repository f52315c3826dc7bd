//! The gRPC edge: the only place of this package that names generated types.

mod archive;
mod artifact;
mod guard;
mod logs;
mod operation;
mod page;
mod server;
mod study;
mod submission;
mod task;
mod watch;
mod worker;

pub use server::{Server, ServerError};
