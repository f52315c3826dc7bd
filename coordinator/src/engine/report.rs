//! Reports of workers: what is recorded of them, and what is not believed.
//!
//! A result is recorded only if it fits its task, so that a task that counts as
//! finished is one that a report can show. Whether its files are stored was checked
//! before it came here.

use std::time::Instant;

use reprise_core::lifecycle::{AttemptEnd, Event, Input};
use reprise_data::digest as digest_of;
use reprise_domain::{
    AttemptId, AttemptOutcome, Failure, FailureClass, TaskResult, Usage, WorkerId,
};

use super::turn::Turn;
use crate::repeats::Novelty;
use crate::store::StoredResult;

impl Turn<'_> {
    pub(super) fn report(&mut self, worker: WorkerId, attempt: AttemptId, outcome: AttemptOutcome) {
        let end = match outcome {
            AttemptOutcome::Finished { result, usage } => {
                self.finished(worker, attempt, result, usage)
            }
            AttemptOutcome::Failed(failure) => {
                if failure.class == FailureClass::InputLost {
                    self.engine.look_for_inputs(attempt.task);
                }
                AttemptEnd::Failed(failure.bounded())
            }
            AttemptOutcome::Returned => AttemptEnd::Returned,
        };
        let before = self.batch.events.len();
        // The session was checked; the core has nothing to refuse in a report.
        let _ = self.handle(Input::Report {
            worker,
            attempt,
            end,
        });
        self.payloads.remove(&attempt);
        if !self.batch.events[before..].iter().any(is_heeded) {
            self.note_late(worker, attempt);
        }
    }

    /// The end of an attempt that says it finished; its payload is kept until the
    /// core says whether it counts.
    fn finished(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        result: TaskResult,
        usage: Usage,
    ) -> AttemptEnd {
        let spec = self.engine.core.spec(attempt.task);
        if let Some(misfit) = spec.and_then(|spec| spec.accepts(&result).err()) {
            return AttemptEnd::Failed(Failure {
                class: FailureClass::Task,
                message: format!("the worker reported a result that does not fit: {misfit}"),
                log: Vec::new(),
            });
        }
        let digest = digest_of(&reprise_proto::convert::to_json(&result));
        let session = self.engine.sessions.get_mut(&worker);
        let (host, provenance) = session.map_or((String::new(), None), |session| {
            // Stored once a session; a digest that is known already stays.
            self.batch.provenance.extend(session.provenance.take());
            (session.host.clone(), Some(session.provenance_digest))
        });
        let stored = StoredResult {
            result,
            usage,
            host,
            attempt: attempt.number,
            worker: Some(worker),
            started_ms: usage.started_ms.unwrap_or(0),
            ended_ms: self.now.0,
            provenance,
        };
        self.payloads.insert(attempt, stored);
        AttemptEnd::Finished {
            result: digest,
            seconds: usage.wall,
        }
    }

    /// Says once of a report that it changed nothing (INV-1): its attempt has
    /// ended, or was never this worker's.
    fn note_late(&mut self, worker: WorkerId, attempt: AttemptId) {
        let novelty = self.engine.late.note((worker, attempt), Instant::now());
        if novelty == Novelty::New {
            let session = self.engine.sessions.get(&worker);
            let host = session.map_or("", |session| session.host.as_str());
            tracing::warn!(
                %worker, host, %attempt,
                "report of an attempt that is not current; it changes nothing"
            );
        }
    }
}

/// Whether an event says that a report counted, or that it is a defect, which is
/// logged by itself.
const fn is_heeded(event: &Event) -> bool {
    matches!(
        event,
        Event::Finished { .. }
            | Event::Failed { .. }
            | Event::Returned { .. }
            | Event::Audited { .. }
            | Event::Disputed { .. }
    )
}
