//! Who may do what: a private CA, the credentials that it issued, and the TLS
//! that every connection from outside goes through.
//!
//! A credential is a client certificate of our CA. It says who its holder is
//! (id, scope, name) and until when; the register says whether it still counts.
//! What a scope may call is a table ([`Scope::may_call`]); it is looked up in one
//! place, the guard of the gRPC services.

mod acceptor;
mod access;
mod authority;
mod error;
mod files;
mod identity;
mod lifetime;
mod register;
mod room;
mod scope;
mod tls;

pub use acceptor::{Acceptor, Connection, Peer};
pub use access::{Access, Caller};
pub use authority::Authority;
pub use error::SecurityError;
pub use identity::{CredentialId, Identity};
pub use lifetime::{Lifetime, LifetimeError};
pub use register::{Entry, Register, Standing};
pub use scope::Scope;
pub use tls::Security;
