//! Which stored objects nobody needs. Pure.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use reprise_domain::{Digest, TaskKey};

use crate::artifact::{Area, Listed, Object};

/// What is still needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marked {
    /// Artifacts of finished tasks' results, tables that studies search, and
    /// checkpoints, which older versions kept in the shared area.
    pub shared: HashSet<Digest>,
    /// The checkpoint that an open task goes on from.
    pub checkpoints: HashMap<TaskKey, Digest>,
    /// Tasks whose logs may be asked for.
    pub tasks: HashSet<TaskKey>,
}

impl Marked {
    fn needs(&self, object: Object) -> bool {
        match object {
            Object::Artifact(Area::Shared, digest) => self.shared.contains(&digest),
            Object::Artifact(Area::Checkpoint(attempt), digest) => {
                self.checkpoints.get(&attempt.task) == Some(&digest)
            }
            Object::Log(attempt) => self.tasks.contains(&attempt.task),
            Object::Damaged(_) => false,
        }
    }
}

/// The listed objects that nobody needs, and that have been there for the grace:
/// what was stored a moment ago, a report may be about to name.
pub fn sweep<'a>(
    marked: &Marked,
    listed: &'a [Listed],
    now: SystemTime,
    grace: Duration,
) -> Vec<&'a Listed> {
    let is_old = |listed: &Listed| {
        now.duration_since(listed.written)
            .is_ok_and(|age| age >= grace)
    };
    listed
        .iter()
        .filter(|listed| is_old(listed) && !marked.needs(listed.object))
        .collect()
}

#[cfg(test)]
mod tests {
    use reprise_domain::AttemptId;

    use super::*;

    const GRACE: Duration = Duration::from_hours(24);

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    fn attempt(task: u8, number: u32) -> AttemptId {
        AttemptId {
            task: TaskKey(digest(task)),
            number,
        }
    }

    #[test]
    fn only_old_objects_that_nobody_needs_are_swept() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(1000);
        let old = now - GRACE;
        let young = now - GRACE + Duration::from_secs(1);
        let shared = |byte| Object::Artifact(Area::Shared, digest(byte));
        let checkpoint = |task, number, byte| {
            Object::Artifact(Area::Checkpoint(attempt(task, number)), digest(byte))
        };
        let marked = Marked {
            shared: [digest(1), digest(2)].into(),
            checkpoints: [(TaskKey(digest(50)), digest(2))].into(),
            tasks: [TaskKey(digest(60))].into(),
        };
        let cases = [
            // A result's file, an older version's checkpoint, an orphan.
            (shared(1), old, false),
            (shared(2), old, false),
            (shared(3), old, true),
            (shared(3), young, false),
            // A clock that was set back makes nothing old.
            (shared(3), now + GRACE, false),
            // The checkpoint to go on from, an older one, and one of no task; a
            // checkpoint with the content of a result does not belong to the shared area.
            (checkpoint(50, 3, 2), old, false),
            (checkpoint(50, 2, 9), old, true),
            (checkpoint(51, 1, 1), old, true),
            (checkpoint(51, 1, 1), young, false),
            (Object::Log(attempt(60, 1)), old, false),
            (Object::Log(attempt(61, 1)), old, true),
            (Object::Damaged(digest(1)), old, true),
            (Object::Damaged(digest(1)), young, false),
        ];
        for (object, written, swept) in cases {
            let listed = [Listed {
                object,
                bytes: 1,
                written,
            }];
            let found = sweep(&marked, &listed, now, GRACE);
            assert_eq!(found.len(), usize::from(swept), "{object:?} {written:?}");
        }
    }
}
