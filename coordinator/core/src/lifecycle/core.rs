//! The state machine as the shell sees it.

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Digest, StudyName, TaskKey, TaskSpec};

use super::action::Step;
use super::event::Event;
use super::input::{Input, Refusal};
use super::session::deadline;
use super::settings::Settings;
use super::state::{Effects, State};
use super::task::TaskState;
use super::turn::Turn;
use super::view::{StudyView, TaskView, WorkerView};
use super::worker::Link;
use super::{invariants, view};
use crate::Timestamp;

/// Up to so many tasks, debug builds check the invariants after every step; the
/// check reads the whole state, so with more it would turn linear work quadratic.
const CHECKED_TASKS: usize = 256;

/// The state of all studies, tasks and workers.
#[derive(Debug, Clone, PartialEq)]
pub struct Core {
    pub(super) settings: Settings,
    pub(super) state: State,
}

/// Where the next attempt at a task can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The attempt that saved it, in whose area its file is.
    pub attempt: AttemptId,
    /// The file.
    pub artifact: ArtifactRef,
    /// How far it is, in units of work of the task.
    pub done: u64,
}

/// An event that does not fit the state: the journal is not the one that led to
/// it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event of the journal does not fit the state before it: `{event}`")]
pub struct Misfit {
    event: String,
}

impl Core {
    /// An empty state.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: State::new(&settings),
        }
    }

    /// Decides what an input means, and applies it.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Result<Step, Refusal> {
        let mut turn = Turn::new(&mut self.state, &self.settings, now);
        match input {
            Input::Submit {
                spec,
                digest,
                plan,
                amend,
                by,
            } => turn.submit(spec, digest, plan, amend, &by)?,
            Input::Control { study, control, by } => turn.control(study, control, &by)?,
            Input::Retry { study, tasks, by } => turn.retry(&study, tasks, &by)?,
            Input::Invalidate { study, tasks, by } => turn.invalidate(&study, tasks, &by)?,
            Input::Unarchive {
                study,
                attempt,
                result,
                seconds,
                by,
            } => turn.unarchive(&study, attempt, result, seconds, &by)?,
            Input::Drain { worker, drained } => turn.drain(worker, drained)?,
            Input::ArtifactLost { task } => turn.artifact_lost(task),
            Input::Restored => turn.restored(),
            Input::Hello {
                worker,
                capability,
                holding,
                again,
            } => {
                turn.hello(worker, capability, &holding, again)?;
            }
            Input::Disconnected { worker } => turn.disconnected(worker),
            Input::Heartbeat { worker } => turn.heartbeat(worker)?,
            Input::Draining { worker } => turn.draining(worker)?,
            Input::Checkpointed {
                worker,
                attempt,
                checkpoint,
                done,
            } => turn.checkpointed(worker, attempt, checkpoint, done),
            Input::CheckpointLost {
                attempt,
                checkpoint,
            } => turn.checkpoint_lost(attempt, checkpoint),
            Input::Progress {
                worker,
                attempt,
                progress,
            } => turn.progressed(worker, attempt, progress),
            Input::Report {
                worker,
                attempt,
                end,
            } => turn.report(worker, attempt, end),
            Input::Tick => turn.tick(),
        }
        let step = turn.finish();
        self.debug_check();
        Ok(step)
    }

    /// Leases ready tasks to the workers that have credit. To be called after
    /// every batch of inputs. It also looks for attempts that run too long and for due
    /// audits, which costs time in proportion to the running attempts.
    pub fn schedule(&mut self, now: Timestamp) -> Step {
        let step = self.state.assign(now);
        self.debug_check();
        step
    }

    /// Applies an event of the journal that happened `at`.
    pub fn replay(&mut self, event: &Event, at: Timestamp) -> Result<(), Misfit> {
        self.state
            .apply(event, at, &mut Effects::default())
            .ok_or_else(|| Misfit {
                event: format!("{event:?}").chars().take(200).collect(),
            })
    }

    /// To be called once after the replay: every worker counts as disconnected
    /// since `now` and has the whole grace to come back.
    pub fn resume(&mut self, now: Timestamp) {
        let ids: Vec<_> = self.state.workers.keys().copied().collect();
        for id in ids {
            self.state.connect(id, now);
            self.state.set_link(id, Link::Gone { since: now });
        }
        self.state.watch.forget_all();
        self.state.unknown.clear();
        self.debug_check();
    }

    /// When [`Input::Tick`] is due next: the end of a wait, or the moment from
    /// which a worker counts as silent or lost.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let Settings {
            heartbeat_timeout: silence,
            reconnect_grace: grace,
            ..
        } = self.settings;
        let workers = self.state.workers.values();
        let deadlines = workers.map(|worker| deadline(worker, silence, grace));
        deadlines
            .chain(self.state.backoffs.first().map(|&(until, _)| until))
            .chain(self.state.watch.next())
            .min()
    }

    /// Where a study stands.
    pub fn study(&self, name: &StudyName) -> Option<StudyView<'_>> {
        self.state
            .find_study(name)
            .map(|ix| view::study(&self.state, ix))
    }

    /// Whether a submission of this study needs a plan: it is not known as it is, or an
    /// earlier release planned tasks of it that have not finished.
    pub fn needs_plan(&self, name: &StudyName, digest: Digest) -> bool {
        let known = self.state.find_study(name).map(|ix| self.state.study(ix));
        known.is_none_or(|study| study.digest != digest || study.is_outdated())
    }

    /// The names of all studies, in alphabetical order.
    pub fn studies(&self) -> impl Iterator<Item = &StudyName> {
        self.state.study_index.keys()
    }

    /// Where a task stands.
    pub fn task(&self, key: TaskKey) -> Option<TaskView<'_>> {
        self.state.find(key).map(|ix| view::task(&self.state, ix))
    }

    /// The tasks of a study in plan order.
    pub fn study_tasks(&self, name: &StudyName) -> Option<impl Iterator<Item = TaskView<'_>>> {
        let study = self.state.study(self.state.find_study(name)?);
        Some(study.tasks.iter().map(|&ix| view::task(&self.state, ix)))
    }

    /// Every finished task with the digest of its result.
    pub fn finished(&self) -> impl Iterator<Item = (TaskKey, Digest)> {
        self.state.tasks.iter().filter_map(|task| match task.state {
            TaskState::Finished { result, .. } => Some((task.key, result)),
            _ => None,
        })
    }

    /// The studies that a task is of.
    pub fn studies_of(&self, key: TaskKey) -> impl Iterator<Item = &StudyName> {
        let task = self.state.find(key).map(|ix| self.state.task(ix));
        let interests = task.into_iter().flat_map(super::task::Task::interests);
        interests.map(|interest| &self.state.study(interest.study).spec.name)
    }

    /// What a task is.
    pub fn spec(&self, key: TaskKey) -> Option<TaskSpec> {
        self.state.find(key).map(|ix| self.state.tasks.spec(ix))
    }

    /// Where the next attempt at a task can go on.
    pub fn checkpoint(&self, key: TaskKey) -> Option<Checkpoint> {
        let task = self.state.task(self.state.find(key)?);
        task.extra().checkpoint.map(|saved| Checkpoint {
            attempt: task.numbered(saved.number),
            artifact: saved.artifact,
            done: saved.done,
        })
    }

    /// All checkpoints that an attempt may go on from.
    pub fn checkpoints(&self) -> impl Iterator<Item = Checkpoint> {
        let keys = self.state.tasks.iter().map(|task| task.key);
        keys.filter_map(|key| self.checkpoint(key))
    }

    /// All workers that are connected or may still come back, by id.
    pub fn workers(&self) -> Vec<WorkerView<'_>> {
        self.state
            .workers
            .iter()
            .map(|(id, worker)| view::worker(*id, worker))
            .collect()
    }

    /// Checks everything that must hold between steps; says what does not.
    /// Reads the whole state.
    pub fn check_invariants(&self) -> Result<(), String> {
        invariants::check(&self.state)
    }

    fn debug_check(&self) {
        if cfg!(debug_assertions) && self.state.tasks.len() <= CHECKED_TASKS {
            let checked = self.check_invariants();
            debug_assert!(checked.is_ok(), "{checked:?}");
        }
    }
}
