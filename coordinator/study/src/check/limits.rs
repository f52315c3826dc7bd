//! How long an attempt may take.

use reprise_domain::bounds::study;
use reprise_domain::{Limits, Seconds};

use super::checker::Checker;
use super::duration;
use crate::error::StudyFileError;
use crate::path::KeyPath;
use crate::value::DurationText;

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
