//! One task: what it is and where it stands.

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Digest, Failure, Seconds, Seed, TaskKey, WorkerId};

use super::study::StudyIx;
use super::template::{Aspect, TemplateIx};
use crate::Timestamp;

/// Position of a task in the state's table. It stays until the task is deleted, and
/// may be another one's then. A task comes behind what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskIx(pub(crate) u32);

impl TaskIx {
    pub(crate) const fn row(self) -> usize {
        self.0 as usize
    }
}

/// A task, shared by all studies that want it. There may be millions: what few
/// tasks have is in [`Extra`], and what all tasks of a sweep share in a template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Task {
    pub(crate) key: TaskKey,
    pub(crate) template: TemplateIx,
    pub(crate) seed: Seed,
    pub(crate) aspect: Aspect,
    /// Number of the newest attempt.
    pub(crate) attempts: u32,
    pub(crate) state: TaskState,
    /// The first study that has it in its plan; the others are in `extra`.
    interest: Option<Interest>,
    /// Absent while it says nothing.
    extra: Option<Box<Extra>>,
}

/// What few tasks have.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Extra {
    /// Attempts that failed by the task's own fault since it last started afresh.
    pub(crate) failures: u32,
    /// Workers that were lost while it ran, since it last started afresh or made
    /// progress.
    pub(crate) lost: u32,
    /// The second attempt that runs beside the one in the task's state, or the audit
    /// of a finished task.
    pub(crate) second: Option<Lease>,
    /// Whether a second, different result was reported.
    pub(crate) disputed: bool,
    /// Where the next attempt can go on.
    pub(crate) checkpoint: Option<Saved>,
    /// The worker that an attempt was taken from because it took too long, and when: the
    /// next one is for another, if that can be.
    pub(crate) avoid: Option<(WorkerId, Timestamp)>,
    /// The result that it had before it was opened again.
    pub(crate) before: Option<Digest>,
    /// Where its audit stands, once it has finished and is to be audited.
    pub(crate) audit: Option<Audit>,
    /// Further studies that have it in their plan.
    interests: Vec<Interest>,
}

impl Extra {
    const NONE: &Self = &Self {
        failures: 0,
        lost: 0,
        second: None,
        disputed: false,
        checkpoint: None,
        avoid: None,
        before: None,
        audit: None,
        interests: Vec::new(),
    };
}

/// Where the audit of a finished task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audit {
    /// It waits for a free slot of another worker than the one that finished the
    /// task, where that one is known.
    Due { not: Option<WorkerId> },
    /// The task's second attempt is the audit.
    Running { not: Option<WorkerId> },
    /// The result was the same.
    Agreed,
    /// The result was another one.
    Differed,
    /// It failed too often, there is no other worker, or no study wants it any more.
    GivenUp { not: Option<WorkerId> },
}

impl Audit {
    /// Whether it has yet to end.
    pub(crate) const fn is_pending(self) -> bool {
        matches!(self, Self::Due { .. } | Self::Running { .. })
    }
}

/// Where a task's next attempt can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Saved {
    /// The attempt in whose area the file is.
    pub(crate) number: u32,
    pub(crate) artifact: ArtifactRef,
    /// How far it is, in units of work.
    pub(crate) done: u64,
}

impl Task {
    /// A task that was never tried and that no study wants yet.
    pub(crate) fn new(
        key: TaskKey,
        template: TemplateIx,
        seed: Seed,
        aspect: Aspect,
        state: TaskState,
    ) -> Self {
        Self {
            key,
            template,
            seed,
            aspect,
            attempts: 0,
            state,
            interest: None,
            extra: None,
        }
    }

    /// The task that it reads from: what locality goes by.
    pub(crate) const fn input(&self) -> Option<TaskIx> {
        match self.aspect {
            Aspect::Input(input) => Some(input),
            Aspect::Plain | Aspect::Arch(_) => None,
        }
    }

    pub(crate) fn extra(&self) -> &Extra {
        self.extra.as_deref().unwrap_or(Extra::NONE)
    }

    /// Changes what few tasks have.
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut Extra) -> T) -> T {
        let mut extra = self.extra.take().unwrap_or_default();
        let answer = change(&mut extra);
        self.extra = Some(extra).filter(|extra| **extra != *Extra::NONE);
        answer
    }

    /// Forgets what few tasks have; for a deleted task.
    pub(crate) fn forget_extra(&mut self) {
        self.extra = None;
    }

    /// Studies that have it in their plan, ended ones included, in the order in
    /// which they came to want it.
    pub(crate) fn interests(&self) -> impl Iterator<Item = &Interest> {
        self.interest.iter().chain(&self.extra().interests)
    }

    /// Adds a study that has it in its plan.
    pub(crate) fn add_interest(&mut self, interest: Interest) {
        if self.interest.is_none() {
            self.interest = Some(interest);
        } else {
            self.change(|extra| extra.interests.push(interest));
        }
    }

    /// Takes a study out that has it in its plan no more.
    pub(crate) fn remove_interest(&mut self, study: StudyIx) {
        self.interest = self.interest.filter(|first| first.study != study);
        if self.extra().interests.is_empty() {
            return;
        }
        let has_first = self.interest.is_some();
        let next = self.change(|extra| {
            extra.interests.retain(|other| other.study != study);
            (!has_first && !extra.interests.is_empty()).then(|| extra.interests.remove(0))
        });
        self.interest = self.interest.or(next);
    }

    /// The attempts that run: one, or two where a slow one was doubled.
    pub(crate) fn leases(&self) -> impl Iterator<Item = &Lease> {
        let first = match &self.state {
            TaskState::Leased(lease) => Some(lease),
            _ => None,
        };
        first.into_iter().chain(&self.extra().second)
    }

    /// The lease of an attempt, if it is current.
    pub(crate) fn lease(&self, number: u32) -> Option<Lease> {
        self.leases().find(|lease| lease.number == number).copied()
    }

    /// The attempt that a lease is of.
    pub(crate) fn attempt(&self, lease: &Lease) -> AttemptId {
        self.numbered(lease.number)
    }

    /// The attempt of a number.
    pub(crate) const fn numbered(&self, number: u32) -> AttemptId {
        AttemptId {
            task: self.key,
            number,
        }
    }

    /// Whether `worker` runs `attempt` for the coordinator: a failure counts, and so
    /// does a checkpoint (INV-1).
    pub(crate) fn is_current(&self, worker: WorkerId, attempt: AttemptId) -> bool {
        self.leases()
            .any(|lease| lease.worker == worker && self.attempt(lease) == attempt)
    }
}

/// That a study has a task in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) study: StudyIx,
    /// Position in the study's plan.
    pub(crate) position: u32,
    /// Position among the study's stages.
    pub(crate) stage: u32,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TaskState {
    /// An input has not finished yet.
    Waiting,
    /// It can be leased.
    Ready,
    /// It may be tried again from then on.
    BackingOff { until: Timestamp },
    /// A worker has it.
    Leased(Lease),
    /// It is done.
    Finished { result: Digest, seconds: Seconds },
    /// It will not be tried again unless its study is submitted again.
    GivenUp(Box<Failure>),
    /// An input was given up.
    Blocked,
    /// No study wants it any more.
    Cancelled,
    /// Deleted with the last study that had it in its plan.
    Deleted,
}

/// A current attempt of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) worker: WorkerId,
    /// Which attempt.
    pub(crate) number: u32,
    /// When it was given to the worker.
    pub(crate) since: Timestamp,
    /// Counts all leases; a worker runs what it holds in this order.
    pub(crate) sequence: u64,
    /// Credit that it takes of its worker, in microseconds of one slot.
    pub(crate) cost: u32,
}

/// [`TaskState`] without its data, to count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Waiting,
    Ready,
    BackingOff,
    Leased,
    Finished,
    GivenUp,
    Blocked,
    Cancelled,
    Deleted,
}

impl Phase {
    /// How many phases there are.
    pub(crate) const COUNT: usize = 9;

    /// Whether the task can still come to finish without being submitted again.
    pub(crate) const fn is_open(self) -> bool {
        matches!(
            self,
            Self::Waiting | Self::Ready | Self::BackingOff | Self::Leased
        )
    }
}

impl TaskState {
    pub(crate) const fn phase(&self) -> Phase {
        match self {
            Self::Waiting => Phase::Waiting,
            Self::Ready => Phase::Ready,
            Self::BackingOff { .. } => Phase::BackingOff,
            Self::Leased(_) => Phase::Leased,
            Self::Finished { .. } => Phase::Finished,
            Self::GivenUp(_) => Phase::GivenUp,
            Self::Blocked => Phase::Blocked,
            Self::Cancelled => Phase::Cancelled,
            Self::Deleted => Phase::Deleted,
        }
    }
}
