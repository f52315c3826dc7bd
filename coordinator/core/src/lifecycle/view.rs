//! The state as clients and the shell may see it.

use reprise_domain::status::{AuditCounts, StageStatus, StudyState, StudySummary, TaskCounts};
use reprise_domain::study::StudySpec;
use reprise_domain::{
    AttemptId, Capability, Digest, Failure, Seconds, TaskKey, TaskSpec, WorkerId,
};

use super::state::State;
use super::study::{Control, StudyIx, Tally};
use super::task::{Phase, Task, TaskIx, TaskState};
use super::worker::Worker;
use crate::Timestamp;
use crate::plan::Stage;

/// Where a study stands.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyView<'a> {
    /// The study.
    pub spec: &'a StudySpec,
    /// Digest of `spec`.
    pub digest: Digest,
    /// Who submitted it; nobody in particular where there are no credentials.
    pub owner: Option<&'a str>,
    /// What it is doing.
    pub state: StudyState,
    /// Whether nothing of it is left that can run without a client's doing. What
    /// it shares with studies that go on may still finish.
    pub done: bool,
    /// Counts of each stage, in plan order.
    pub stages: Vec<StageView<'a>>,
    /// Audits of its finished tasks.
    pub audits: AuditCounts,
    /// When it was first submitted.
    pub submitted: Timestamp,
    /// When one of its tasks was first leased.
    pub started: Option<Timestamp>,
    /// When it came to be done.
    pub finished: Option<Timestamp>,
}

impl StudyView<'_> {
    /// The study in a line, as clients get it.
    pub fn summary(&self) -> StudySummary {
        let none = TaskCounts::default();
        let counts = self.stages.iter().map(StageView::counts);
        StudySummary {
            name: self.spec.name.clone(),
            digest: self.digest,
            owner: self.owner.map(str::to_owned),
            state: self.state,
            tasks: counts.fold(none, |sum, counts| sum.plus(&counts)),
            audits: self.audits,
            submitted_at_ms: self.submitted.0,
            started_at_ms: self.started.map(|at| at.0),
            finished_at_ms: self.finished.map(|at| at.0),
        }
    }
}

/// Counts of one stage of a study. `planned` is the sum of the others.
#[derive(Debug, Clone, PartialEq)]
pub struct StageView<'a> {
    /// Which stage.
    pub stage: &'a Stage,
    /// All tasks.
    pub planned: u64,
    /// Finished ones.
    pub finished: u64,
    /// Those that a worker has.
    pub running: u64,
    /// Those that only a worker is missing for.
    pub ready: u64,
    /// Those whose inputs have not finished yet.
    pub waiting: u64,
    /// Those that wait after a failure.
    pub backing_off: u64,
    /// Those given up.
    pub failed: u64,
    /// Those that cannot start because an input was given up.
    pub blocked: u64,
    /// Cancelled ones.
    pub cancelled: u64,
    /// Slot seconds of the finished ones: `seconds / finished` is what one of
    /// those left will take.
    pub seconds: Seconds,
}

impl<'a> StageView<'a> {
    fn new(tally: &'a Tally) -> Self {
        Self {
            stage: &tally.stage,
            planned: tally.counts.iter().copied().map(u64::from).sum(),
            finished: tally.count(Phase::Finished),
            running: tally.count(Phase::Leased),
            ready: tally.count(Phase::Ready),
            waiting: tally.count(Phase::Waiting),
            backing_off: tally.count(Phase::BackingOff),
            failed: tally.count(Phase::GivenUp),
            blocked: tally.count(Phase::Blocked),
            cancelled: tally.count(Phase::Cancelled),
            seconds: tally.seconds,
        }
    }

    /// The counts as clients get them.
    pub fn counts(&self) -> TaskCounts {
        TaskCounts {
            planned: self.planned,
            finished: self.finished,
            running: self.running,
            ready: self.ready,
            waiting: self.waiting,
            backing_off: self.backing_off,
            failed: self.failed,
            blocked: self.blocked,
            cancelled: self.cancelled,
            finished_slot_seconds: self.seconds,
        }
    }

    /// The stage as clients get it.
    pub fn status(&self) -> StageStatus {
        StageStatus {
            name: self.stage.to_string(),
            stage: self.stage.clone(),
            tasks: self.counts(),
        }
    }
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskView<'a> {
    /// Its key.
    pub key: TaskKey,
    /// What it is.
    pub spec: TaskSpec,
    /// Attempts made; the number of the newest one.
    pub attempts: u32,
    /// Whether attempts at it gave different results.
    pub disputed: bool,
    /// Where it stands.
    pub phase: TaskPhase<'a>,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TaskPhase<'a> {
    /// An input has not finished yet.
    Waiting,
    /// Only a worker is missing.
    Ready,
    /// It waits after a failure.
    BackingOff {
        /// Until when.
        until: Timestamp,
    },
    /// A worker has it.
    Leased {
        /// The current attempt, of two the older one.
        attempt: AttemptId,
        /// Who has it.
        worker: WorkerId,
    },
    /// It is done.
    Finished {
        /// Digest of its result.
        result: Digest,
        /// How long it held its slot.
        seconds: Seconds,
    },
    /// It was given up.
    GivenUp(&'a Failure),
    /// It cannot start because an input was given up.
    Blocked {
        /// The task that was given up.
        by: TaskKey,
        /// Why that one was.
        failure: &'a Failure,
    },
    /// No study wants it any more.
    Cancelled,
}

/// A worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerView<'a> {
    /// Its id.
    pub id: WorkerId,
    /// What it offers.
    pub capability: &'a Capability,
    /// Whether it is connected; else it may still come back.
    pub connected: bool,
    /// Whether it said that it leaves.
    pub draining: bool,
    /// Whether a client wants it to be given nothing more.
    pub drained: bool,
    /// Attempts that it holds, running or not begun.
    pub held: usize,
}

pub(super) fn study(state: &State, ix: StudyIx) -> StudyView<'_> {
    let study = state.study(ix);
    let done = study.has_ended();
    StudyView {
        spec: &study.spec,
        digest: study.digest,
        owner: study.owner.as_deref(),
        state: match study.control {
            Control::Cancelled | Control::Deleted => StudyState::Cancelled,
            Control::Stopped => StudyState::Stopped,
            _ if done => StudyState::Done,
            Control::Paused => StudyState::Paused,
            Control::Running => StudyState::Running,
        },
        done,
        stages: study.stages.iter().map(StageView::new).collect(),
        audits: study.audits,
        submitted: study.submitted,
        started: study.started,
        finished: study.finished,
    }
}

pub(super) fn task(state: &State, ix: TaskIx) -> TaskView<'_> {
    let task = state.task(ix);
    let phase = match &task.state {
        TaskState::Waiting => TaskPhase::Waiting,
        TaskState::Ready => TaskPhase::Ready,
        TaskState::BackingOff { until } => TaskPhase::BackingOff { until: *until },
        TaskState::Leased(lease) => TaskPhase::Leased {
            attempt: task.attempt(lease),
            worker: lease.worker,
        },
        TaskState::Finished { result, seconds } => TaskPhase::Finished {
            result: *result,
            seconds: *seconds,
        },
        TaskState::GivenUp(failure) => TaskPhase::GivenUp(failure),
        TaskState::Blocked => match blocker(state, task) {
            Some((by, failure)) => TaskPhase::Blocked { by, failure },
            None => TaskPhase::Waiting,
        },
        TaskState::Cancelled | TaskState::Deleted => TaskPhase::Cancelled,
    };
    TaskView {
        key: task.key,
        spec: state.tasks.spec(ix),
        attempts: task.attempts,
        disputed: task.extra().disputed,
        phase,
    }
}

/// The given up task behind a blocked one. Inputs come first in a plan, so the
/// chain has no circle.
fn blocker<'a>(state: &'a State, task: &Task) -> Option<(TaskKey, &'a Failure)> {
    let input = state.task(task.input()?);
    match &input.state {
        TaskState::GivenUp(failure) => Some((input.key, failure.as_ref())),
        TaskState::Blocked => blocker(state, input),
        _ => None,
    }
}

pub(super) fn worker(id: WorkerId, worker: &Worker) -> WorkerView<'_> {
    WorkerView {
        id,
        capability: &worker.capability,
        connected: worker.is_connected(),
        draining: worker.draining,
        drained: worker.drained,
        held: worker.held.len(),
    }
}
