//! The state page by page. Every answer here is bounded in what it reads and in
//! what it copies, so that whoever asks holds the engine up for about a
//! millisecond, however much there is.

use std::fmt::Write as _;
use std::ops::Bound;

use reprise_domain::program::titled;
use reprise_domain::record::{Task, TaskFilter, TaskState, TaskStateKind};
use reprise_domain::status::{StudySummary, Unserved};
use reprise_domain::study::{Pairing, StudySpec};
use reprise_domain::{
    AttemptId, Dataset, Digest, Failure, FailureClass, StudyName, TaskKey, TaskSpec, WorkerId,
};

use super::core::Core;
use super::study::{Study, StudyIx};
use super::task::{self, Phase, TaskIx};
use super::view::{self, TaskPhase, WorkerView};
use crate::Timestamp;
use crate::plan::Stage;

/// Most tasks of one page.
pub const PAGE: usize = 2000;

/// Most tasks that are looked at for one page.
const LOOKED_AT: usize = 100_000;

/// Most keys that are looked at for one page.
const KEYS_LOOKED_AT: usize = 500_000;

/// Some of the tasks of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskPage {
    /// The study's digest: a page of another one does not follow this one.
    pub digest: Digest,
    /// The tasks, in plan order.
    pub tasks: Vec<TaskEntry>,
    /// Where the next page begins; nowhere when this one is the last.
    pub next: Option<usize>,
}

/// A task on a page.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskEntry {
    /// The task and where it stands, without the log of a failure.
    pub task: Task,
    /// What it is.
    pub spec: TaskSpec,
    /// Digest of its result, if it has finished.
    pub result: Option<Digest>,
    /// Whether attempts at it gave different results.
    pub disputed: bool,
}

/// Some of the failed tasks of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedPage {
    /// The tasks, in plan order.
    pub tasks: Vec<FailedEntry>,
    /// Position after the last one; nothing when there are no more.
    pub next: Option<u32>,
}

/// A failed task on a page.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedEntry {
    /// Its key.
    pub key: TaskKey,
    /// What kind of failure.
    pub class: FailureClass,
    /// What happened, and what caused it a line each.
    pub message: String,
}

/// An attempt that a worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldAttempt {
    /// Which.
    pub attempt: AttemptId,
    /// Who has it.
    pub worker: WorkerId,
    /// Since when.
    pub since: Timestamp,
}

/// Tasks whose key begins with what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matches {
    /// Their keys, at most two: one is what is wanted, and two are too many.
    pub keys: Vec<TaskKey>,
    /// Where to go on looking.
    pub next: Option<usize>,
}

impl Core {
    /// Summaries of the studies that come after `after` in alphabetical order, at
    /// most so many.
    pub fn summaries(&self, after: Option<&StudyName>, most: usize) -> Vec<StudySummary> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let studies = self
            .state
            .study_index
            .range::<StudyName, _>((from, Bound::Unbounded));
        studies
            .take(most)
            .map(|(_, &ix)| view::study(&self.state, ix).summary())
            .collect()
    }

    /// Tasks of a study from a position in its plan on that a filter lets through:
    /// at most `most` of them, and at most [`PAGE`].
    pub fn task_page(
        &self,
        study: &StudyName,
        from: usize,
        most: usize,
        filter: &TaskFilter,
    ) -> Option<TaskPage> {
        let ix = self.state.find_study(study)?;
        let study = self.state.study(ix);
        let wanted = Wanted::new(study, filter);
        let mut page = TaskPage {
            digest: study.digest,
            tasks: Vec::new(),
            next: None,
        };
        let last = study.tasks.len().min(from.saturating_add(LOOKED_AT));
        for position in from..last {
            if page.tasks.len() >= most.min(PAGE) {
                page.next = Some(position);
                return Some(page);
            }
            if wanted.takes(self, ix, study.tasks[position]) {
                let entry = self.entry(ix, study.tasks[position]);
                page.tasks
                    .extend(entry.filter(|entry| wanted.takes_spec(&entry.spec)));
            }
        }
        page.next = (last < study.tasks.len()).then_some(last);
        Some(page)
    }

    /// A task as the study that first wanted it sees it, with the studies that have
    /// it in their plan.
    pub fn task_entry(&self, key: TaskKey) -> Option<(TaskEntry, Vec<StudyName>)> {
        let ix = self.state.find(key)?;
        let interests: Vec<_> = self.state.task(ix).interests().copied().collect();
        let names = interests
            .iter()
            .map(|interest| self.state.study(interest.study).spec.name.clone());
        let mut entry = self.entry(interests.first()?.study, ix)?;
        if let TaskState::Failed { failure } | TaskState::Blocked { failure, .. } =
            &mut entry.task.state
            && let TaskPhase::GivenUp(whole) | TaskPhase::Blocked { failure: whole, .. } =
                view::task(&self.state, ix).phase
        {
            *failure = whole.clone();
        }
        Some((entry, names.collect()))
    }

    /// Tasks of a study that were given up, from a position on.
    pub fn failed_page(&self, study: &StudyName, from: u32) -> Option<FailedPage> {
        let study = self.state.study(self.state.find_study(study)?);
        let mut page = FailedPage {
            tasks: Vec::new(),
            next: None,
        };
        for &position in study.given_up.range(from..) {
            if page.tasks.len() == PAGE {
                page.next = Some(position);
                break;
            }
            let task = self.state.task(study.tasks[position as usize]);
            if let task::TaskState::GivenUp(failure) = &task.state {
                page.tasks.push(FailedEntry {
                    key: task.key,
                    class: failure.class,
                    message: with_causes(failure),
                });
            }
        }
        Some(page)
    }

    /// Tasks whose key, in hexadecimal digits, begins with `beginning`.
    pub fn matches(&self, beginning: &str, from: usize) -> Matches {
        if let Ok(key) = beginning.parse::<TaskKey>() {
            let known = self.state.find(key).map(|_| key);
            return Matches {
                keys: known.into_iter().collect(),
                next: None,
            };
        }
        let mut found = Matches::default();
        let tasks = &self.state.tasks;
        let rows = tasks.iter().enumerate().skip(from);
        for (row, task) in rows.take(KEYS_LOOKED_AT) {
            if begins(task.key, beginning.as_bytes()) && tasks.find(task.key).is_some() {
                found.keys.push(task.key);
                if found.keys.len() == 2 {
                    return found;
                }
            }
            found.next = Some(row + 1);
        }
        found.next = found.next.filter(|next| *next < tasks.len());
        found
    }

    /// Attempts at a task that workers have.
    pub fn held(&self, key: TaskKey) -> Vec<HeldAttempt> {
        let task = self.state.find(key).map(|ix| self.state.task(ix));
        let leases = task.into_iter().flat_map(|task| {
            task.leases().map(|lease| HeldAttempt {
                attempt: task.attempt(lease),
                worker: lease.worker,
                since: lease.since,
            })
        });
        leases.collect()
    }

    /// All attempts that workers have. To be asked for once, after a start.
    pub fn all_held(&self) -> impl Iterator<Item = HeldAttempt> {
        let held = self
            .state
            .workers
            .iter()
            .flat_map(|(&id, worker)| worker.held.values().map(move |&ix| (id, ix)));
        held.filter_map(|(id, ix)| {
            let task = self.state.task(ix);
            let lease = task.leases().find(|lease| lease.worker == id)?;
            Some(HeldAttempt {
                attempt: task.attempt(lease),
                worker: id,
                since: lease.since,
            })
        })
    }

    /// Workers that come after `after` in the order of their ids, at most so many.
    pub fn worker_page(&self, after: Option<WorkerId>, most: usize) -> Vec<WorkerView<'_>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let workers = self.state.workers.range((from, Bound::Unbounded));
        workers
            .take(most)
            .map(|(&id, worker)| view::worker(id, worker))
            .collect()
    }

    /// How many workers are connected.
    pub fn connected_workers(&self) -> u32 {
        let workers = self.state.workers.values();
        workers.filter(|worker| worker.is_connected()).count() as u32
    }

    /// Ready tasks of a study that no connected worker can run, by what they need;
    /// none while no worker is connected.
    pub fn unserved(&self, study: &StudyName) -> Vec<Unserved> {
        let workers = self.state.workers.values();
        let workers: Vec<_> = workers.filter(|worker| worker.is_connected()).collect();
        let Some(study) = self.state.find_study(study).filter(|_| !workers.is_empty()) else {
            return Vec::new();
        };
        let study = self.state.study(study);
        let lacking = study.queue.requirements().filter(|required| {
            let mut lacks = workers
                .iter()
                .map(|worker| worker.capability.lack(*required));
            lacks.all(|lack| lack.is_some())
        });
        lacking
            .map(|required| {
                let stages = study.stages.iter();
                let needing = stages.filter(|stage| stage.requirement == required);
                Unserved {
                    tasks: needing.map(|stage| stage.count(Phase::Ready)).sum(),
                    needs: required.to_string(),
                }
            })
            .collect()
    }

    /// A worker that is known.
    pub fn worker(&self, id: WorkerId) -> Option<WorkerView<'_>> {
        let worker = self.state.workers.get(&id)?;
        Some(view::worker(id, worker))
    }

    fn entry(&self, study: StudyIx, ix: TaskIx) -> Option<TaskEntry> {
        let task = self.state.task(ix);
        let interest = task.interests().find(|interest| interest.study == study)?;
        let stage = &self.state.study(study).stages[interest.stage as usize].stage;
        let seen = view::task(&self.state, ix);
        let input = seen.spec.inputs().first().copied();
        let input = input.and_then(|input| self.state.find(input));
        let pretrain_seed = input.map(|input| self.state.task(input).seed.0);
        let result = match seen.phase {
            TaskPhase::Finished { result, .. } => Some(result),
            _ => None,
        };
        Some(TaskEntry {
            task: Task {
                key: task.key,
                title: title(
                    &seen.spec,
                    stage,
                    pretrain_seed,
                    &self.state.study(study).spec,
                ),
                stage: stage.clone(),
                stage_index: interest.stage,
                seed: task.seed.0,
                pretrain_seed,
                state: state(&seen.phase),
                attempts: seen.attempts,
            },
            spec: seen.spec,
            result,
            disputed: seen.disputed,
        })
    }
}

/// What a task is, for people, with what tells it from the others of its study.
fn title(spec: &TaskSpec, stage: &Stage, pretrain_seed: Option<u64>, study: &StudySpec) -> String {
    let level = match stage {
        // Programs name their parameters.
        Stage::Experiment { .. } => &[],
        stage => stage.level(),
    };
    let mut title = titled(&spec.to_string(), level);
    let mut searches = study.search.iter();
    let is_crossed = searches.any(|search| search.pairing == Pairing::Crossed);
    if let Some(seed) = pretrain_seed.filter(|_| is_crossed || !level.is_empty()) {
        // Memory takes what it is given.
        let _ = write!(title, " pretrain-seed={seed}");
    }
    title
}

/// A filter in the terms of a study.
struct Wanted<'a> {
    filter: &'a TaskFilter,
    /// Of each stage, whether its tasks are wanted.
    stages: Vec<bool>,
}

impl<'a> Wanted<'a> {
    fn new(study: &Study, filter: &'a TaskFilter) -> Self {
        let stages = study.stages.iter().map(|tally| {
            let named = filter.stage.as_ref();
            let is_named = named.is_none_or(|name| tally.stage.to_string() == *name);
            let method = filter.method.as_deref();
            is_named && (method.is_none() || method == tally.stage.method())
        });
        Self {
            stages: stages.collect(),
            filter,
        }
    }

    fn takes(&self, core: &Core, study: StudyIx, ix: TaskIx) -> bool {
        let task = core.state.task(ix);
        let states = &self.filter.states;
        let mut interests = task.interests();
        self.filter.seed.is_none_or(|seed| task.seed.0 == seed)
            && (states.is_empty() || states.contains(&kind(task.state.phase())))
            && interests
                .find(|interest| interest.study == study)
                .is_some_and(|interest| self.stages[interest.stage as usize])
    }

    fn takes_spec(&self, spec: &TaskSpec) -> bool {
        let dataset = match spec {
            TaskSpec::Search(spec) => Some(spec.dataset),
            TaskSpec::Evaluate(spec) => Some(spec.dataset),
            TaskSpec::Pretrain(_) | TaskSpec::Noop(_) | TaskSpec::Program(_) => None,
        };
        let wanted = self.filter.dataset.as_deref();
        wanted.is_none() || wanted == dataset.map(Dataset::as_str)
    }
}

const fn kind(phase: Phase) -> TaskStateKind {
    match phase {
        Phase::Waiting => TaskStateKind::Waiting,
        Phase::Ready => TaskStateKind::Ready,
        Phase::BackingOff => TaskStateKind::BackingOff,
        Phase::Leased => TaskStateKind::Running,
        Phase::Finished => TaskStateKind::Finished,
        Phase::GivenUp => TaskStateKind::Failed,
        Phase::Blocked => TaskStateKind::Blocked,
        Phase::Cancelled | Phase::Deleted => TaskStateKind::Cancelled,
    }
}

fn state(phase: &TaskPhase<'_>) -> TaskState {
    match *phase {
        TaskPhase::Waiting => TaskState::Waiting,
        TaskPhase::Ready => TaskState::Ready,
        TaskPhase::BackingOff { until } => TaskState::BackingOff { until_ms: until.0 },
        TaskPhase::Leased { worker, .. } => TaskState::Running { worker },
        TaskPhase::Finished { .. } => TaskState::Finished,
        TaskPhase::GivenUp(failure) => TaskState::Failed {
            failure: without_log(failure),
        },
        TaskPhase::Blocked { by, failure } => TaskState::Blocked {
            by,
            failure: without_log(failure),
        },
        TaskPhase::Cancelled => TaskState::Cancelled,
    }
}

/// The message with the causes at the end of the log: tasks that fail alike have them
/// in common, and not the rest of the log.
fn with_causes(failure: &Failure) -> String {
    let causes = failure
        .log
        .iter()
        .filter(|line| line.starts_with("caused by:"));
    let mut message = failure.message.clone();
    for cause in causes {
        message.push('\n');
        message.push_str(cause);
    }
    message
}

fn without_log(failure: &Failure) -> Failure {
    Failure {
        class: failure.class,
        message: failure.message.clone(),
        log: Vec::new(),
    }
}

/// Whether a key's hexadecimal digits begin with these.
fn begins(key: TaskKey, digits: &[u8]) -> bool {
    digits.len() <= 64
        && digits.iter().enumerate().all(|(place, digit)| {
            let byte = key.0.as_bytes()[place / 2];
            let half = if place % 2 == 0 { byte >> 4 } else { byte & 15 };
            b"0123456789abcdef"[usize::from(half)] == *digit
        })
}
