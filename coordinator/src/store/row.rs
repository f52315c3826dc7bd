//! Rows as they are written, and the checks that each one passes when it is read.
//!
//! A database notices damage of its own structure, not of what is in it: a digit
//! that has flipped is still a digit. So every row has a checksum over all that it
//! says, its key included. Rows of older journals have none. A result has two
//! checks: the checksum of its row, and the digest that the task's event holds,
//! which is in another table.

use std::collections::HashMap;

use reprise_core::Timestamp;
use reprise_core::lifecycle::Event;
use reprise_data::digest;
use reprise_domain::{Digest, TaskKey};
use serde::de::IgnoredAny;

use super::{
    Mismatch, Replayed, RowProblem, Sequence, Snapshot, StoreError, StoredResult, Visitor,
};
use crate::background;

/// A checksum as a column holds it.
pub(super) type Checksum = [u8; 32];

/// The beginning of each result's row. The result comes first, in its canonical form:
/// the digest of those bytes is the one in the task's event, whichever version of this
/// program wrote them.
const RESULT_FIELD: &str = r#"{"result":"#;

/// The checksum of a record.
pub(super) fn record_sum(sequence: Sequence, at_ms: i64, events: &str) -> Checksum {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(&at_ms.to_le_bytes());
    hasher.update(events.as_bytes());
    *hasher.finalize().as_bytes()
}

/// A stored result as a row holds it.
#[derive(Debug, Clone)]
pub(super) struct ResultRow {
    pub(super) text: String,
    /// Older journals have none.
    pub(super) sum: Option<Vec<u8>>,
}

impl ResultRow {
    pub(super) fn of(key: TaskKey, stored: &StoredResult) -> Result<Self, sqlx::Error> {
        let text = serde_json::to_string(stored).map_err(encoded)?;
        let sum = Some(result_sum(key, &text).to_vec());
        Ok(Self { text, sum })
    }

    /// What the row says, with the digest of its result.
    pub(super) fn read(&self, key: TaskKey) -> Result<(Digest, StoredResult), RowProblem> {
        let sum = self.sum.as_deref();
        if sum.is_some_and(|sum| *sum != result_sum(key, &self.text)) {
            return Err(RowProblem::Checksum);
        }
        let stored = serde_json::from_str(&self.text).map_err(RowProblem::Unreadable)?;
        let result = self.text.strip_prefix(RESULT_FIELD).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(result).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => Ok((digest(&result.as_bytes()[..values.byte_offset()]), stored)),
            Some(Err(error)) => Err(RowProblem::Unreadable(error)),
            None => Err(RowProblem::Checksum),
        }
    }

    /// What the row says, if it is what the task finished with.
    pub(super) fn check(&self, key: TaskKey, expected: Digest) -> Result<StoredResult, RowProblem> {
        let (found, stored) = self.read(key)?;
        if found == expected {
            Ok(stored)
        } else {
            Err(RowProblem::Digest(Box::new(Mismatch { expected, found })))
        }
    }
}

/// Results that are checked by the task that asks for them; more are given to a thread
/// of their own, since reading a thousand takes some ten milliseconds.
const FEW: usize = 16;

/// What the rows of `wanted` say, in that order.
pub(super) async fn check_all(
    wanted: &[(TaskKey, Digest)],
    rows: HashMap<TaskKey, ResultRow>,
) -> Result<Vec<StoredResult>, (TaskKey, RowProblem)> {
    let check = move |wanted: &[(TaskKey, Digest)]| {
        let checked = wanted.iter().map(|(key, digest)| {
            let row = rows.get(key).ok_or(RowProblem::Missing);
            row.and_then(|row| row.check(*key, *digest))
                .map_err(|problem| (*key, problem))
        });
        checked.collect()
    };
    if wanted.len() <= FEW {
        return check(wanted);
    }
    let wanted = wanted.to_vec();
    background::run(move || check(&wanted)).await
}

fn result_sum(key: TaskKey, text: &str) -> Checksum {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key.0.as_bytes());
    hasher.update(text.as_bytes());
    *hasher.finalize().as_bytes()
}

/// A record of what results were made with, if it is what they name.
pub(super) fn provenance(
    path: &str,
    named: Digest,
    record: Option<String>,
) -> Result<Option<String>, StoreError> {
    match record {
        Some(record) if digest(record.as_bytes()) != named => Err(StoreError::Provenance {
            path: path.to_owned(),
            digest: named,
        }),
        record => Ok(record),
    }
}

/// A key from the column that holds it.
pub(super) fn key(bytes: &[u8]) -> Option<TaskKey> {
    let bytes = <[u8; 32]>::try_from(bytes).ok()?;
    Some(TaskKey(Digest::from_bytes(bytes)))
}

/// A row that cannot be written, as the database would report it.
pub(super) fn encoded(error: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Encode(error.into())
}

/// Records on their way from a store to a visitor.
pub(super) struct Replay<'a, 'v> {
    path: &'a str,
    last: Sequence,
    replayed: Replayed,
    visit: &'a mut Visitor<'v>,
}

impl<'a, 'v> Replay<'a, 'v> {
    /// A replay of the records beyond `after`.
    pub(super) fn new(path: &'a str, after: Sequence, visit: &'a mut Visitor<'v>) -> Self {
        Self {
            path,
            last: after,
            replayed: Replayed::default(),
            visit,
        }
    }

    /// Checks one record and passes it on.
    pub(super) fn visit(
        &mut self,
        sequence: Sequence,
        at_ms: i64,
        text: &str,
        sum: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        // Without a checksum the number may have been given by the database, which
        // passes some over.
        if sum.is_some() && sequence != self.last + 1 {
            return Err(StoreError::Gap {
                path: self.path.to_owned(),
                from: self.last + 1,
                to: sequence - 1,
            });
        }
        let refused = |problem| StoreError::Record {
            path: self.path.to_owned(),
            sequence,
            problem,
        };
        if sum.is_some_and(|sum| *sum != record_sum(sequence, at_ms, text)) {
            return Err(refused(RowProblem::Checksum));
        }
        let events: Vec<Event> =
            serde_json::from_str(text).map_err(|error| refused(RowProblem::Unreadable(error)))?;
        self.last = sequence;
        self.replayed.records += 1;
        self.replayed.bytes += text.len() as u64;
        (self.visit)(sequence, Timestamp(at_ms as u64), events);
        Ok(())
    }

    pub(super) fn finish(self) -> Replayed {
        self.replayed
    }
}

/// The row that says which chunks are the newest snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Tells the chunks of several snapshots apart.
    pub(super) generation: i64,
    /// The last record that it covers.
    pub(super) through: Sequence,
    /// How many chunks it has.
    pub(super) chunks: i64,
}

impl Head {
    pub(super) fn sum(self) -> Checksum {
        let mut hasher = blake3::Hasher::new();
        for number in [self.generation, self.through, self.chunks] {
            hasher.update(&number.to_le_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// The head as its row has it.
    pub(super) fn read(self, path: &str, sum: &[u8]) -> Result<Self, StoreError> {
        if *sum == self.sum() {
            Ok(self)
        } else {
            Err(damaged(path, "its checksum does not match".to_owned()))
        }
    }
}

/// A snapshot as its chunks come, in the order of their numbers. It may have hundreds
/// of megabytes, so that there is only one copy of them.
pub(super) struct Joining {
    head: Head,
    chunks: i64,
    is_in_order: bool,
    state: Vec<u8>,
}

impl Joining {
    pub(super) fn new(head: Head) -> Self {
        Self {
            head,
            chunks: 0,
            is_in_order: true,
            state: Vec::new(),
        }
    }

    /// Takes the next chunk; a head without chunks comes with none.
    pub(super) fn push(&mut self, number: Option<i64>, chunk: Option<&[u8]>) {
        let (Some(number), Some(chunk)) = (number, chunk) else {
            return;
        };
        self.is_in_order &= number == self.chunks;
        self.chunks += 1;
        self.state.extend_from_slice(chunk);
    }

    pub(super) fn finish(self, path: &str) -> Result<Snapshot, StoreError> {
        if !self.is_in_order || self.chunks != self.head.chunks {
            let problem = format!("it has {} of {} chunks", self.chunks, self.head.chunks);
            return Err(damaged(path, problem));
        }
        Ok(Snapshot {
            through: self.head.through,
            state: self.state,
        })
    }
}

fn damaged(path: &str, problem: String) -> StoreError {
    StoreError::Snapshot {
        path: path.to_owned(),
        problem,
    }
}
