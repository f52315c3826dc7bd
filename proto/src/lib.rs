//! The wire: schema, committed bindings, conversions and the error vocabulary.
//!
//! What belongs here is the translation between bytes and `reprise-domain`, and what
//! both ends of a connection share: dialling, credentials and reading small files.
//! Generated types ([`pb`]) stay at the edges, which `tests/tests/tidy.rs` lists.
//!
//! Version policy: [`PROTOCOL_VERSION`] is raised when an old peer would
//! misunderstand a new one, or would compute something else for the same task
//! ([`reprise_domain::task::ALGORITHMS`]). Adding an optional field does not raise it;
//! peers of different versions refuse each other by name.

#![warn(missing_docs)]

#[cfg(feature = "client")]
pub mod client;
pub mod convert;
#[cfg(feature = "client")]
pub mod credential;
#[cfg(feature = "client")]
mod dial;
#[cfg(feature = "client")]
pub mod file;
pub mod status;

/// Generated bindings; `tests/codegen.rs` keeps them current.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    reason = "generated code"
)]
pub mod pb {
    include!("gen/reprise.v1.rs");
}

/// The schema as server reflection tells it: a serialised `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!("gen/reprise.v1.bin");

/// Version of the worker protocol.
pub const PROTOCOL_VERSION: u32 = 3;

/// Largest message that either side accepts, in bytes. Results are a few
/// kilobytes and artifacts travel in chunks; a study of a million listed seeds
/// is 7 MB.
pub const MAX_MESSAGE_BYTES: usize = 32 << 20;

/// Largest chunk of an artifact, in bytes.
pub const CHUNK_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use reprise_domain::task::ALGORITHMS;

    use super::*;

    /// A worker that computes by another version must not be welcomed. Whoever changes
    /// the versions changes the protocol.
    #[test]
    fn the_protocol_is_raised_with_the_algorithms() {
        let algorithms = [
            ("pretrain", 2),
            ("search", 2),
            ("evaluate", 2),
            ("noop", 1),
            ("program", 1),
        ];
        assert_eq!((PROTOCOL_VERSION, ALGORITHMS), (3, algorithms));
    }
}
