//! The state and its smallest transitions. Each keeps the counts, the queues and
//! the orders in step with the tasks, so that no other code has to.
//!
//! What follows from a transition (dependents, retries) is decided one level up,
//! in `apply`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Requirement, StudyName, TaskKey, TaskSpec, WorkerId};

use super::restore::Restores;
use super::settings::Settings;
use super::study::{Control, Study, StudyIx};
use super::table::TaskTable;
use super::task::{Interest, Phase, Saved, Task, TaskIx, TaskState};
use super::template::Aspect;
use super::watch::Watch;
use super::worker::{Link, Worker};
use crate::Timestamp;
use crate::plan::sweep::arch;
use crate::scheduler::{Classes, Credit, FairShare, LoadKey, Loads, LookFrom};

/// Everything that the core knows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) credit: Credit,
    pub(crate) tasks: TaskTable,
    /// Tasks that read from a task, for those that any task reads from.
    pub(crate) dependents: HashMap<TaskIx, BTreeSet<TaskIx>>,
    pub(crate) studies: Vec<Study>,
    pub(crate) study_index: BTreeMap<StudyName, StudyIx>,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    /// Workers that left while they were drained, the first one first.
    pub(crate) drained: VecDeque<WorkerId>,
    pub(crate) backoffs: BTreeSet<(Timestamp, TaskIx)>,
    /// Finished tasks whose audit is due.
    pub(crate) audits: BTreeSet<TaskIx>,
    /// Where the next look at them begins. Not journalled.
    pub(crate) audits_from: LookFrom<TaskIx>,
    /// The worker with whose tasks the next look for stragglers begins. Not journalled.
    pub(crate) stragglers_from: LookFrom<WorkerId>,
    pub(crate) classes: Classes,
    pub(crate) fair: FairShare,
    pub(crate) loads: Loads,
    /// Leases made so far.
    pub(crate) leases: u64,
    /// What it means that the journal was restored from a backup.
    pub(crate) restores: Restores,
    /// Unknown tasks that workers have work at, see [`State::keeps_unknown`]. Not
    /// journalled: workers say it with each hello.
    pub(crate) unknown: BTreeMap<WorkerId, BTreeSet<TaskKey>>,
    /// What time means for running attempts. Not journalled.
    pub(crate) watch: Watch,
}

/// What a transition means for the outside; a replay drops it.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Attempts that are not current any more although their worker has them.
    pub(crate) stops: BTreeMap<WorkerId, Vec<AttemptId>>,
    /// Checkpoints that no attempt will go on from.
    pub(crate) discarded: Vec<(AttemptId, ArtifactRef)>,
    /// Tasks whose stored results are to be removed.
    pub(crate) forgotten: Vec<TaskKey>,
}

impl State {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            credit: Credit::new(settings.lease_window),
            tasks: TaskTable::default(),
            dependents: HashMap::new(),
            studies: Vec::new(),
            study_index: BTreeMap::new(),
            workers: BTreeMap::new(),
            drained: VecDeque::new(),
            backoffs: BTreeSet::new(),
            audits: BTreeSet::new(),
            audits_from: LookFrom::default(),
            stragglers_from: LookFrom::default(),
            classes: Classes::default(),
            fair: FairShare::default(),
            loads: Loads::default(),
            leases: 0,
            restores: Restores::default(),
            unknown: BTreeMap::new(),
            watch: Watch::default(),
        }
    }

    pub(crate) fn find(&self, key: TaskKey) -> Option<TaskIx> {
        self.tasks.find(key)
    }

    pub(crate) fn task(&self, ix: TaskIx) -> &Task {
        &self.tasks[ix]
    }

    pub(crate) fn find_study(&self, name: &StudyName) -> Option<StudyIx> {
        self.study_index.get(name).copied()
    }

    pub(crate) fn study(&self, ix: StudyIx) -> &Study {
        &self.studies[ix.row()]
    }

    /// Whether any study still wants the task done.
    pub(crate) fn is_wanted(&self, ix: TaskIx) -> bool {
        self.task(ix)
            .interests()
            .any(|interest| self.study(interest.study).control.is_live())
    }

    /// Where a task belongs that nobody has and nothing holds back: its input
    /// decides.
    pub(crate) fn entry_state(&self, input: Option<TaskIx>) -> TaskState {
        match input.map(|input| self.task(input).state.phase()) {
            None | Some(Phase::Finished) => TaskState::Ready,
            Some(Phase::GivenUp | Phase::Blocked | Phase::Deleted) => TaskState::Blocked,
            Some(_) => TaskState::Waiting,
        }
    }

    /// Adds a task that no study has had before. `None` if what it reads from is
    /// not there.
    pub(crate) fn add_task(&mut self, key: TaskKey, spec: &TaskSpec) -> Option<TaskIx> {
        // No kind of task reads from more than one other.
        let aspect = match (spec.inputs().first(), arch(spec)) {
            (Some(input), _) => Aspect::Input(self.find(*input)?),
            (None, Some(arch)) => Aspect::Arch(arch),
            (None, None) => Aspect::Plain,
        };
        let template = self.tasks.template(spec, &mut self.classes);
        let task = Task::new(key, template, spec.seed(), aspect, TaskState::Waiting);
        Some(self.add(task, TaskTable::insert))
    }

    /// Adds a task by its parts, where `place` says; its state is the one that its input
    /// decides.
    pub(crate) fn add(
        &mut self,
        mut task: Task,
        place: impl FnOnce(&mut TaskTable, Task) -> TaskIx,
    ) -> TaskIx {
        let input = task.input();
        task.state = self.entry_state(input);
        let ready = task.state == TaskState::Ready;
        let ix = place(&mut self.tasks, task);
        if let Some(input) = input {
            self.dependents.entry(input).or_default().insert(ix);
        }
        let class = self.tasks.class(ix);
        self.classes.row_mut(class).ready += u32::from(ready);
        ix
    }

    /// Makes a study want a task, at the end of its plan.
    pub(crate) fn attach(&mut self, study: StudyIx, stage: u32, ix: TaskIx) {
        self.date_stage(study, stage, ix);
        let task = &mut self.tasks[ix];
        let owner = &mut self.studies[study.row()];
        let position = owner.tasks.len() as u32;
        owner.tasks.push(ix);
        owner.enter(stage, position, task);
        owner.count_audit(task.key, None, task.extra().audit);
        task.add_interest(Interest {
            study,
            position,
            stage,
        });
        self.refresh_study(study);
    }

    /// Finds out by the first task of a stage whether the stage was planned by an earlier
    /// release. Its tasks are of one kind and were planned together.
    pub(crate) fn date_stage(&mut self, study: StudyIx, stage: u32, first: TaskIx) {
        let tally = &mut self.studies[study.row()].stages[stage as usize];
        if tally.is_empty() && self.tasks.is_of_earlier_release(first) {
            tally.requirement = Requirement::EarlierRelease;
        }
    }

    /// What a worker must have to run a task.
    pub(crate) fn requirement(&self, ix: TaskIx) -> Requirement {
        let planned = self.task(ix).interests().next().map(|interest| {
            let stages = &self.study(interest.study).stages;
            stages[interest.stage as usize].requirement
        });
        planned.unwrap_or_else(|| self.tasks.requirement(ix))
    }

    /// Replaces a task's state as the task's class and the waits see it; returns
    /// the old one.
    pub(crate) fn place(&mut self, ix: TaskIx, next: TaskState) -> TaskState {
        let class = self.tasks.class(ix);
        let task = &mut self.tasks[ix];
        let from = std::mem::replace(&mut task.state, next);
        match from {
            TaskState::Ready => self.classes.row_mut(class).ready -= 1,
            TaskState::BackingOff { until } => {
                self.backoffs.remove(&(until, ix));
            }
            _ => {}
        }
        match task.state {
            TaskState::Ready => self.classes.row_mut(class).ready += 1,
            TaskState::BackingOff { until } => {
                self.backoffs.insert((until, ix));
            }
            _ => {}
        }
        from
    }

    /// Moves a task on. All counts and queues follow; leases are taken and given
    /// back by [`State::lease`] and [`State::end_lease`].
    ///
    /// A finished task stays finished (INV-2): only [`State::reopen`] and the
    /// deletion of its last study move it on.
    pub(crate) fn set(&mut self, ix: TaskIx, next: TaskState, at: Timestamp) {
        debug_assert_ne!(
            self.task(ix).state.phase(),
            Phase::Finished,
            "INV-2: a finished task stays finished"
        );
        self.transfer(ix, next, at);
    }

    /// Opens a finished task again; what reads from it and has not begun waits.
    pub(crate) fn reopen(&mut self, ix: TaskIx, at: Timestamp, effects: &mut Effects) {
        let TaskState::Finished { result, .. } = self.task(ix).state else {
            return;
        };
        self.forget_audit(ix, at, effects);
        self.tasks[ix].change(|extra| {
            (extra.failures, extra.lost, extra.disputed) = (0, 0, false);
            extra.before = Some(result);
        });
        effects.forgotten.push(self.task(ix).key);
        let next = self.next_state(ix);
        self.transfer(ix, next, at);
        for reader in self.dependents.get(&ix).cloned().unwrap_or_default() {
            if self.task(reader).state.phase().is_open() {
                self.tasks[reader].change(|extra| extra.failures = 0);
            }
            if self.task(reader).state.phase() == Phase::Ready {
                self.set(reader, TaskState::Waiting, at);
            }
        }
    }

    /// Where a task belongs that no attempt runs: in the queue if it is wanted.
    pub(crate) fn next_state(&self, ix: TaskIx) -> TaskState {
        if self.is_wanted(ix) {
            self.entry_state(self.task(ix).input())
        } else {
            TaskState::Cancelled
        }
    }

    /// Moves a task on from whatever state.
    pub(super) fn transfer(&mut self, ix: TaskIx, next: TaskState, at: Timestamp) {
        let from = self.place(ix, next);
        for place in 0.. {
            let task = &self.tasks[ix];
            let Some(&interest) = task.interests().nth(place) else {
                break;
            };
            let Interest {
                study,
                position,
                stage,
            } = interest;
            let owner = &mut self.studies[study.row()];
            owner.leave(stage, position, &from, task.input());
            owner.enter(stage, position, task);
            if task.state.phase() == Phase::Leased {
                owner.started.get_or_insert(at);
            }
            self.settle(study, at);
        }
    }

    /// Brings a study's end and its place in the fair order up to date.
    pub(crate) fn settle(&mut self, study: StudyIx, at: Timestamp) {
        let owner = &mut self.studies[study.row()];
        owner.finished = if owner.has_ended() {
            owner.finished.or(Some(at))
        } else {
            None
        };
        self.refresh_study(study);
    }

    /// Puts a study into the fair order, or takes it out.
    pub(crate) fn refresh_study(&mut self, study: StudyIx) {
        let owner = &mut self.studies[study.row()];
        let runnable = owner.control == Control::Running && !owner.queue.is_empty();
        if runnable == owner.runnable {
            return;
        }
        owner.runnable = runnable;
        if runnable {
            owner.virtual_time = self.fair.enter(study, owner.virtual_time);
        } else {
            self.fair.leave(study, owner.virtual_time);
        }
    }

    /// Replaces where a task's next attempt can go on.
    pub(crate) fn set_checkpoint(
        &mut self,
        ix: TaskIx,
        next: Option<Saved>,
        effects: &mut Effects,
    ) {
        let known = self.task(ix).extra().checkpoint;
        if known != next {
            self.tasks[ix].change(|extra| extra.checkpoint = next);
            let task = self.task(ix);
            let discarded = known.map(|known| (task.numbered(known.number), known.artifact));
            effects.discarded.extend(discarded);
        }
    }

    /// Puts a worker into the order of loads at its present place, or takes it
    /// out.
    pub(crate) fn refresh_worker(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let place = worker
            .is_available()
            .then(|| LoadKey::new(id, worker.capability.slots, worker.held.len(), worker.used));
        if place != worker.load {
            if let Some(old) = std::mem::replace(&mut worker.load, place) {
                self.loads.remove(old);
            }
            if let Some(new) = place {
                self.loads.insert(new);
            }
        }
    }

    /// Notes that a worker's session has begun.
    pub(crate) fn connect(&mut self, id: WorkerId, now: Timestamp) {
        let credit = self.credit;
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.link = Link::Connected { seen: now };
            worker.draining = false;
            worker.limit = credit.of(worker.capability.slots).max(worker.used);
            worker.since = now;
            self.refresh_worker(id);
        }
    }

    /// Changes whether a worker is there.
    pub(crate) fn set_link(&mut self, id: WorkerId, link: Link) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.link = link;
            self.refresh_worker(id);
        }
    }
}
