//! Values of parameters.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// A truth value, a number or a text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// A finite number that is written with a point or an exponent.
    Real(f64),
    /// A text.
    Text(String),
}

impl Scalar {
    /// Real numbers are told apart by their bits, so that equal values are written
    /// alike.
    fn bits(&self) -> (u8, u64, &str) {
        match self {
            Self::Flag(flag) => (0, u64::from(*flag), ""),
            Self::Whole(number) => (1, number.cast_unsigned(), ""),
            Self::Real(number) => (2, number.to_bits(), ""),
            Self::Text(text) => (3, 0, text),
        }
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}

impl fmt::Display for Scalar {
    /// As an argument has it: texts as they are, numbers as in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Whole(number) => write!(f, "{number}"),
            // With a point or an exponent, in the fewest digits that read back.
            Self::Real(number) => write!(f, "{number:?}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_kind_through_json() {
        for (value, json) in [
            (Scalar::Flag(true), "true"),
            (Scalar::Whole(-3), "-3"),
            (Scalar::Real(8.0), "8.0"),
            (Scalar::Real(1e-10), "1e-10"),
            (Scalar::Text("8".to_owned()), "\"8\""),
        ] {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            let read: Scalar = serde_json::from_str(json).unwrap();
            assert_eq!(read, value);
            assert_eq!(value.to_string(), json.trim_matches('"'));
        }
        assert_ne!(Scalar::Whole(8), Scalar::Real(8.0));
    }
}
