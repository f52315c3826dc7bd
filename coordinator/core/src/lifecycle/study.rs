//! One study: its plan, its counts and what of it can be leased.

use std::collections::BTreeSet;

use reprise_domain::status::AuditCounts;
use reprise_domain::study::{OnFailure, StudySpec};
use reprise_domain::{Digest, Requirement, Seconds};

use serde::{Deserialize, Serialize};

use super::task::{Phase, Task, TaskIx, TaskState};
use crate::Timestamp;
use crate::plan::Stage;
use crate::scheduler::ReadyQueue;

/// Position of a study in the state's table. A deleted study keeps its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StudyIx(pub(crate) u32);

impl StudyIx {
    pub(crate) const fn row(self) -> usize {
        self.0 as usize
    }
}

/// Whether a study's tasks are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Control {
    /// They are.
    Running,
    /// Not until a client says so.
    Paused,
    /// No further ones, because too many failed.
    Stopped,
    /// No further ones, because a client said so.
    Cancelled,
    /// It has none any more, because a client deleted it.
    Deleted,
}

impl Control {
    /// Whether the study still wants its tasks done.
    pub(crate) const fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// A study.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Study {
    pub(crate) spec: StudySpec,
    pub(crate) digest: Digest,
    /// Who submitted it.
    pub(crate) owner: Option<String>,
    pub(crate) control: Control,
    /// Its tasks in plan order.
    pub(crate) tasks: Vec<TaskIx>,
    pub(crate) stages: Vec<Tally>,
    /// Tasks in an open phase.
    pub(crate) open: u32,
    /// Audits of its finished tasks.
    pub(crate) audits: AuditCounts,
    /// Positions of the tasks that were given up.
    pub(crate) given_up: BTreeSet<u32>,
    /// Its ready tasks.
    pub(crate) queue: ReadyQueue,
    /// Work that was leased for it, in microseconds, as fair sharing counts it.
    pub(crate) virtual_time: u64,
    /// Whether fair sharing considers it: it is running and has ready tasks.
    pub(crate) runnable: bool,
    pub(crate) submitted: Timestamp,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
}

impl Study {
    /// A study without tasks yet.
    pub(crate) fn new(
        spec: StudySpec,
        digest: Digest,
        owner: Option<String>,
        at: Timestamp,
    ) -> Self {
        Self {
            spec,
            digest,
            owner,
            control: Control::Running,
            tasks: Vec::new(),
            stages: Vec::new(),
            open: 0,
            audits: AuditCounts::default(),
            given_up: BTreeSet::new(),
            queue: ReadyQueue::default(),
            virtual_time: 0,
            runnable: false,
            submitted: at,
            started: None,
            finished: None,
        }
    }

    /// Whether its tasks are started.
    pub(crate) fn is_running(&self) -> bool {
        self.control == Control::Running
    }

    /// Whether nothing of it is left that can run without a client's doing.
    pub(crate) fn has_ended(&self) -> bool {
        let is_over = self.open == 0 && self.audits.pending() == 0;
        is_over || self.control == Control::Cancelled
    }

    /// Whether an earlier release planned tasks of it that have not finished.
    pub(crate) fn is_outdated(&self) -> bool {
        self.stages.iter().any(Tally::is_outdated)
    }

    /// Position of `stage` among the study's stages, added at need.
    pub(crate) fn stage(&mut self, stage: &Stage) -> u32 {
        // Tasks of a stage follow each other in a plan, so the last one is right
        // nearly always.
        let known = self.stages.iter().rposition(|tally| tally.stage == *stage);
        let row = known.unwrap_or_else(|| {
            let requirement = stage.requirement(&self.spec);
            self.stages.push(Tally::new(stage.clone(), requirement));
            self.stages.len() - 1
        });
        row as u32
    }

    /// Counts a task in.
    pub(crate) fn enter(&mut self, stage: u32, position: u32, task: &Task) {
        let phase = task.state.phase();
        let tally = &mut self.stages[stage as usize];
        tally.counts[phase as usize] += 1;
        self.open += u32::from(phase.is_open());
        match &task.state {
            TaskState::Ready => {
                self.queue.insert(position, tally.requirement, task.input());
            }
            TaskState::Finished { seconds, .. } => tally.seconds = tally.seconds + *seconds,
            TaskState::GivenUp(_) => {
                self.given_up.insert(position);
            }
            _ => {}
        }
    }

    /// Counts a task out of a state that it leaves.
    pub(crate) fn leave(
        &mut self,
        stage: u32,
        position: u32,
        state: &TaskState,
        input: Option<TaskIx>,
    ) {
        let phase = state.phase();
        let tally = &mut self.stages[stage as usize];
        tally.counts[phase as usize] -= 1;
        self.open -= u32::from(phase.is_open());
        match state {
            TaskState::Ready => self.queue.remove(position, tally.requirement, input),
            TaskState::Finished { seconds, .. } => {
                let rest = tally.seconds.get() - seconds.get();
                tally.seconds = Seconds::new(rest.max(0.0)).unwrap_or_default();
            }
            TaskState::GivenUp(_) => {
                self.given_up.remove(&position);
            }
            _ => {}
        }
    }

    /// Forgets everything of a deleted study but its place.
    pub(crate) fn erase(&mut self) {
        let spec = &mut self.spec;
        spec.pretrain = Vec::new();
        spec.search = None;
        spec.evaluate = None;
        spec.experiments = Vec::new();
        self.control = Control::Deleted;
        self.open = 0;
        self.audits = AuditCounts::default();
        self.stages = Vec::new();
        self.tasks = Vec::new();
        self.given_up = BTreeSet::new();
        self.queue = ReadyQueue::default();
    }

    /// Whether so many of its tasks failed that nothing further is started.
    pub(crate) fn has_failed_enough(&self) -> bool {
        let limit = match self.spec.on_failure {
            OnFailure::Continue => return false,
            OnFailure::Stop => 1,
            OnFailure::StopAfter(limit) => limit.max(1) as usize,
        };
        self.given_up.len() >= limit
    }
}

/// Counts of one stage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tally {
    pub(crate) stage: Stage,
    /// What a worker must have for its tasks.
    pub(crate) requirement: Requirement,
    /// Tasks in each [`Phase`].
    pub(crate) counts: [u32; Phase::COUNT],
    /// Slot seconds of the finished ones.
    pub(crate) seconds: Seconds,
}

impl Tally {
    fn new(stage: Stage, requirement: Requirement) -> Self {
        Self {
            stage,
            requirement,
            counts: [0; Phase::COUNT],
            seconds: Seconds::ZERO,
        }
    }

    /// Whether it has no tasks yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// Whether some of its tasks have not finished and never will: an earlier release
    /// planned them.
    pub(crate) fn is_outdated(&self) -> bool {
        let unfinished = self.counts.iter().sum::<u32>() - self.counts[Phase::Finished as usize];
        self.requirement == Requirement::EarlierRelease && unfinished > 0
    }

    pub(crate) const fn count(&self, phase: Phase) -> u64 {
        self.counts[phase as usize] as u64
    }
}
