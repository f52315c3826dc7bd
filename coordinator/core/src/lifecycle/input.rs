//! What the shell tells the core, and why the core may refuse it.

use std::fmt;
use std::time::Duration;

use reprise_domain::measure::ArtifactRef;
use reprise_domain::study::StudySpec;
use reprise_domain::{
    AttemptId, Capability, Digest, Failure, Seconds, StudyName, TaskKey, WorkerId,
};

use crate::plan::Plan;

/// Something that happened outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A client starts a study, takes it up again, or amends it.
    Submit {
        /// The study.
        spec: StudySpec,
        /// [`crate::plan::study_digest`] of `spec`.
        digest: Digest,
        /// [`crate::plan::plan`] of `spec`.
        plan: Plan,
        /// Whether a study of the same name and another digest is replaced.
        amend: bool,
        /// Who submits it.
        by: Actor,
    },
    /// A client controls a study.
    Control {
        /// Its name.
        study: StudyName,
        /// What is to become of it.
        control: StudyControl,
        /// Who asks.
        by: Actor,
    },
    /// A client starts tasks afresh that were given up. A study that stopped itself
    /// goes on.
    Retry {
        /// A study that has them in its plan.
        study: StudyName,
        /// Their keys; all that the study gave up when there are none.
        tasks: Vec<TaskKey>,
        /// Who asks.
        by: Actor,
    },
    /// A client does not want the results of finished tasks any more: they are
    /// open again.
    Invalidate {
        /// A study that has them in its plan.
        study: StudyName,
        /// Their keys.
        tasks: Vec<TaskKey>,
        /// Who asks.
        by: Actor,
    },
    /// A client has the result of a task from an archive.
    Unarchive {
        /// A study that has the task in its plan.
        study: StudyName,
        /// The attempt that the result is of.
        attempt: AttemptId,
        /// Digest of the canonical JSON of the result.
        result: Digest,
        /// How long the attempt held its slot.
        seconds: Seconds,
        /// Who asks.
        by: Actor,
    },
    /// A client wants a worker to be given nothing more, or takes that back.
    Drain {
        /// Who is drained.
        worker: WorkerId,
        /// Whether it is drained from now on.
        drained: bool,
    },
    /// A file of a finished task's result is lost or damaged.
    ArtifactLost {
        /// The task.
        task: TaskKey,
    },
    /// The journal is a backup that was put back: what it does not know may still
    /// be running.
    Restored,
    /// A worker has connected, for the first time or again.
    Hello {
        /// Who.
        worker: WorkerId,
        /// What it offers.
        capability: Capability,
        /// Attempts that it still runs or whose results it still holds.
        holding: Vec<AttemptId>,
        /// Whether the same process was welcomed before. In that case, whatever it
        /// does not hold never reached it, and no loss is counted.
        again: bool,
    },
    /// The newest session of a worker has ended. The shell keeps the end of an
    /// older session, noticed late, to itself.
    Disconnected {
        /// Who.
        worker: WorkerId,
    },
    /// A sign of life.
    Heartbeat {
        /// Who.
        worker: WorkerId,
    },
    /// A worker takes nothing more and leaves once it holds nothing. To be said
    /// again after every [`Input::Hello`].
    Draining {
        /// Who.
        worker: WorkerId,
    },
    /// An attempt has stored where it stands, so that another worker can go on.
    Checkpointed {
        /// Who runs it.
        worker: WorkerId,
        /// Which attempt.
        attempt: AttemptId,
        /// Where it stands.
        checkpoint: ArtifactRef,
        /// How far it is, in units of work of its task.
        done: u64,
    },
    /// The file of a checkpoint is lost or damaged.
    CheckpointLost {
        /// The attempt in whose area it should be.
        attempt: AttemptId,
        /// Its digest.
        checkpoint: Digest,
    },
    /// A running attempt has moved on.
    Progress {
        /// Who runs it.
        worker: WorkerId,
        /// Which attempt.
        attempt: AttemptId,
        /// How far it is.
        progress: Progress,
    },
    /// An attempt has ended.
    Report {
        /// Who reports it.
        worker: WorkerId,
        /// Which attempt.
        attempt: AttemptId,
        /// How it ended.
        end: AttemptEnd,
    },
    /// Time has passed; due at [`super::Core::next_wakeup`].
    Tick,
}

/// What a client wants of a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StudyControl {
    /// End it; what only this study wants is stopped.
    Cancel,
    /// Hold it: nothing further of it is started.
    Pause,
    /// Let it go on after a pause.
    Resume,
    /// Forget it, with the results that no other study has in its plan.
    Delete,
}

/// Who asks for something to be done with a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Somebody who may act on every study.
    Admin,
    /// The holder of a credential, by its name: acts on its own studies and on
    /// those that belong to nobody.
    Holder(String),
}

/// How far a running attempt is, in units of work of its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Units that are done.
    pub done: u64,
    /// Units of the whole task; 0 when it is not known.
    pub total: u64,
    /// For how long it has run, by its worker's clock.
    pub running: Duration,
}

/// How an attempt ended, without the payload that the shell keeps.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptEnd {
    /// The task is done.
    Finished {
        /// Digest of the canonical JSON of the result.
        result: Digest,
        /// How long it held its slot.
        seconds: Seconds,
    },
    /// The attempt failed.
    Failed(Failure),
    /// The worker hands the task back, for no fault of the task.
    Returned,
}

/// What becomes of the tasks of a study that gets another plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanChanges {
    /// Tasks that both plans have.
    pub reused: usize,
    /// Tasks that only the new plan has.
    pub added: usize,
    /// Tasks that only the known plan has.
    pub dropped: usize,
}

impl fmt::Display for PlanChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reused,
            added,
            dropped,
        } = self;
        write!(
            f,
            "`{reused}` tasks would be reused, `{added}` added, `{dropped}` dropped"
        )
    }
}

/// Why an input was not accepted; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such study.
    #[error("there is no study `{study}`")]
    UnknownStudy {
        /// The name asked for.
        study: StudyName,
    },
    /// The study has ended, so it can be neither paused nor resumed, and a cancelled
    /// one does not try its tasks again.
    #[error("study `{study}` has been {how}; submit it again to take it up")]
    StudyEnded {
        /// Its name.
        study: StudyName,
        /// `cancelled` or `stopped`.
        how: &'static str,
    },
    /// The study belongs to somebody else.
    #[error("study `{study}` belongs to `{owner}`")]
    NotYours {
        /// Its name.
        study: StudyName,
        /// Whose it is.
        owner: String,
    },
    /// The study has ended, so there is nothing to cancel.
    #[error("study `{study}` has nothing left to cancel: all of its tasks have ended")]
    NothingToCancel {
        /// Its name.
        study: StudyName,
    },
    /// The task is not in the study's plan.
    #[error("study `{study}` has no task `{task}`")]
    UnknownTask {
        /// The study.
        study: StudyName,
        /// The task's key.
        task: TaskKey,
    },
    /// Only given-up tasks can be retried, only finished ones invalidated.
    #[error("task `{task}` is not {expected}")]
    WrongPhase {
        /// The task's key.
        task: TaskKey,
        /// `given up` or `finished`.
        expected: &'static str,
    },
    /// No attempt has such a number.
    #[error("`{attempt}` is not an attempt: its number is out of range")]
    AttemptNumber {
        /// What was named.
        attempt: AttemptId,
    },
    /// The coordinator is full.
    #[error("the coordinator would hold `{found}` {what}: expected at most `{limit}`")]
    Full {
        /// What it would hold too many of.
        what: &'static str,
        /// How many there would be.
        found: usize,
        /// The bound.
        limit: usize,
    },
    /// A study of this name and another spec is known.
    #[error("study `{study}` is known with another spec: {changes}")]
    SpecChanged {
        /// Its name.
        study: StudyName,
        /// What would become of its tasks.
        changes: PlanChanges,
    },
    /// A study has tasks that an earlier release planned: this one's algorithms would
    /// compute other results for them.
    #[error(
        "study `{study}` was planned by an earlier release, whose algorithms computed other \
         results: {changes}"
    )]
    PlanOutdated {
        /// Its name.
        study: StudyName,
        /// What would become of its tasks.
        changes: PlanChanges,
    },
    /// The result of a task that an earlier release planned: it could not be made again.
    #[error(
        "task `{task}` was planned by an earlier release, whose algorithms computed other \
         results: its result cannot be made again"
    )]
    CannotRunAgain {
        /// Its key.
        task: TaskKey,
    },
    /// The plan has one task twice.
    #[error("the plan has the task `{task}` twice")]
    RepeatedTask {
        /// Its key.
        task: TaskKey,
    },
    /// A task of the plan reads what no earlier task of the plan makes.
    #[error("task `{task}` reads `{input}`, which no earlier task of the plan makes")]
    InputNotPlanned {
        /// The reader's key.
        task: TaskKey,
        /// The missing task's key.
        input: TaskKey,
    },
    /// The worker is not known, or was declared lost: it has to say hello.
    #[error("worker `{worker}` is not known: expected a hello first")]
    UnknownWorker {
        /// Who.
        worker: WorkerId,
    },
    /// The worker offers nothing, or more than can be true.
    #[error("worker `{worker}` offers `{slots}` slots: expected 1 to `{limit}`")]
    Slots {
        /// Who.
        worker: WorkerId,
        /// What it offers.
        slots: u32,
        /// The most that is believed.
        limit: u32,
    },
}
