//! The register of issued credentials, `security/credentials.json`. A credential
//! that is not in it does not count, whoever signed it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::error::SecurityError;
use super::files::{self, Mode};
use super::identity::{CredentialId, Identity};
use super::scope::Scope;

/// The form of the file; raised when an old program would misread a new file.
const FORMAT: u32 = 1;

/// Bytes of a register: about 80,000 credentials.
const MAX_BYTES: u64 = 16 << 20;

/// Least time between two looks at the file. Every message of a worker asks, and
/// looking blocks a thread that serves others as well.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// One issued credential. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which.
    pub id: CredentialId,
    /// What it is for.
    pub scope: Scope,
    /// Whose it is.
    pub name: String,
    /// When it was made.
    pub issued: u64,
    /// When it ends.
    pub expires: u64,
    /// When it was revoked.
    pub revoked: Option<u64>,
}

/// Whether a credential counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Valid,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
    /// It is not in the register, or not as the certificate says.
    Unknown,
}

/// All issued credentials, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    format: u32,
    credentials: Vec<Entry>,
}

impl Default for Register {
    fn default() -> Self {
        Self {
            format: FORMAT,
            credentials: Vec::new(),
        }
    }
}

impl Register {
    /// Reads the register of a security directory.
    pub fn read(directory: &Path) -> Result<Self, SecurityError> {
        let path = path(directory);
        let text = files::read_up_to(&path, MAX_BYTES)?;
        let register: Self =
            serde_json::from_str(&text).map_err(|source| SecurityError::Register {
                path: path.clone(),
                source,
            })?;
        if register.format == FORMAT {
            Ok(register)
        } else {
            Err(SecurityError::Format {
                path,
                found: register.format,
                known: FORMAT,
            })
        }
    }

    /// Reads the register, changes it and writes it, with no other process doing
    /// so meanwhile.
    pub(super) fn update<T>(
        directory: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, SecurityError>,
    ) -> Result<T, SecurityError> {
        let _lock = files::lock(directory)?;
        let mut register = if path(directory).exists() {
            Self::read(directory)?
        } else {
            Self::default()
        };
        let answer = change(&mut register)?;
        // Plain maps of text and numbers always serialise.
        let text = serde_json::to_string_pretty(&register).unwrap_or_default();
        files::replace(&path(directory), &text, Mode::Secret)?;
        Ok(answer)
    }

    /// Revokes a credential; tells whether it counted until now.
    pub fn revoke(
        directory: &Path,
        id: CredentialId,
        now: SystemTime,
    ) -> Result<bool, SecurityError> {
        Self::update(directory, |register| {
            let mut entries = register.credentials.iter_mut();
            let entry = entries
                .find(|entry| entry.id == id)
                .ok_or(SecurityError::Unknown(id))?;
            let first = entry.revoked.is_none();
            // The first time is the one that says since when it did not count.
            entry.revoked = entry.revoked.or(Some(seconds(now)));
            Ok(first)
        })
    }

    pub(super) fn add(&mut self, entry: Entry) {
        self.credentials.push(entry);
    }

    /// The credentials, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.credentials
    }

    /// Whether the holder of a certificate counts at `now`.
    pub fn standing(&self, holder: &Identity, now: SystemTime) -> Standing {
        let mut entries = self.credentials.iter();
        let entry = entries.find(|entry| entry.id == holder.id && entry.scope == holder.scope);
        if holder.expires <= now {
            return Standing::Expired;
        }
        entry.map_or(Standing::Unknown, |entry| entry.standing(now))
    }
}

impl Entry {
    /// Whether it counts at `now`.
    pub fn standing(&self, now: SystemTime) -> Standing {
        if self.revoked.is_some() {
            Standing::Revoked
        } else if self.expires <= seconds(now) {
            Standing::Expired
        } else {
            Standing::Valid
        }
    }
}

/// A register that is read again when its file has changed, which is noticed
/// within [`LOOK_INTERVAL`].
#[derive(Debug)]
pub(super) struct Watched {
    directory: PathBuf,
    seen: Option<Version>,
    looked: Option<Instant>,
    register: Register,
}

/// What tells one content of a file from another: every change is a new file
/// under the old name.
type Version = (u64, u64, i64, i64, u64);

impl Watched {
    pub(super) fn open(directory: &Path) -> Result<Self, SecurityError> {
        // Looked at first: a change between the two is then read again.
        let seen = version(directory);
        Ok(Self {
            register: Register::read(directory)?,
            directory: directory.to_owned(),
            seen,
            looked: None,
        })
    }

    /// The register as it is at `now`. When it cannot be read, the last one that
    /// could goes on counting, and that is logged once a change.
    pub(super) fn current(&mut self, now: Instant) -> &Register {
        let is_fresh = |at: Instant| now.saturating_duration_since(at) < LOOK_INTERVAL;
        if !self.looked.is_some_and(is_fresh) {
            self.looked = Some(now);
            self.look();
        }
        &self.register
    }

    /// Whether the holder of a certificate counts. One that is not known is looked
    /// for in the file at once: it may have been made this very moment.
    pub(super) fn standing(&mut self, holder: &Identity, now: Instant) -> Standing {
        let standing = self.current(now).standing(holder, SystemTime::now());
        if standing != Standing::Unknown {
            return standing;
        }
        self.look();
        self.register.standing(holder, SystemTime::now())
    }

    fn look(&mut self) {
        let found = version(&self.directory);
        if found != self.seen {
            self.seen = found;
            match Register::read(&self.directory) {
                Ok(register) => self.register = register,
                Err(error) => {
                    let reason = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, reason, "register of credentials not read; the last one goes on counting");
                }
            }
        }
    }
}

fn version(directory: &Path) -> Option<Version> {
    let of = |found: Metadata| {
        (
            found.dev(),
            found.ino(),
            found.mtime(),
            found.mtime_nsec(),
            found.len(),
        )
    };
    std::fs::metadata(path(directory)).ok().map(of)
}

fn path(directory: &Path) -> PathBuf {
    directory.join("credentials.json")
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn entry(byte: u8, expires: u64) -> Entry {
        Entry {
            id: CredentialId::from_random([byte; 8]),
            scope: Scope::Worker,
            name: "gpu".to_owned(),
            issued: 100,
            expires,
            revoked: None,
        }
    }

    fn holder(entry: &Entry) -> Identity {
        Identity {
            id: entry.id,
            scope: entry.scope,
            name: entry.name.clone(),
            expires: at(entry.expires),
        }
    }

    fn filled(entries: &[Entry]) -> Result<tempfile::TempDir, SecurityError> {
        let directory = tempfile::tempdir().map_err(|source| SecurityError::File {
            operation: "make",
            path: PathBuf::new(),
            source,
        })?;
        Register::update(directory.path(), |register| {
            entries
                .iter()
                .cloned()
                .for_each(|entry| register.add(entry));
            Ok(())
        })?;
        Ok(directory)
    }

    #[test]
    fn a_credential_counts_until_it_ends_or_is_revoked() {
        let (kept, other) = (entry(1, 200), entry(2, 200));
        let directory = filled(&[kept.clone(), other.clone()]).unwrap();
        let register = Register::read(directory.path()).unwrap();
        let standing = |entry: &Entry, now| register.standing(&holder(entry), at(now));
        assert_eq!(standing(&kept, 199), Standing::Valid);
        assert_eq!(standing(&kept, 200), Standing::Expired);
        assert_eq!(standing(&entry(3, 200), 199), Standing::Unknown);
        let promoted = Identity {
            scope: Scope::Admin,
            ..holder(&kept)
        };
        assert_eq!(register.standing(&promoted, at(199)), Standing::Unknown);

        assert!(Register::revoke(directory.path(), kept.id, at(150)).unwrap());
        assert!(!Register::revoke(directory.path(), kept.id, at(160)).unwrap());
        let register = Register::read(directory.path()).unwrap();
        assert_eq!(register.entries()[0].revoked, Some(150));
        let standing = |entry: &Entry, now| register.standing(&holder(entry), at(now));
        assert_eq!(standing(&kept, 199), Standing::Revoked);
        assert_eq!(standing(&other, 199), Standing::Valid);
        assert!(matches!(
            Register::revoke(directory.path(), entry(3, 200).id, at(150)),
            Err(SecurityError::Unknown(_))
        ));
    }

    #[test]
    fn a_change_is_seen_and_damage_changes_nothing() {
        let kept = entry(1, 200);
        let directory = filled(std::slice::from_ref(&kept)).unwrap();
        let mut watched = Watched::open(directory.path()).unwrap();
        let mut now = Instant::now();
        assert_eq!(watched.current(now).entries().len(), 1);
        Register::revoke(directory.path(), kept.id, at(150)).unwrap();
        let mut revoked = |after| {
            now += after;
            watched.current(now).entries()[0].revoked
        };
        // A message that comes soon after another costs no look at the file.
        assert_eq!(revoked(LOOK_INTERVAL / 2), None);
        assert_eq!(revoked(LOOK_INTERVAL / 2), Some(150));
        std::fs::write(path(directory.path()), "{").unwrap();
        assert_eq!(revoked(LOOK_INTERVAL), Some(150));
        std::fs::remove_file(path(directory.path())).unwrap();
        assert_eq!(revoked(LOOK_INTERVAL), Some(150));
    }

    #[test]
    fn a_credential_counts_as_soon_as_it_is_made() {
        let directory = filled(&[]).unwrap();
        let mut watched = Watched::open(directory.path()).unwrap();
        let now = Instant::now();
        let fresh = Entry {
            expires: 1 << 40,
            ..entry(1, 0)
        };
        assert_eq!(watched.standing(&holder(&fresh), now), Standing::Unknown);
        Register::update(directory.path(), |register| {
            register.add(fresh.clone());
            Ok(())
        })
        .unwrap();
        assert_eq!(watched.standing(&holder(&fresh), now), Standing::Valid);
    }

    #[test]
    fn a_register_of_a_later_version_is_not_guessed_at() {
        let directory = filled(&[]).unwrap();
        std::fs::write(
            path(directory.path()),
            r#"{"format": 2, "credentials": []}"#,
        )
        .unwrap();
        assert!(matches!(
            Register::read(directory.path()),
            Err(SecurityError::Format { found: 2, .. })
        ));
    }

    #[test]
    fn only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = filled(&[entry(1, 200)]).unwrap();
        let mode = std::fs::metadata(path(directory.path())).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    }
}
