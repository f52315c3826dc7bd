//! Where objects are in the store, as paths. Pure.
//!
//! | path | what |
//! |--|--|
//! | `AB/DIGEST` | a result's file or a benchmark table, shared by all |
//! | `checkpoints/TASK/ATTEMPT/DIGEST` | where a running attempt stood |
//! | `logs/TASK/ATTEMPT` | the end of an attempt's log |
//! | `damaged/DIGEST` | content that was found not to have its digest |

use object_store::path::Path;
use reprise_domain::{AttemptId, Digest, TaskKey};

const CHECKPOINTS: &str = "checkpoints";
const LOGS: &str = "logs";
const DAMAGED: &str = "damaged";

/// Who an artifact belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Area {
    /// Results and benchmark tables: one area for all, named by content.
    Shared,
    /// The checkpoints of one attempt. Removing one can never remove anything
    /// else.
    Checkpoint(AttemptId),
}

/// What a path of the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Object {
    /// An artifact.
    Artifact(Area, Digest),
    /// An attempt's log.
    Log(AttemptId),
    /// Content that was set aside.
    Damaged(Digest),
}

impl Object {
    /// Its path.
    pub(super) fn location(self) -> Path {
        match self {
            // Two levels, so that no directory grows past a few hundred entries
            // soon.
            Self::Artifact(Area::Shared, digest) => {
                let name = digest.to_string();
                Path::from_iter([&name[..2], &name])
            }
            Self::Artifact(Area::Checkpoint(attempt), digest) => Path::from_iter([
                CHECKPOINTS,
                &attempt.task.to_string(),
                &attempt.number.to_string(),
                &digest.to_string(),
            ]),
            Self::Log(attempt) => {
                Path::from_iter([LOGS, &attempt.task.to_string(), &attempt.number.to_string()])
            }
            Self::Damaged(digest) => Path::from_iter([DAMAGED, &digest.to_string()]),
        }
    }

    /// What is at `path`; `None` where it is nothing of ours.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let parts: Vec<_> = path.parts().collect();
        let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
        match parts.as_slice() {
            [CHECKPOINTS, task, number, digest] => Some(Self::Artifact(
                Area::Checkpoint(attempt(task, number)?),
                digest.parse().ok()?,
            )),
            [LOGS, task, number] => Some(Self::Log(attempt(task, number)?)),
            [DAMAGED, digest] => Some(Self::Damaged(digest.parse().ok()?)),
            [start, digest] if digest.starts_with(start) && start.len() == 2 => {
                Some(Self::Artifact(Area::Shared, digest.parse().ok()?))
            }
            _ => None,
        }
    }
}

/// Where the logs of a task are.
pub(super) fn logs_of(task: TaskKey) -> Path {
    Path::from_iter([LOGS, &task.to_string()])
}

fn attempt(task: &str, number: &str) -> Option<AttemptId> {
    format!("{task}@{number}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_is_found_where_it_is_put_and_nothing_else_is_ours() {
        let digest = Digest::from_bytes([0xab; 32]);
        let attempt = AttemptId {
            task: TaskKey(Digest::from_bytes([1; 32])),
            number: 12,
        };
        for object in [
            Object::Artifact(Area::Shared, digest),
            Object::Artifact(Area::Checkpoint(attempt), digest),
            Object::Log(attempt),
            Object::Damaged(digest),
        ] {
            assert_eq!(Object::at(&object.location()), Some(object));
        }
        let name = digest.to_string();
        for other in ["readme", "ab/short", &format!("ac/{name}"), &name] {
            assert_eq!(Object::at(&Path::from(other)), None, "{other}");
        }
    }
}
