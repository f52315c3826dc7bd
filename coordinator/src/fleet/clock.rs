//! Wall-clock time, as engines and ledgers write it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Unix time.
pub(crate) fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}

/// Time since a moment written like `2026-01-31T12:00:00Z`; `None` for other text. A
/// moment in the future counts as now.
pub(super) fn since(moment: &str) -> Option<Duration> {
    let moment = OffsetDateTime::parse(moment, &Rfc3339).ok()?;
    let elapsed = OffsetDateTime::now_utc() - moment;
    Some(elapsed.try_into().unwrap_or(Duration::ZERO))
}
