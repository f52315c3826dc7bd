//! Results that a client brings back from an archive: checked as a worker's report is,
//! and recorded where their task is open.
//!
//! Whether their files are stored was checked before they came here.

use reprise_core::lifecycle::{Actor, Input, Refusal, TaskPhase};
use reprise_domain::record::{ArchivedResult, Unarchived};
use reprise_domain::{AttemptId, Digest, Misfit, StudyName, TaskKey};

use super::handle::{Handle, Request, Unavailable};
use super::turn::Turn;

/// Why a result was not taken back. Those before it were.
#[derive(Debug, thiserror::Error)]
pub enum UnarchiveError {
    /// The core refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is not a result of its task.
    #[error("the archived result of task `{task}` does not fit it: {misfit}")]
    Misfit {
        /// The task's key.
        task: TaskKey,
        /// What does not fit.
        misfit: Misfit,
    },
}

impl Handle {
    /// Takes results back, each with the digest of its canonical JSON.
    pub async fn unarchive(
        &self,
        study: StudyName,
        results: Vec<(Digest, ArchivedResult)>,
        by: Actor,
    ) -> Result<Result<Unarchived, UnarchiveError>, Unavailable> {
        self.ask(|reply| Request::Unarchive {
            study,
            results,
            by,
            reply,
        })
        .await
    }
}

impl Turn<'_> {
    pub(super) fn unarchive(
        &mut self,
        study: &StudyName,
        results: Vec<(Digest, ArchivedResult)>,
        by: &Actor,
    ) -> Result<Unarchived, UnarchiveError> {
        let mut counts = Unarchived::default();
        for (digest, archived) in results {
            let task = archived.task;
            if self.take_back_result(study, digest, archived, by)? {
                counts.taken += 1;
            } else if self.has(task, digest) {
                counts.known += 1;
            } else {
                counts.differing += 1;
                counts.example.get_or_insert(task);
            }
        }
        Ok(counts)
    }

    /// Takes one result back; says whether its task was open.
    fn take_back_result(
        &mut self,
        study: &StudyName,
        digest: Digest,
        archived: ArchivedResult,
        by: &Actor,
    ) -> Result<bool, UnarchiveError> {
        let ArchivedResult {
            task,
            stored,
            provenance,
        } = archived;
        let spec = self.engine.core.spec(task);
        if let Some(misfit) = spec.and_then(|spec| spec.accepts(&stored.result).err()) {
            return Err(UnarchiveError::Misfit { task, misfit });
        }
        let attempt = AttemptId {
            task,
            // Journals of early versions did not record it.
            number: stored.attempt.max(1),
        };
        let (seconds, named) = (stored.usage.wall, stored.provenance);
        let before = self.batch.events.len();
        self.payloads.insert(attempt, stored);
        let handled = self.handle(Input::Unarchive {
            study: study.clone(),
            attempt,
            result: digest,
            seconds,
            by: by.clone(),
        });
        self.payloads.remove(&attempt);
        handled?;
        let taken = self.batch.events.len() > before;
        if taken {
            self.batch.provenance.extend(named.zip(provenance));
        }
        Ok(taken)
    }

    /// Whether a task has finished with this result.
    fn has(&self, task: TaskKey, digest: Digest) -> bool {
        let view = self.engine.core.task(task);
        view.is_some_and(
            |view| matches!(view.phase, TaskPhase::Finished { result, .. } if result == digest),
        )
    }
}
