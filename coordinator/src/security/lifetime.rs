//! How long a credential is good for, as users write it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const HOUR: u64 = 3600;

/// A time of at least an hour and at most ten years, for example `30d` or `12h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(Duration);

/// Text that is not a lifetime.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a lifetime: expected hours or days from `1h` to `3650d`, for example `30d`")]
pub struct LifetimeError(String);

impl Lifetime {
    /// The longest.
    pub const LONGEST: Self = Self(Duration::from_secs(3650 * 24 * HOUR));

    /// As a duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Lifetime {
    type Err = LifetimeError;

    fn from_str(text: &str) -> Result<Self, LifetimeError> {
        let wrong = || LifetimeError(text.to_owned());
        let (number, unit) = match text.as_bytes() {
            [number @ .., b'h'] => (number, HOUR),
            [number @ .., b'd'] => (number, 24 * HOUR),
            _ => return Err(wrong()),
        };
        // A sign is not a digit, so that `-1d` and `+1d` are refused alike.
        if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            return Err(wrong());
        }
        let number: u64 = text[..number.len()].parse().map_err(|_| wrong())?;
        let lifetime = number.checked_mul(unit).map(Duration::from_secs);
        match lifetime.map(Self) {
            Some(lifetime) if number > 0 && lifetime <= Self::LONGEST => Ok(lifetime),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.0.as_secs() / HOUR;
        if hours.is_multiple_of(24) {
            write!(f, "{}d", hours / 24)
        } else {
            write!(f, "{hours}h")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_days_are_read() {
        for (text, hours) in [("1h", 1), ("12h", 12), ("30d", 720), ("3650d", 87_600)] {
            let lifetime: Lifetime = text.parse().unwrap();
            assert_eq!(lifetime.duration(), Duration::from_secs(hours * HOUR));
            assert_eq!(lifetime.to_string(), text);
        }
    }

    #[test]
    fn nothing_less_than_an_hour_nor_more_than_ten_years() {
        for text in [
            "0d",
            "0h",
            "-1d",
            "+1d",
            "3651d",
            "87601h",
            "30",
            "d",
            "",
            "1.5d",
            "30 d",
            "1m",
            "1w",
            "99999999999999999999d",
            "999999999999999999d",
            "३d",
        ] {
            assert_eq!(
                text.parse::<Lifetime>(),
                Err(LifetimeError(text.to_owned())),
                "`{text}`"
            );
        }
    }
}
