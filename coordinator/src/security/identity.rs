//! The holder of a client certificate, as the certificate states it.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use x509_parser::x509::AttributeTypeAndValue;

use super::scope::Scope;

/// The number of a credential: its certificate's serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialId(u64);

impl CredentialId {
    /// An id of random bits. The topmost are fixed, so that every id is a
    /// positive number of eight bytes, as serial numbers are written.
    pub(super) fn from_random(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes) & !(0b11 << 62) | (1 << 62))
    }

    /// The serial number.
    pub(super) const fn serial(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Text that is not the id of a credential.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not the id of a credential: expected 16 hexadecimal digits")]
pub struct CredentialIdError(String);

impl FromStr for CredentialId {
    type Err = CredentialIdError;

    fn from_str(text: &str) -> Result<Self, CredentialIdError> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number
            .map(Self)
            .ok_or_else(|| CredentialIdError(text.to_owned()))
    }
}

impl TryFrom<String> for CredentialId {
    type Error = CredentialIdError;

    fn try_from(text: String) -> Result<Self, CredentialIdError> {
        text.parse()
    }
}

impl From<CredentialId> for String {
    fn from(id: CredentialId) -> Self {
        id.to_string()
    }
}

/// What a certificate says of its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Which credential.
    pub id: CredentialId,
    /// What it is for.
    pub scope: Scope,
    /// Whose it is, for people.
    pub name: String,
    /// When it ends.
    pub expires: SystemTime,
}

/// A certificate that our CA signed and that is not a credential.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// Something is not in it.
    #[error("the certificate has no valid {0}")]
    Part(&'static str),
}

impl Identity {
    /// Reads a certificate whose signature was checked.
    pub fn read(der: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) =
            x509_parser::parse_x509_certificate(der).map_err(|_| IdentityError::Unreadable)?;
        let serial: [u8; 8] = certificate
            .raw_serial()
            .try_into()
            .map_err(|_| IdentityError::Part("serial number"))?;
        let subject = certificate.subject();
        let scope = text(subject.iter_organizational_unit())
            .and_then(|text| text.parse().ok())
            .ok_or(IdentityError::Part("scope"))?;
        let name = text(subject.iter_common_name()).ok_or(IdentityError::Part("name"))?;
        let expires = u64::try_from(certificate.validity().not_after.timestamp())
            .map_err(|_| IdentityError::Part("end"))?;
        Ok(Self {
            id: CredentialId(u64::from_be_bytes(serial)),
            scope,
            name: name.to_owned(),
            expires: UNIX_EPOCH + Duration::from_secs(expires),
        })
    }
}

fn text<'a>(mut values: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Option<&'a str> {
    // Two values would be ambiguous.
    let value = values.next().filter(|_| values.next().is_none())?;
    value.as_str().ok()
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` ({})", self.scope, self.name, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_from_text() {
        for bytes in [[0; 8], [0xff; 8], [1, 2, 3, 4, 5, 6, 7, 8]] {
            let id = CredentialId::from_random(bytes);
            assert_eq!(id.to_string().parse::<CredentialId>().unwrap(), id);
            assert!((0x40..0x80).contains(&id.serial()[0]));
        }
        for wrong in ["", "1", "+123456789abcdef", "0123456789abcdefg"] {
            assert!(wrong.parse::<CredentialId>().is_err(), "`{wrong}`");
        }
    }

    #[test]
    fn what_is_not_a_certificate_is_nobody() {
        assert!(matches!(
            Identity::read(b"nothing"),
            Err(IdentityError::Unreadable)
        ));
    }
}
