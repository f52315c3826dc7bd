//! The coordinator's end of TLS: its certificate, and who is let in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reprise_proto::credential::ALPN;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::error::SecurityError;
use super::files;
use super::register::Watched;

/// What a coordinator that encrypts needs: certificate, CA and register.
#[derive(Debug)]
pub struct Security {
    pub(super) tls: Arc<ServerConfig>,
    pub(super) register: Watched,
}

impl Security {
    /// Where the security files of a state directory are.
    pub fn directory(state: &Path) -> PathBuf {
        state.join("security")
    }

    /// Reads what `reprise serve --init` made in a state directory; nothing when
    /// it was never called. A directory that is there and incomplete is an error:
    /// damage must not turn encryption off.
    pub fn open(state: &Path) -> Result<Option<Self>, SecurityError> {
        let directory = Self::directory(state);
        if !directory.exists() {
            return Ok(None);
        }
        if !directory.join("ca.pem").exists() {
            return Err(SecurityError::NoAuthority(directory));
        }
        let authority = certificate(&directory.join("ca.pem"))?;
        let own = certificate(&directory.join("server.pem"))?;
        let path = directory.join("server.key");
        let key = PrivateKeyDer::from_pem_slice(files::read(&path)?.as_bytes()).map_err(|_| {
            SecurityError::Damaged {
                path,
                expected: "private key",
            }
        })?;
        let tls = config(authority, own, key).map_err(|source| SecurityError::Tls {
            directory: directory.clone(),
            source,
        })?;
        Ok(Some(Self {
            tls: Arc::new(tls),
            register: Watched::open(&directory)?,
        }))
    }
}

fn config(
    authority: CertificateDer<'static>,
    own: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        // Both ends are ours, so there is nobody who needs an older version.
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![own], key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would not have its certificate looked at again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn certificate(path: &Path) -> Result<CertificateDer<'static>, SecurityError> {
    CertificateDer::from_pem_slice(files::read(path)?.as_bytes()).map_err(|_| {
        SecurityError::Damaged {
            path: path.to_owned(),
            expected: "certificate",
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::authority::Authority;
    use super::super::scope::Scope;
    use super::*;

    #[test]
    fn a_state_without_security_is_told_from_a_damaged_one() {
        let state = tempfile::tempdir().unwrap();
        assert!(Security::open(state.path()).unwrap().is_none());
        let directory = Security::directory(state.path());
        std::fs::create_dir(&directory).unwrap();
        assert!(Security::open(state.path()).is_err());

        let now = SystemTime::now();
        let authority = Authority::open_or_make(&directory, now).unwrap();
        authority.issue_server(&[], now).unwrap();
        authority.issue(Scope::Admin, "admin", now, now).unwrap();
        assert!(Security::open(state.path()).unwrap().is_some());
        // Serving does not need the CA's key.
        std::fs::remove_file(directory.join("ca.key")).unwrap();
        assert!(Security::open(state.path()).unwrap().is_some());
        std::fs::write(directory.join("server.pem"), "").unwrap();
        assert!(matches!(
            Security::open(state.path()),
            Err(SecurityError::Damaged { .. })
        ));
    }
}
