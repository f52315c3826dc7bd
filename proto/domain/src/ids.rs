//! Identifiers as types. Every id prints and parses to the same text.
//!
//! Content ids ([`Digest`], [`TaskKey`]) are BLAKE3 values; they are computed by
//! the packages that hold the bytes, not here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// A text that is not a well-formed id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

impl ParseIdError {
    fn new(text: &str, expected: &'static str) -> Self {
        // A hostile peer may send megabytes here; the message needs a few words.
        let text = text.chars().take(80).collect();
        Self { text, expected }
    }
}

/// A 256-bit BLAKE3 digest, printed as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Wraps the 32 bytes of a digest.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest's 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // In one piece: every record of the journal has hundreds of these.
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseIdError::new(text, "a digest of 64 hexadecimal digits");
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(wrong()),
        };
        if text.len() != 64 {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

/// Identity of a task: a digest over everything that decides its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskKey(pub Digest);

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TaskKey {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// One try at a task. The number counts up from 1 within a task and never
/// repeats, so a report names exactly one try (INV-1, INV-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The task that is tried.
    pub task: TaskKey,
    /// Which try, from 1.
    pub number: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.task, self.number)
    }
}

impl FromStr for AttemptId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseIdError::new(text, "an attempt id `TASK@NUMBER`");
        let (task, number) = text.split_once('@').ok_or_else(wrong)?;
        let canonical = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
        if !canonical {
            return Err(wrong());
        }
        Ok(Self {
            task: task.parse().map_err(|_| wrong())?,
            number: number.parse().map_err(|_| wrong())?,
        })
    }
}

/// One worker process, chosen by the worker and kept over its reconnections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub Uuid);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for WorkerId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uuid = Uuid::parse_str(text).map_err(|_| ParseIdError::new(text, "a worker id"))?;
        Ok(Self(uuid))
    }
}

/// Name of a study: its identity together with the digest of its spec.
///
/// 1 to 100 characters of `a-z`, `0-9`, `-`, `_` and `.`, the first a letter or
/// digit, so that it is also a safe file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StudyName(String);

impl StudyName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StudyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StudyName {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        let starts_well = text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        if text.len() > 100 || !starts_well || !text.bytes().all(allowed) {
            return Err(ParseIdError::new(
                text,
                "a study name (1 to 100 of `a-z`, `0-9`, `-`, `_`, `.`, the first a letter or digit)",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Serialises an id as its text, so that journals and study files read well.
macro_rules! serde_as_text {
    ($($id:ty),*) => {$(
        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(Digest, AttemptId, StudyName);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_print_and_parse_to_themselves(bytes: [u8; 32], number in 1u32.., uuid: u128) {
            let attempt = AttemptId { task: TaskKey(Digest::from_bytes(bytes)), number };
            prop_assert_eq!(attempt.to_string().parse(), Ok(attempt));
            prop_assert_eq!(attempt.task.to_string().parse(), Ok(attempt.task));
            let worker = WorkerId(Uuid::from_u128(uuid));
            prop_assert_eq!(worker.to_string().parse(), Ok(worker));
            let json = serde_json::to_string(&attempt).unwrap();
            prop_assert_eq!(serde_json::from_str::<AttemptId>(&json).unwrap(), attempt);
        }

        #[test]
        fn no_text_panics_a_parser(text in ".{0,120}") {
            let _ = text.parse::<Digest>();
            let _ = text.parse::<AttemptId>();
            let _ = text.parse::<StudyName>();
            let _ = text.parse::<WorkerId>();
        }
    }

    #[test]
    fn study_names_are_safe_file_names() {
        for good in ["demo", "nasbench201-table3", "a.b_c-9", "9lives"] {
            assert_eq!(good.parse::<StudyName>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".hidden",
            "../up",
            "Upper",
            "a b",
            "a/b",
            &"x".repeat(101),
        ] {
            assert!(bad.parse::<StudyName>().is_err(), "{bad}");
        }
    }
}
