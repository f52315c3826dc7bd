//! Sizes and tokens of pages.

use reprise_domain::Digest;
use reprise_proto::status::{ApiError, ErrorCode};

use crate::reading::Position;

/// Most entries of one page.
const LARGEST: u32 = 1000;

/// How many entries are asked for.
pub(super) fn size(asked: u32) -> Result<usize, ApiError> {
    match asked {
        0 => Ok(LARGEST as usize),
        1..=LARGEST => Ok(asked as usize),
        _ => Err(ApiError::new(
            ErrorCode::InvalidRequest,
            format_args!("a page of `{asked}` entries: expected at most `{LARGEST}`"),
        )),
    }
}

/// A place in a study as a token.
pub(super) fn token(position: Position) -> String {
    format!("{}@{}", position.digest, position.place)
}

/// Reads a token; nothing from an empty one.
pub(super) fn position(token: &str) -> Result<Option<Position>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    let parsed = token.split_once('@').and_then(|(digest, place)| {
        Some(Position {
            digest: digest.parse::<Digest>().ok()?,
            place: place.parse().ok()?,
        })
    });
    parsed.map(Some).ok_or_else(wrong)
}

/// A token that no page gave.
pub(super) fn wrong() -> ApiError {
    ApiError::new(
        ErrorCode::InvalidRequest,
        "the page token is not of this list",
    )
    .hint("pass `next_page_token` of the page before as it is, or none for the first page")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_others_are_refused() {
        let place = Position {
            digest: Digest::from_bytes([7; 32]),
            place: 2000,
        };
        assert_eq!(position(&token(place)).unwrap(), Some(place));
        assert_eq!(position("").unwrap(), None);
        for bad in [
            "2000",
            "@",
            "@5",
            &"f".repeat(9999),
            &format!("{}@-1", place.digest),
        ] {
            assert!(position(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pages_have_bounds() {
        assert_eq!((size(0).unwrap(), size(1).unwrap()), (1000, 1));
        assert!(size(1001).is_err());
    }
}
