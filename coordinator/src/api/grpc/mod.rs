//! The gRPC edge: the only place of this package that names generated types.

mod artifact;
mod guard;
mod server;
mod study;
mod submission;
mod submission;
mod worker;

pub use server::{Server, ServerError};
