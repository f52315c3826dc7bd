//! What can be wrong with certificates and credentials.

use std::io;
use std::path::PathBuf;

use super::identity::CredentialId;

/// A failure of the certificate authority or of its files.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// A file cannot be used.
    #[error("{operation} `{path}`")]
    File {
        /// What was tried.
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no CA.
    #[error("there is no certificate authority in `{0}`; make one with `reprise serve --init`")]
    NoAuthority(PathBuf),
    /// A file does not hold what it should.
    #[error(
        "`{path}` holds no {expected}; restore it, or delete the directory and run \
         `reprise serve --init` again"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The register cannot be read.
    #[error("read the register of credentials `{path}`")]
    Register {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The register is of a later version.
    #[error("the register of credentials `{path}` has format `{found}`, known is `{known}`")]
    Format {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format that is read.
        known: u32,
    },
    /// A certificate cannot be made.
    #[error("make a certificate")]
    Make(#[from] rcgen::Error),
    /// The certificates make no TLS server.
    #[error("use the certificates of `{directory}`")]
    Tls {
        /// Where they are.
        directory: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A host that cannot be in a certificate.
    #[error("`{0}` is neither a host name nor an IP address")]
    Host(String),
    /// A name that cannot be in a credential.
    #[error("name `{0}` is not usable: expected 1 to 64 letters, digits, `.`, `_`, `-`")]
    Name(String),
    /// No such credential.
    #[error("there is no credential `{0}`; `reprise token list` names them")]
    Unknown(CredentialId),
    /// The system gives no random numbers.
    #[error("get random numbers from the system")]
    Entropy,
}
