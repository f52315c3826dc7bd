//! Durations: a number and a unit, such as `12000 s`.

use reprise_domain::Seconds;
use reprise_domain::bounds::Span;

use super::checker::Checker;
use super::quantity::{self, Mistake, Unit};
use crate::error::StudyFileError;
use crate::names;
use crate::path::KeyPath;
use crate::value::DurationText;

/// Units with their length in seconds. No `m`: it reads as minutes or months.
const UNITS: [Unit; 5] = [
    ("ms", 0.001),
    ("s", 1.0),
    ("min", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
];

/// Checks that `text` is a duration within `bound`.
pub(super) fn check(
    checker: &Checker<'_>,
    path: &KeyPath,
    text: &DurationText,
    bound: Span,
) -> Result<Seconds, StudyFileError> {
    let expected = "a number and a unit such as `12000 s`";
    let found = read(&text.0).map_err(|mistake| {
        let hint = match mistake {
            Mistake::NoUnit => Some(format!("did you mean `{} s`?", text.0.trim())),
            Mistake::Unit(unit) => names::hint(&unit, &UNITS.map(|(name, _)| name)),
            Mistake::Number => None,
        };
        checker.wrong(path, expected).with_hint(hint)
    })?;
    Seconds::new(found)
        .ok()
        .filter(|found| bound.contains(*found))
        .ok_or_else(|| checker.wrong(path, bound.to_string()))
}

fn read(text: &str) -> Result<f64, Mistake> {
    quantity::read(text, &UNITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        let check = |text: &str, expected: Result<f64, Mistake>| {
            assert_eq!(read(text), expected, "{text}");
        };
        check("12000 s", Ok(12_000.0));
        check("12000s", Ok(12_000.0));
        check("1.5 h", Ok(5400.0));
        check("250 ms", Ok(0.25));
        check("2 d", Ok(172_800.0));
        check("3 min", Ok(180.0));
        check("12000", Err(Mistake::NoUnit));
        check("3 m", Err(Mistake::Unit("m".to_owned())));
        check("1e3 s", Err(Mistake::Unit("e3 s".to_owned())));
        check("-1 s", Err(Mistake::Number));
        check("1.2.3 s", Err(Mistake::Number));
        check("", Err(Mistake::Number));
        check("é", Err(Mistake::Number));
    }
}
