//! The private CA: makes it, and issues the server's certificate and credentials.
//!
//! Its files, in the `security` directory of the coordinator's state:
//! `ca.pem` and `ca.key`, `server.pem` and `server.key`, `credentials.json`.
//! Serving does not need `ca.key`: it may be kept elsewhere between issues.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls::pki_types::ServerName;

use super::error::SecurityError;
use super::files::{self, Mode};
use super::identity::CredentialId;
use super::lifetime::Lifetime;
use super::register::{Entry, Register, seconds};
use super::scope::Scope;

/// Certificates count from a day ago, for machines whose clock is behind.
const BACKDATE: Duration = Duration::from_hours(24);

/// How long the CA lasts: longer than anything that it signs on its first day.
const CA_LIFETIME: Duration = Duration::from_hours(20 * 365 * 24);

/// The authority with its key.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a CA in `directory`, or opens the one that is there.
    pub fn open_or_make(directory: &Path, now: SystemTime) -> Result<Self, SecurityError> {
        if !directory.join("ca.pem").exists() {
            files::make_directory(directory)?;
            let _lock = files::lock(directory)?;
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            // An own name, so that a certificate of another CA is told at once.
            params.distinguished_name = name(&format!("Reprise CA {}", random_id()?), None);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            params.not_before = (now - BACKDATE).into();
            params.not_after = (now + CA_LIFETIME).into();
            let certificate = params.self_signed(&key)?;
            // The certificate last: where it is, the key is.
            let secret = key.serialize_pem();
            files::replace(&directory.join("ca.key"), &secret, Mode::Secret)?;
            files::replace(&directory.join("ca.pem"), &certificate.pem(), Mode::Public)?;
        }
        Self::open(directory)
    }

    /// Opens the CA of `directory`.
    pub fn open(directory: &Path) -> Result<Self, SecurityError> {
        if !directory.join("ca.pem").exists() {
            return Err(SecurityError::NoAuthority(directory.to_owned()));
        }
        let certificate = files::read(&directory.join("ca.pem"))?;
        let path = directory.join("ca.key");
        let damaged = |expected| SecurityError::Damaged {
            path: path.clone(),
            expected,
        };
        let key =
            KeyPair::from_pem(&files::read_key(&path)?).map_err(|_| damaged("private key"))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)
            .map_err(|_| damaged("key of a certificate authority"))?;
        Ok(Self {
            directory: directory.to_owned(),
            certificate,
            issuer,
        })
    }

    /// Makes the server's certificate for these hosts and this machine itself.
    pub fn issue_server(&self, hosts: &[String], now: SystemTime) -> Result<(), SecurityError> {
        let own = [
            "localhost".to_owned(),
            IpAddr::from(Ipv4Addr::LOCALHOST).to_string(),
            IpAddr::from(Ipv6Addr::LOCALHOST).to_string(),
        ];
        let mut all: Vec<String> = hosts.to_vec();
        all.extend(own);
        all.sort();
        all.dedup();
        if let Some(wrong) = all
            .iter()
            .find(|host| ServerName::try_from(host.as_str()).is_err())
        {
            return Err(SecurityError::Host(wrong.clone()));
        }
        let mut params = CertificateParams::new(all)?;
        params.distinguished_name = name("Reprise coordinator", None);
        params.not_after = (now + Lifetime::LONGEST.duration()).into();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (certificate, key) = self.sign(params, random_id()?, now)?;
        let _lock = files::lock(&self.directory)?;
        let path = |file| self.directory.join(file);
        files::replace(&path("server.key"), &key, Mode::Secret)?;
        files::replace(&path("server.pem"), &certificate, Mode::Public)
    }

    /// Makes a credential and enters it in the register. Returns its id and its
    /// file's text: certificate, private key, the CA's certificate.
    pub fn issue(
        &self,
        scope: Scope,
        holder: &str,
        expires: SystemTime,
        now: SystemTime,
    ) -> Result<(CredentialId, String), SecurityError> {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !(1..=64).contains(&holder.len()) || !holder.bytes().all(usable) {
            return Err(SecurityError::Name(holder.to_owned()));
        }
        let id = random_id()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(holder, Some(scope));
        params.not_after = expires.into();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (certificate, key) = self.sign(params, id, expires.min(now))?;
        Register::update(&self.directory, |register| {
            register.add(Entry {
                id,
                scope,
                name: holder.to_owned(),
                issued: seconds(now),
                expires: seconds(expires),
                revoked: None,
            });
            Ok(())
        })?;
        Ok((id, format!("{certificate}{key}{}", self.certificate)))
    }

    /// The same into a file that is not there yet, for its owner only.
    pub fn issue_to(
        &self,
        path: &Path,
        scope: Scope,
        holder: &str,
        expires: SystemTime,
        now: SystemTime,
    ) -> Result<CredentialId, SecurityError> {
        // The file first: without it, no credential is to be in the register.
        let file = files::create_secret(path)?;
        let issued = self
            .issue(scope, holder, expires, now)
            .and_then(|(id, pem)| {
                files::fill(file, path, &pem)?;
                Ok(id)
            });
        if issued.is_err() {
            files::remove(path);
        }
        issued
    }

    /// The same into a file of `directory` that is named by scope and id.
    pub fn issue_in(
        &self,
        directory: &Path,
        scope: Scope,
        holder: &str,
        expires: SystemTime,
        now: SystemTime,
    ) -> Result<(CredentialId, PathBuf), SecurityError> {
        let (id, pem) = self.issue(scope, holder, expires, now)?;
        let path = directory.join(format!("{scope}-{id}.pem"));
        files::fill(files::create_secret(&path)?, &path, &pem)?;
        Ok((id, path))
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        id: CredentialId,
        now: SystemTime,
    ) -> Result<(String, String), SecurityError> {
        params.serial_number = Some(SerialNumber::from_slice(&id.serial()));
        params.not_before = (now - BACKDATE).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

fn name(common: &str, unit: Option<Scope>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    if let Some(scope) = unit {
        name.push(DnType::OrganizationalUnitName, scope.as_str());
    }
    name
}

fn random_id() -> Result<CredentialId, SecurityError> {
    let mut bytes = [0; 8];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| SecurityError::Entropy)?;
    Ok(CredentialId::from_random(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use reprise_proto::credential::Credential;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::super::identity::Identity;
    use super::super::register::Standing;
    use super::*;

    #[test]
    fn a_credential_says_who_it_is_and_is_in_the_register() {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().join("security");
        // Whole seconds, as certificates count them.
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let authority = Authority::open_or_make(&directory, now).unwrap();
        let expires = now + Duration::from_hours(1);
        let (id, pem) = authority.issue(Scope::Viewer, "ada", expires, now).unwrap();
        Credential::parse(pem.as_bytes()).unwrap();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let identity = Identity::read(&certificate).unwrap();
        assert_eq!(
            identity,
            Identity {
                id,
                scope: Scope::Viewer,
                name: "ada".to_owned(),
                expires,
            }
        );
        let register = Register::read(&directory).unwrap();
        assert_eq!(register.standing(&identity, now), Standing::Valid);
        assert_eq!(register.standing(&identity, expires), Standing::Expired);
    }

    #[test]
    fn the_authority_is_made_once_and_its_keys_are_its_owners() {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().join("security");
        let now = SystemTime::now();
        let first = Authority::open_or_make(&directory, now).unwrap();
        let again = Authority::open_or_make(&directory, now).unwrap();
        assert_eq!(first.certificate, again.certificate);
        first
            .issue_server(&["host.example".to_owned(), "10.0.0.7".to_owned()], now)
            .unwrap();
        for file in ["ca.key", "server.key"] {
            let mode = std::fs::metadata(directory.join(file)).unwrap();
            assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{file}");
        }
        let mode = std::fs::metadata(&directory).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_key_that_others_can_read_signs_nothing() {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().join("security");
        Authority::open_or_make(&directory, SystemTime::now()).unwrap();
        let key = directory.join("ca.key");
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = Authority::open(&directory).unwrap_err();
            let reason = std::error::Error::source(&error).unwrap().to_string();
            let command = format!("chmod 600 {}", key.display());
            assert!(reason.contains(&command), "{mode:o}: {reason}");
        }
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400)).unwrap();
        Authority::open(&directory).unwrap();
    }

    #[test]
    fn names_and_hosts_are_checked() {
        let state = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        assert!(matches!(
            Authority::open(state.path()),
            Err(SecurityError::NoAuthority(_))
        ));
        let authority = Authority::open_or_make(state.path(), now).unwrap();
        for wrong in ["", "a b", "a\nb", "a/b", &"a".repeat(65)] {
            assert!(matches!(
                authority.issue(Scope::Worker, wrong, now, now),
                Err(SecurityError::Name(_))
            ));
        }
        assert!(matches!(
            authority.issue_server(&["no host".to_owned()], now),
            Err(SecurityError::Host(_))
        ));
    }
}
