//! Sizes: a number and a unit, such as `4 GiB`.

use reprise_domain::bounds::program::Bytes;

use super::checker::Checker;
use super::quantity::{self, Mistake, Unit};
use crate::error::StudyFileError;
use crate::experiment::SizeText;
use crate::names;
use crate::path::KeyPath;

/// Units with their number of bytes.
const UNITS: [Unit; 9] = [
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
];

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
    // A cast of what is too large gives the largest number.
    quantity::read(text, &UNITS).map(|bytes| bytes.round() as u64)
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
