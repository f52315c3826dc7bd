//! How long an attempt may take.

use reprise_domain::bounds::study;
use reprise_domain::{Limits, Seconds};

use super::checker::Checker;
use super::duration;
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
) -> Limits {
    let time = ("time-limit", time_limit);
    check_named(
        checker,
        path,
        time,
        ("silence-limit", silence_limit),
        silence,
    )
}

/// The same under other keys.
pub(super) fn check_named(
    checker: &Checker<'_>,
    path: &KeyPath,
    time: (&str, Option<&DurationText>),
    own: (&str, Option<&DurationText>),
    silence: Option<Seconds>,
) -> Limits {
    let duration = |(key, text): (&str, Option<&DurationText>), bound| {
        let checked = text.map(|text| duration::check(checker, &path.key(key), text, bound));
        checked.and_then(|checked| checker.keep(checked))
    };
    let time = duration(time, study::TIME_LIMIT);
    let own = duration(own, study::SILENCE_LIMIT);
    Limits {
        time,
        silence: own.or(silence),
    }
}
