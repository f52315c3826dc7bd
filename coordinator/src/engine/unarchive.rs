//! Results that a client brings back from an archive: checked as a worker's report is,
//! and recorded where their task is open.
//!
//! Whether their files are stored was checked before they came here.

use std::collections::HashSet;

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

/// Tasks with artifacts whose result of the archive is the one that is recorded: what
/// was computed from them may be taken too. A search's key names its pretraining, not
/// the embedding, and embeddings of two kinds of device differ.
#[derive(Debug, Default)]
pub struct Settled(HashSet<TaskKey>);

impl Handle {
    /// Whether somebody may bring results back into a study.
    pub async fn may_unarchive(
        &self,
        study: StudyName,
        by: Actor,
    ) -> Result<Result<(), Refusal>, Unavailable> {
        self.look(move |core| core.may_act(&study, &by)).await
    }

    /// Takes results back, each with the digest of its canonical JSON, inputs before what
    /// reads them. `settled` is what the archive's results before them gave.
    pub async fn unarchive(
        &self,
        study: StudyName,
        results: Vec<(Digest, ArchivedResult)>,
        settled: Settled,
        by: Actor,
    ) -> Result<Result<(Unarchived, Settled), UnarchiveError>, Unavailable> {
        self.ask(|reply| Request::Unarchive {
            study,
            results,
            settled,
            by,
            reply,
        })
        .await
    }
}

/// What becomes of a result.
enum Fate {
    Taken,
    Known,
    Differing,
    /// Its task was given up or cancelled.
    Left,
}

impl Turn<'_> {
    pub(super) fn unarchive(
        &mut self,
        study: &StudyName,
        results: Vec<(Digest, ArchivedResult)>,
        mut settled: Settled,
        by: &Actor,
    ) -> Result<(Unarchived, Settled), UnarchiveError> {
        let mut counts = Unarchived::default();
        for (digest, archived) in results {
            let task = archived.task;
            let has_artifacts = !archived.stored.result.artifacts().is_empty();
            let fate = self.take_back_result(study, digest, archived, &settled, by)?;
            match fate {
                Fate::Taken => counts.taken += 1,
                Fate::Known => counts.known += 1,
                Fate::Differing => {
                    counts.differing += 1;
                    counts.example.get_or_insert(task);
                }
                Fate::Left => {}
            }
            if has_artifacts && matches!(fate, Fate::Taken | Fate::Known) {
                settled.0.insert(task);
            }
        }
        Ok((counts, settled))
    }

    fn take_back_result(
        &mut self,
        study: &StudyName,
        digest: Digest,
        archived: ArchivedResult,
        settled: &Settled,
        by: &Actor,
    ) -> Result<Fate, UnarchiveError> {
        let ArchivedResult {
            task,
            stored,
            provenance,
        } = archived;
        let core = &self.engine.core;
        let spec = core.spec(task);
        if let Some(misfit) = spec
            .as_ref()
            .and_then(|spec| spec.accepts(&stored.result).err())
        {
            return Err(UnarchiveError::Misfit { task, misfit });
        }
        let inputs = spec.map(|spec| spec.inputs()).unwrap_or_default();
        match core.task(task).map(|view| view.phase) {
            Some(TaskPhase::Finished { result, .. }) if result == digest => return Ok(Fate::Known),
            Some(TaskPhase::Finished { .. }) => return Ok(Fate::Differing),
            _ if !inputs.iter().all(|input| settled.0.contains(input)) => {
                return Ok(Fate::Differing);
            }
            _ => {}
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
        if self.batch.events.len() == before {
            return Ok(Fate::Left);
        }
        self.batch.provenance.extend(named.zip(provenance));
        Ok(Fate::Taken)
    }
}
