//! Lines of the spool's log: each is a checksum and what it covers, so that damage
//! is found and never reported as a result. Logs of earlier versions have lines
//! without checksums, which stand before all others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use reprise_data::digest;
use reprise_domain::{AttemptId, AttemptOutcome};
use serde::{Deserialize, Serialize};

/// Hexadecimal digits of a checksum: a BLAKE3 digest cut to 64 bits.
const CHECKSUM_DIGITS: usize = 16;

/// What a line says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line<'a> {
    Kept(AttemptId, Cow<'a, AttemptOutcome>),
    Forgotten(AttemptId),
}

/// An outcome that waits.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) outcome: AttemptOutcome,
    /// Bytes of its line.
    pub(super) bytes: u64,
}

/// What a log holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The outcomes that it leaves waiting.
    pub(super) outcomes: BTreeMap<AttemptId, Kept>,
    /// How many of its bytes are whole lines.
    pub(super) whole: usize,
    /// Whole lines that are damaged, or that this version does not know.
    pub(super) unreadable: Vec<Vec<u8>>,
}

/// A line as it stands in the log.
pub(super) fn written(line: &Line<'_>) -> Vec<u8> {
    let json = reprise_proto::convert::to_json(line);
    let mut text = checksum(&json).into_bytes();
    text.push(b' ');
    text.extend(json);
    text.push(b'\n');
    text
}

/// Reads a log.
pub(super) fn read(content: &[u8]) -> Found {
    let mut found = Found::default();
    let mut is_earlier_form = true;
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let Some(text) = line.strip_suffix(b"\n") else {
            break;
        };
        found.whole += line.len();
        is_earlier_form &= text.starts_with(b"{");
        let json = if is_earlier_form {
            Some(text)
        } else {
            checked(text)
        };
        match json.and_then(|json| serde_json::from_slice(json).ok()) {
            Some(Line::Kept(attempt, outcome)) => {
                let kept = Kept {
                    outcome: outcome.into_owned(),
                    bytes: line.len() as u64,
                };
                found.outcomes.insert(attempt, kept);
            }
            Some(Line::Forgotten(attempt)) => drop(found.outcomes.remove(&attempt)),
            None => found.unreadable.push(line.to_vec()),
        }
    }
    found
}

/// What a line holds, if its checksum agrees.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (given, rest) = line.split_at_checked(CHECKSUM_DIGITS)?;
    let json = rest.strip_prefix(b" ")?;
    (checksum(json).as_bytes() == given).then_some(json)
}

fn checksum(json: &[u8]) -> String {
    let mut text = digest(json).to_string();
    text.truncate(CHECKSUM_DIGITS);
    text
}

#[cfg(test)]
mod tests {
    use reprise_domain::{Digest, TaskKey};

    use super::*;

    fn attempt(number: u32) -> AttemptId {
        AttemptId {
            task: TaskKey(Digest::from_bytes([3; 32])),
            number,
        }
    }

    fn kept(number: u32) -> Vec<u8> {
        let outcome = Cow::Owned(AttemptOutcome::Returned);
        written(&Line::Kept(attempt(number), outcome))
    }

    fn waiting(content: &[u8]) -> Vec<u32> {
        let found = read(content);
        found.outcomes.keys().map(|id| id.number).collect()
    }

    #[test]
    fn no_flipped_bit_gives_another_outcome() {
        let log = [kept(1), kept(2), kept(3)].concat();
        let all = read(&log).outcomes;
        for bit in 0..log.len() * 8 {
            let mut damaged = log.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = read(&damaged);
            assert!(found.outcomes.len() < all.len(), "bit {bit} went unnoticed");
            for (attempt, kept) in &found.outcomes {
                assert_eq!(kept.outcome, all[attempt].outcome, "bit {bit}");
            }
        }
    }

    #[test]
    fn lines_without_checksums_count_only_before_all_others() {
        let earlier = |number| {
            let line = kept(number);
            line[CHECKSUM_DIGITS + 1..].to_vec()
        };
        assert_eq!(
            waiting(&[earlier(1), earlier(2), kept(3)].concat()),
            [1, 2, 3]
        );
        let mixed = [earlier(1), kept(2), earlier(3)].concat();
        assert_eq!(waiting(&mixed), [1, 2]);
        assert_eq!(read(&mixed).unreadable, [earlier(3)]);
    }
}
