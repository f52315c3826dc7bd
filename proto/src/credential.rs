//! A credential: what a client or a worker shows to a coordinator, and the CA by
//! which it knows the coordinator. One PEM file holds the client's certificate,
//! its private key and the certificate of the CA, in any order of key and
//! certificates as long as the client's comes before the CA's.
//!
//! Making credentials is the coordinator's part.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::file::{Readers, read_secret};

/// The protocol inside the encryption, as both ends name it.
pub const ALPN: &[u8] = b"h2";

/// Bytes of a credential's file: two certificates and a key take 2,000.
const MAX_BYTES: u64 = 64 << 10;

/// A parsed credential, ready to connect with.
#[derive(Clone)]
pub struct Credential {
    tls: Arc<ClientConfig>,
}

/// A credential that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("read the credential `{path}`")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file does not hold what it should.
    #[error("credential `{path}` {problem}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with its text.
        problem: ContentError,
    },
}

/// Text that is not a credential.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// A part is missing or damaged.
    #[error("has no readable {part}; it must be the whole file that `reprise token` wrote")]
    Part {
        /// Which part.
        part: &'static str,
    },
    /// The parts do not belong together.
    #[error("holds parts that do not belong together: {0}")]
    Unusable(rustls::Error),
}

impl Credential {
    /// Reads a credential's file, which others may not be able to read.
    pub fn read(path: &Path) -> Result<Self, CredentialError> {
        let text = read_secret(path, MAX_BYTES, Readers::Group).map_err(|source| {
            CredentialError::Read {
                path: path.to_owned(),
                source,
            }
        })?;
        Self::parse(text.as_bytes()).map_err(|problem| CredentialError::File {
            path: path.to_owned(),
            problem,
        })
    }

    /// Reads a credential.
    pub fn parse(pem: &[u8]) -> Result<Self, ContentError> {
        let missing = |part| ContentError::Part { part };
        let mut certificates = CertificateDer::pem_slice_iter(pem);
        let mut certificate = |part| {
            let next = certificates.next().and_then(Result::ok);
            next.ok_or_else(|| missing(part))
        };
        let own = certificate("certificate")?;
        let authority = certificate("certificate of the CA")?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| missing("private key"))?;

        let mut roots = RootCertStore::empty();
        roots.add(authority).map_err(ContentError::Unusable)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(ContentError::Unusable)?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![own], key)
            .map_err(ContentError::Unusable)?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
        // Every connection shows its certificate; see the coordinator's end.
        tls.resumption = Resumption::disabled();
        Ok(Self { tls: Arc::new(tls) })
    }

    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }
}

impl fmt::Debug for Credential {
    /// Says nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_part_is_named() {
        let error = Credential::parse(b"").unwrap_err().to_string();
        assert!(error.contains("no readable certificate;"), "{error}");
        let half = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let error = Credential::parse(half).unwrap_err().to_string();
        assert!(
            error.contains("no readable certificate of the CA"),
            "{error}"
        );
        let both = half.repeat(2);
        let error = Credential::parse(&both).unwrap_err().to_string();
        assert!(error.contains("no readable private key"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Credential::read(Path::new("nowhere.pem")).unwrap_err();
        assert_eq!(error.to_string(), "read the credential `nowhere.pem`");
    }

    #[test]
    fn a_file_that_holds_something_else_is_named_and_others_may_not_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("worker.pem");
        std::fs::write(&path, "").unwrap();
        let allow = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
        allow(0o440).unwrap();
        let said = Credential::read(&path).unwrap_err().to_string();
        let named = format!(
            "credential `{}` has no readable certificate;",
            path.display()
        );
        assert!(said.starts_with(&named), "{said}");
        allow(0o644).unwrap();
        assert!(matches!(
            Credential::read(&path),
            Err(CredentialError::Read { .. })
        ));
    }
}
