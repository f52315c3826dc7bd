//! What the journal holds: every change of state, as it was decided.
//!
//! Old and new readers: a field is added with a default only, and an event whose
//! meaning changes gets a new name. Stores number the form of their records.

use reprise_domain::measure::ArtifactRef;
use reprise_domain::study::StudySpec;
use reprise_domain::{
    AttemptId, Capability, Digest, Failure, Seconds, StudyName, TaskKey, WorkerId,
};
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::plan::Plan;

/// One change of state.
#[expect(
    clippy::large_enum_variant,
    reason = "a submission is rare, and a box would be in every place that reads one"
)]
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
        /// Who submitted it; nobody in particular where there are no credentials.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
    },
    /// A known study was submitted again: tasks that were given up or cancelled
    /// start afresh.
    StudyReopened {
        /// Its name.
        study: StudyName,
    },
    /// A client had tasks of a stopped study tried again: the study goes on, with the
    /// tasks that its stop had cancelled. Those that were given up stay so.
    StudyContinued {
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
    /// A client deleted a study. Tasks that no other study has in its plan are
    /// deleted with it, their results included.
    StudyDeleted {
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
    /// A client wants a worker to be given nothing more, or takes that back.
    WorkerDrained {
        /// Who.
        worker: WorkerId,
        /// Whether it is drained from now on.
        drained: bool,
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
    /// A worker came back with attempts that are not current, whose tasks are still
    /// open: they are current again.
    Adopted {
        /// Who has them.
        worker: WorkerId,
        /// Which.
        attempts: Vec<AttemptId>,
    },
    /// An attempt won its task. It need not be current: a result is a function of
    /// the task's key, so work that exists is taken.
    Finished {
        /// Which.
        attempt: AttemptId,
        /// Digest of the canonical JSON of the result.
        result: Digest,
        /// How long it held its slot.
        seconds: Seconds,
    },
    /// A client brought the result of an open task back from an archive.
    Unarchived {
        /// The attempt that it is of. It may have been made by another coordinator.
        attempt: AttemptId,
        /// Digest of the canonical JSON of the result.
        result: Digest,
        /// How long the attempt held its slot.
        seconds: Seconds,
        /// Who brought it, where that is not an admin.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
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
        /// How far it is, in units of work of its task.
        #[serde(default)]
        done: u64,
    },
    /// The file of the checkpoint that a task would go on from is gone: it begins anew,
    /// and the next checkpoint of it counts, however far that is.
    CheckpointLost {
        /// The attempt that saved it.
        attempt: AttemptId,
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
    /// Finished tasks are open again: the one exception to INV-2.
    Reopened {
        /// Their keys.
        tasks: Vec<TaskKey>,
        /// Why.
        reason: Reopening,
    },
    /// Tasks that were given up start afresh: a client asked for it, or what they could
    /// not read is made again.
    Retried {
        /// Their keys.
        tasks: Vec<TaskKey>,
    },
    /// The journal was restored from a backup. Attempts that are made from now on
    /// are numbered above all those that the lost part of the journal made.
    Restored {
        /// A number above those; see [`Event::restored`]. 0 where an earlier version
        /// noted it.
        #[serde(default)]
        floor: u32,
    },
    /// Tasks whose wait after a failure is over.
    Woken {
        /// Their keys.
        tasks: Vec<TaskKey>,
    },
    /// A finished task was given to another worker again, to compare the results.
    AuditBegun {
        /// To whom.
        worker: WorkerId,
        /// Which; the next number of its task.
        attempt: AttemptId,
    },
    /// An audit has ended with a result.
    Audited {
        /// Which attempt was the audit.
        attempt: AttemptId,
        /// Whether its result is the recorded one.
        agrees: bool,
    },
    /// Tasks that are not audited after all: no other worker is there.
    AuditsGivenUp {
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
    /// A result that differs from the recorded one of the same task, or from the one that
    /// it had before it was opened again.
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

/// Why a finished task is open again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reopening {
    /// A file of its result is lost or damaged.
    ArtifactLost,
    /// A client does not want its result any more.
    Invalidated,
}
