//! Decides on every request, and logs each refusal once, with the caller.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use reprise_proto::status::{ApiError, ErrorCode};

use super::acceptor::Peer;
use super::register::{Standing, Watched};
use super::scope::Scope;
use crate::repeats::{Novelty, Repeats};

/// The register in force, and what was refused lately.
#[derive(Debug)]
pub struct Access {
    /// `None` if connections are in plaintext: then everybody who reaches the address
    /// may do everything.
    register: Option<Mutex<Watched>>,
    refused: Mutex<Repeats<(IpAddr, String)>>,
}

impl Access {
    pub(super) fn new(register: Option<Watched>) -> Self {
        Self {
            register: register.map(Mutex::new),
            refused: Mutex::new(Repeats::new()),
        }
    }

    /// Whether `peer` may call the gRPC method `method` now.
    fn check(&self, peer: &Peer, method: &str) -> Result<(), ApiError> {
        let Some(register) = &self.register else {
            return Ok(());
        };
        let Some(identity) = peer.identity() else {
            return Err(ApiError::new(
                ErrorCode::Unauthenticated,
                "the connection shows no credential",
            ));
        };
        let standing = locked(register).standing(identity, Instant::now());
        let ended = match standing {
            Standing::Valid => None,
            Standing::Expired => Some("has expired"),
            Standing::Revoked => Some("was revoked"),
            Standing::Unknown => Some("is not in the coordinator's register"),
        };
        if let Some(ended) = ended {
            return Err(ApiError::new(
                ErrorCode::Unauthenticated,
                format_args!("credential {identity} {ended}"),
            )
            .hint("make a new one with `reprise token worker|client|viewer`"));
        }
        if identity.scope.may_call(method) {
            return Ok(());
        }
        let call = method.rsplit('.').next().unwrap_or(method);
        Err(ApiError::new(
            ErrorCode::Forbidden,
            format_args!("a credential of scope `{}` may not call `{call}`", identity.scope),
        )
        .hint("workers need one of `reprise token worker`, people one of `reprise token client`, or of `reprise token viewer` to read only"))
    }

    /// Logs a connection that was refused.
    pub(super) fn connection_refused(&self, address: SocketAddr, reason: &str) {
        if self.is_new(address, reason.to_owned()) {
            tracing::warn!(peer = %address, reason, "connection refused");
        }
    }

    fn is_new(&self, address: SocketAddr, text: String) -> bool {
        // An address of IPv4 is the same one however it came in.
        let key = (address.ip().to_canonical(), text);
        let novelty = locked(&self.refused).note(key, Instant::now());
        if novelty == Novelty::Full {
            tracing::warn!("too many different refusals; more are not logged for ten minutes");
        }
        novelty == Novelty::New
    }
}

/// The sender of a request and its method; a stream asks it again whether it may go
/// on.
#[derive(Debug, Clone)]
pub struct Caller {
    access: Arc<Access>,
    peer: Peer,
    method: Arc<str>,
}

impl Caller {
    /// The sender of a request for `method`.
    pub fn new(access: Arc<Access>, peer: Peer, method: &str) -> Self {
        Self {
            access,
            peer,
            method: method.into(),
        }
    }

    /// Whether the request may be done, or go on.
    pub fn check(&self) -> Result<(), ApiError> {
        self.access.check(&self.peer, &self.method)
    }

    /// The holder of its credential, for logs.
    pub fn holder(&self) -> String {
        self.peer
            .identity()
            .map_or_else(|| "anybody".to_owned(), ToString::to_string)
    }

    /// The name in the credential of somebody who may not do everything.
    pub fn client(&self) -> Option<&str> {
        let identity = self.peer.identity();
        let limited = identity.filter(|identity| identity.scope != Scope::Admin);
        limited.map(|identity| identity.name.as_str())
    }

    /// Where it came from.
    pub fn address(&self) -> SocketAddr {
        self.peer.address()
    }

    /// Logs that the request was refused.
    pub fn refused(&self, error: &ApiError) {
        let (holder, method) = (self.holder(), &self.method);
        let text = format!("{holder} {method} {error}");
        if self.access.is_new(self.address(), text) {
            tracing::warn!(
                peer = %self.address(), credential = holder, method = &**method, reason = %error,
                "request refused"
            );
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
