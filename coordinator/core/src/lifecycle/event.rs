//! What the journal holds: every change of state, as it was decided.
//!
//! Old and new readers: a field is added with a default only, and an event whose
//! meaning changes gets a new name; anything else raises [`FORMAT`].

use reprise_domain::measure::ArtifactRef;
use reprise_domain::study::StudySpec;
use reprise_domain::{
    AttemptId, Capability, Digest, Failure, Seconds, StudyName, TaskKey, WorkerId,
};
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::plan::Plan;

/// Version of the form in which events are written.
pub const FORMAT: u32 = 1;

/// One change of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A study was created, or replaced under its name.
    StudySubmitted {
        /// The study.
        spec: StudySpec,
        /// Digest of the spec.
        digest: Digest,
        /// Its tasks.
        plan: Plan,
    },
    /// A known study was submitted again: tasks that were given up or cancelled
    /// start afresh.
    StudyReopened {
        /// Its name.
        study: StudyName,
    },
    /// A client cancelled a study.
    StudyCancelled {
        /// Its name.
        study: StudyName,
    },
    /// A client paused a study.
    StudyPaused {
        /// Its name.
        study: StudyName,
    },
    /// A client resumed a study.
    StudyResumed {
        /// Its name.
        study: StudyName,
    },
    /// A study stopped itself because too many of its tasks failed.
    StudyStopped {
        /// Its name.
        study: StudyName,
    },
    /// A worker became known, or offers something else than before.
    WorkerJoined {
        /// Who.
        worker: WorkerId,
        /// What it offers.
        capability: Capability,
    },
    /// A worker holds nothing any more and is forgotten.
    WorkerLeft {
        /// Who.
        worker: WorkerId,
    },
    /// Attempts were given to a worker, in this order.
    Leased {
        /// To whom.
        worker: WorkerId,
        /// Which; each is the next number of its task.
        attempts: Vec<AttemptId>,
    },
    /// A second attempt at a running task was given to another worker, because the
    /// first one takes far longer than others of its kind.
    Doubled {
        /// To whom.
        worker: WorkerId,
        /// Which; the next number of its task.
        attempt: AttemptId,
    },
    /// An attempt won its task.
    Finished {
        /// Which.
        attempt: AttemptId,
        /// Digest of the canonical JSON of the result.
        result: Digest,
        /// How long it held its slot.
        seconds: Seconds,
    },
    /// An attempt failed.
    Failed {
        /// Which.
        attempt: AttemptId,
        /// Why.
        failure: Failure,
        /// What follows.
        verdict: Verdict,
    },
    /// A worker handed an attempt back.
    Returned {
        /// Which.
        attempt: AttemptId,
    },
    /// A running attempt can be taken up from here, by whoever gets the task next.
    Checkpointed {
        /// Which.
        attempt: AttemptId,
        /// Where it stands.
        checkpoint: ArtifactRef,
    },
    /// Attempts ended because their worker did.
    Lost {
        /// Who held them.
        worker: WorkerId,
        /// Those that were probably running: a loss is counted against each.
        counted: Vec<AttemptId>,
        /// Those that had probably not begun: nothing is counted.
        unbegun: Vec<AttemptId>,
        /// Those whose task has taken too many workers down and is given up.
        quarantined: Vec<AttemptId>,
    },
    /// Tasks whose wait after a failure is over.
    Woken {
        /// Their keys.
        tasks: Vec<TaskKey>,
    },
    /// A result that came too late to count; it changes nothing (INV-1).
    Superseded {
        /// The attempt that it is of.
        attempt: AttemptId,
        /// Who reported it.
        worker: WorkerId,
        /// Digest of the result.
        result: Digest,
    },
    /// A result that differs from the recorded one of the same task.
    Disputed {
        /// The attempt that it is of.
        attempt: AttemptId,
        /// Who reported it.
        worker: WorkerId,
        /// Digest of the result.
        result: Digest,
    },
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The task may be tried again at once.
    Retry,
    /// The task may be tried again from then on.
    RetryAt(Timestamp),
    /// The task is given up.
    GiveUp,
}
