//! Sizes: a number and a unit, such as `4 GiB`.

use reprise_domain::bounds::program::Bytes;

use super::checker::Checker;
use crate::error::StudyFileError;
use crate::experiment::SizeText;
use crate::names;
use crate::path::KeyPath;

/// Units with their number of bytes.
const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// What is wrong with the text of a size.
#[derive(Debug, PartialEq)]
enum Mistake {
    /// There is a number alone.
    NoUnit,
    /// The unit is not known.
    Unit(String),
    /// It does not begin with a number.
    Number,
}

/// Checks that `text` is a size within `bound`.
pub(super) fn check(
    checker: &Checker<'_>,
    path: &KeyPath,
    text: &SizeText,
    bound: Bytes,
) -> Result<u64, StudyFileError> {
    let found = read(&text.0).map_err(|mistake| {
        let hint = match mistake {
            Mistake::NoUnit => Some(format!("did you mean `{} MiB`?", text.0.trim())),
            Mistake::Unit(unit) => names::hint(&unit, &UNITS.map(|(name, _)| name)),
            Mistake::Number => None,
        };
        let expected = "a number and a unit such as `4 GiB`";
        checker.wrong(path, expected).with_hint(hint)
    })?;
    Some(found)
        .filter(|found| bound.contains(*found))
        .ok_or_else(|| checker.wrong(path, bound.to_string()))
}

fn read(text: &str) -> Result<u64, Mistake> {
    let text = text.trim();
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().map_err(|_| Mistake::Number)?;
    let unit = text[end..].trim();
    if unit.is_empty() {
        return Err(Mistake::NoUnit);
    }
    UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        // A cast of what is too large gives the largest number.
        .map(|(_, bytes)| (number * *bytes as f64).round() as u64)
        .ok_or_else(|| Mistake::Unit(unit.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_number_and_a_unit() {
        let check = |text: &str, expected: Result<u64, Mistake>| {
            assert_eq!(read(text), expected, "{text}");
        };
        check("4 GiB", Ok(4 << 30));
        check("100MB", Ok(100_000_000));
        check("1.5 KiB", Ok(1536));
        check("7 B", Ok(7));
        check("99999999999999999999 TiB", Ok(u64::MAX));
        check("4", Err(Mistake::NoUnit));
        check("4 gb", Err(Mistake::Unit("gb".to_owned())));
        check("-4 GiB", Err(Mistake::Number));
        check("", Err(Mistake::Number));
    }
}
