//! How long an attempt may take, and the share of tasks that are audited.

use reprise_domain::bounds::study;
use reprise_domain::{Fraction, Limits, Seconds};

use super::checker::Checker;
use super::duration;
use crate::error::StudyFileError;
use crate::path::KeyPath;
use crate::value::{DurationText, ShareText};

/// Checks the limits of a section or a method; `silence` is the study's own limit,
/// for where none is given.
pub(super) fn check(
    checker: &Checker<'_>,
    path: &KeyPath,
    time_limit: Option<&DurationText>,
    silence_limit: Option<&DurationText>,
    silence: Option<Seconds>,
) -> Result<Limits, StudyFileError> {
    let duration = |key: &str, text: Option<&DurationText>, bound| {
        text.map(|text| duration::check(checker, &path.key(key), text, bound))
            .transpose()
    };
    let time = duration("time-limit", time_limit, study::TIME_LIMIT)?;
    let own = duration("silence-limit", silence_limit, study::SILENCE_LIMIT)?;
    Ok(Limits {
        time,
        silence: own.or(silence),
    })
}

/// Checks `audit`.
pub(super) fn audit(checker: &Checker<'_>, text: &ShareText) -> Result<Fraction, StudyFileError> {
    let path = KeyPath::root().key("audit");
    let expected = "a share above 0% and up to 100%, such as `2%`";
    let number = text.0.trim();
    let Some(percent) = number.strip_suffix('%') else {
        let guess = number
            .parse::<f64>()
            .is_ok()
            .then(|| format!("did you mean `{number}%`?"));
        return Err(checker.wrong(&path, expected).with_hint(guess));
    };
    percent
        .trim()
        .parse::<f64>()
        .ok()
        .and_then(|percent| Fraction::new(percent / 100.0).ok())
        .filter(|share| study::AUDIT.contains(share.get()))
        .ok_or_else(|| checker.wrong(&path, expected))
}
