//! Audits: the part of a study's finished tasks that runs again on another worker,
//! so that results which depend on the machine are found. Part of a study, never of
//! a task: an audit does not change a result.

use serde::{Deserialize, Serialize};

use crate::ids::TaskKey;

/// The part of the tasks that is audited, in (0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct AuditShare(f64);

/// A number that is not a share.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("`{0}` is not a share of tasks: expected a fraction above 0 and at most 1")]
pub struct ShareError(f64);

impl AuditShare {
    /// Checks that `fraction` lies in (0, 1].
    pub fn new(fraction: f64) -> Result<Self, ShareError> {
        if fraction > 0.0 && fraction <= 1.0 {
            Ok(Self(fraction))
        } else {
            Err(ShareError(fraction))
        }
    }

    /// The share in percent.
    pub const fn percent(self) -> f64 {
        self.0 * 100.0
    }

    /// Whether a task is audited. It depends on the key alone, so that a restart or
    /// another study chooses the same tasks, and a larger share includes a smaller one.
    pub fn includes(self, task: TaskKey) -> bool {
        // A key is a digest: its first bytes are uniformly distributed.
        let [a, b, c, d, ..] = *task.0.as_bytes();
        let place = f64::from(u32::from_be_bytes([a, b, c, d])) / 2f64.powi(32);
        place < self.0
    }
}

impl TryFrom<f64> for AuditShare {
    type Error = ShareError;

    fn try_from(fraction: f64) -> Result<Self, Self::Error> {
        Self::new(fraction)
    }
}

impl From<AuditShare> for f64 {
    fn from(share: AuditShare) -> Self {
        share.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;

    fn key(first: u8) -> TaskKey {
        let mut bytes = [0; 32];
        bytes[0] = first;
        TaskKey(Digest::from_bytes(bytes))
    }

    #[test]
    fn a_share_is_a_fraction_above_zero() {
        for wrong in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(AuditShare::new(wrong).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<AuditShare>("2.0").is_err());
    }

    #[test]
    fn the_share_of_all_keys_is_audited() {
        let audited = |share: f64| {
            let share = AuditShare::new(share).unwrap();
            (0..=255)
                .filter(|first| share.includes(key(*first)))
                .count()
        };
        assert_eq!(audited(1.0), 256);
        assert_eq!(audited(0.25), 64);
        assert_eq!(audited(1.0 / 256.0), 1);
    }
}
