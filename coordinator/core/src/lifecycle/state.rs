//! The state and its smallest transitions. Each keeps the counts, the queues and
//! the orders in step with the tasks, so that no other code has to.
//!
//! What follows from a transition (dependents, retries) is decided one level up,
//! in `apply`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, StudyName, TaskKey, TaskSpec, WorkerId};

use super::settings::Settings;
use super::study::{Control, Study, StudyIx};
use super::table::TaskTable;
use super::task::{Interest, Lease, Phase, Task, TaskIx, TaskState};
use super::template::Aspect;
use super::worker::{Link, Worker};
use crate::Timestamp;
use crate::plan::sweep::arch;
use crate::scheduler::{Classes, Credit, FairShare, LoadKey, Loads};

/// Everything that the core knows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) credit: Credit,
    pub(crate) tasks: TaskTable,
    /// Tasks that read from a task, for those that any task reads from.
    pub(crate) dependents: HashMap<TaskIx, Vec<TaskIx>>,
    pub(crate) studies: Vec<Study>,
    pub(crate) study_index: BTreeMap<StudyName, StudyIx>,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) backoffs: BTreeSet<(Timestamp, TaskIx)>,
    pub(crate) classes: Classes,
    pub(crate) fair: FairShare,
    pub(crate) loads: Loads,
    /// Leases made so far.
    pub(crate) leases: u64,
}

/// What a transition means for the outside; a replay drops it.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Attempts that are not current any more although their worker has them.
    pub(crate) stops: BTreeMap<WorkerId, Vec<AttemptId>>,
    /// Studies with something new to see, each once.
    pub(crate) touched: Vec<StudyIx>,
    /// Checkpoints that no attempt will go on from.
    pub(crate) discarded: Vec<ArtifactRef>,
}

/// Whether another attempt of a task still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StillRuns(pub(crate) bool);

impl Effects {
    pub(crate) fn touch(&mut self, study: StudyIx) {
        if !self.touched.contains(&study) {
            self.touched.push(study);
        }
    }
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
            backoffs: BTreeSet::new(),
            classes: Classes::default(),
            fair: FairShare::default(),
            loads: Loads::default(),
            leases: 0,
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

    /// The task of which this is a current attempt.
    pub(crate) fn leased(&self, attempt: AttemptId) -> Option<(TaskIx, Lease)> {
        let ix = self.find(attempt.task)?;
        let mut leases = self.task(ix).leases();
        let lease = leases.find(|lease| lease.number == attempt.number)?;
        Some((ix, *lease))
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
            Some(Phase::GivenUp | Phase::Blocked) => TaskState::Blocked,
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
        Some(self.add(task))
    }

    /// Adds a task by its parts; its state is the one that its input decides.
    pub(crate) fn add(&mut self, mut task: Task) -> TaskIx {
        let input = task.input();
        task.state = self.entry_state(input);
        let ready = task.state == TaskState::Ready;
        let ix = self.tasks.push(task);
        if let Some(input) = input {
            self.dependents.entry(input).or_default().push(ix);
        }
        let class = self.tasks.class(ix);
        self.classes.row_mut(class).ready += u32::from(ready);
        ix
    }

    /// Makes a study want a task, at the end of its plan.
    pub(crate) fn attach(&mut self, study: StudyIx, stage: u32, ix: TaskIx) {
        let task = &mut self.tasks[ix];
        let owner = &mut self.studies[study.row()];
        let position = owner.tasks.len() as u32;
        owner.tasks.push(ix);
        owner.enter(stage, position, task);
        task.add_interest(Interest {
            study,
            position,
            stage,
        });
        self.refresh_study(study);
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
    pub(crate) fn set(
        &mut self,
        ix: TaskIx,
        next: TaskState,
        at: Timestamp,
        effects: &mut Effects,
    ) {
        let from = self.place(ix, next);
        debug_assert_ne!(
            from.phase(),
            Phase::Finished,
            "INV-2: a finished task stays finished"
        );
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
            owner.leave(stage, position, from.phase(), task.input());
            owner.enter(stage, position, task);
            if task.state.phase() == Phase::Leased {
                owner.started.get_or_insert(at);
            }
            effects.touch(study);
            self.settle(study, at);
        }
    }

    /// Brings a study's end and its place in the fair order up to date.
    pub(crate) fn settle(&mut self, study: StudyIx, at: Timestamp) {
        let owner = &mut self.studies[study.row()];
        let ended = owner.open == 0 || owner.control == Control::Cancelled;
        owner.finished = if ended {
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

    /// What `task` takes of `worker`'s credit: by the worker's own rate if it has
    /// one, else by everybody's.
    pub(crate) fn cost(&self, worker: WorkerId, task: TaskIx) -> u32 {
        let class = self.tasks.class(task);
        let own = self
            .workers
            .get(&worker)
            .and_then(|worker| worker.rates.mean(class));
        self.credit.cost(own.or(self.classes.row(class).mean))
    }

    /// Gives the next attempt of a task to a worker.
    pub(crate) fn lease(
        &mut self,
        worker: WorkerId,
        ix: TaskIx,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Option<AttemptId> {
        let lease = self.grant(worker, ix, at)?;
        self.set(ix, TaskState::Leased(lease), at, effects);
        Some(self.task(ix).newest())
    }

    /// Gives a running task to a second worker too.
    pub(crate) fn double(
        &mut self,
        worker: WorkerId,
        ix: TaskIx,
        at: Timestamp,
    ) -> Option<AttemptId> {
        let task = self.task(ix);
        let first = task.leases().next()?;
        if task.extra().second.is_some() || first.worker == worker {
            return None;
        }
        let lease = self.grant(worker, ix, at)?;
        self.tasks[ix].change(|extra| extra.second = Some(lease));
        Some(self.task(ix).newest())
    }

    /// Makes a lease and gives it to its worker.
    fn grant(&mut self, worker: WorkerId, ix: TaskIx, at: Timestamp) -> Option<Lease> {
        let cost = self.cost(worker, ix);
        self.workers.get(&worker)?;
        self.charge(ix);
        self.leases += 1;
        let task = &mut self.tasks[ix];
        task.attempts += 1;
        let lease = Lease {
            worker,
            number: task.attempts,
            since: at,
            sequence: self.leases,
            cost,
        };
        let input = task.input();
        let holder = self.workers.get_mut(&worker)?;
        holder.take(ix, &lease);
        if let Some(input) = input {
            holder.remember(input);
        }
        self.refresh_worker(worker);
        Some(lease)
    }

    /// Takes an attempt from its worker; says whether another one of the task
    /// still runs. If none does, the task's state is still `Leased` and the caller
    /// moves it on.
    pub(crate) fn end_lease(&mut self, ix: TaskIx, number: u32) -> Option<StillRuns> {
        let task = &mut self.tasks[ix];
        let TaskState::Leased(first) = task.state else {
            return None;
        };
        let (ended, other) = match task.extra().second {
            Some(second) if second.number == number => (second, Some(first)),
            Some(second) if first.number == number => (first, Some(second)),
            None if first.number == number => (first, None),
            _ => return None,
        };
        if let Some(other) = other {
            task.state = TaskState::Leased(other);
            task.change(|extra| extra.second = None);
        }
        self.workers.get_mut(&ended.worker)?.give_back(&ended);
        self.refresh_worker(ended.worker);
        Some(StillRuns(other.is_some()))
    }

    /// Takes every attempt of a task from its worker and tells the workers so,
    /// except that of the attempt `reported`, who knows.
    pub(crate) fn end_leases(
        &mut self,
        ix: TaskIx,
        reported: Option<AttemptId>,
        effects: &mut Effects,
    ) {
        let running: Vec<Lease> = self.task(ix).leases().copied().collect();
        for lease in running {
            let attempt = self.task(ix).attempt(&lease);
            self.end_lease(ix, lease.number);
            if reported != Some(attempt) {
                effects.stops.entry(lease.worker).or_default().push(attempt);
            }
        }
    }

    /// Replaces where a task's next attempt can go on.
    pub(crate) fn set_checkpoint(
        &mut self,
        ix: TaskIx,
        next: Option<ArtifactRef>,
        effects: &mut Effects,
    ) {
        let known = self.task(ix).extra().checkpoint;
        if known != next {
            self.tasks[ix].change(|extra| extra.checkpoint = next);
            effects.discarded.extend(known);
        }
    }

    /// Charges every running study that wants the task.
    fn charge(&mut self, ix: TaskIx) {
        let mean = self.classes.row(self.tasks.class(ix)).mean;
        let work = self.credit.charge(mean);
        let mut start = None;
        for interest in self.tasks[ix].interests() {
            let owner = &mut self.studies[interest.study.row()];
            if owner.runnable {
                start = start.into_iter().chain([owner.virtual_time]).min();
                owner.virtual_time = self.fair.charge(interest.study, owner.virtual_time, work);
            }
        }
        if let Some(start) = start {
            self.fair.serve(start);
        }
    }

    /// Puts a worker into the order of loads at its present place, or takes it
    /// out.
    pub(crate) fn refresh_worker(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let available = worker.is_connected() && !worker.draining;
        let place = available
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
