//! Questions about the state, and what clients ask to be done.
//!
//! The loop answers a question from memory, in a bounded page: see
//! `reprise_core::lifecycle` for the bounds. Results are read elsewhere, from the
//! store.

use std::fmt;

use reprise_core::lifecycle::{
    Actor, Core, HeldAttempt, Input, Matches, Refusal, StageView, StudyControl, TaskEntry,
    TaskPage, WorkerView,
};
use reprise_domain::record::{TaskFilter, Worker, WorkerState};
use reprise_domain::status::{Control, StageStatus, StudySummary, Unserved};
use reprise_domain::study::StudySpec;
use reprise_domain::{Capability, Digest, FailureClass, StudyName, TaskKey, TaskSpec, WorkerId};

use super::handle::{Handle, Request, Unavailable};

/// Something that is asked of the core.
pub(super) struct Question(Box<dyn FnOnce(&Core) + Send>);

impl Question {
    pub(super) fn answer(self, core: &Core) {
        (self.0)(core);
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").finish_non_exhaustive()
    }
}

/// A study with its stages.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The study in a line.
    pub study: StudySummary,
    /// Its stages, in plan order.
    pub stages: Vec<StageStatus>,
    /// Workers that are connected now.
    pub workers_connected: u32,
    /// Ready tasks that none of them can run.
    pub unserved: Vec<Unserved>,
}

/// Some of the failed tasks of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailurePage {
    /// Their keys and causes, in plan order.
    pub tasks: Vec<(TaskKey, FailureClass, String)>,
    /// Position after the last one; nothing when there are no more.
    pub next: Option<u32>,
}

impl Handle {
    /// Summaries of the studies that come after `after` in alphabetical order.
    pub async fn summaries(
        &self,
        after: Option<StudyName>,
        most: usize,
    ) -> Result<Vec<StudySummary>, Unavailable> {
        self.look(move |core| core.summaries(after.as_ref(), most))
            .await
    }

    /// Where a study stands.
    pub async fn standing(&self, study: StudyName) -> Result<Option<Standing>, Unavailable> {
        self.look(move |core| {
            let view = core.study(&study)?;
            Some(Standing {
                study: view.summary(),
                stages: view.stages.iter().map(StageView::status).collect(),
                workers_connected: core.connected_workers(),
                unserved: core.unserved(&study),
            })
        })
        .await
    }

    /// A study as it was submitted.
    pub async fn study_spec(
        &self,
        study: StudyName,
    ) -> Result<Option<(Digest, StudySpec)>, Unavailable> {
        self.look(move |core| {
            core.study(&study)
                .map(|view| (view.digest, view.spec.clone()))
        })
        .await
    }

    /// Tasks of a study from a position on.
    pub async fn task_page(
        &self,
        study: StudyName,
        from: usize,
        most: usize,
        filter: TaskFilter,
    ) -> Result<Option<TaskPage>, Unavailable> {
        self.look(move |core| core.task_page(&study, from, most, &filter))
            .await
    }

    /// A task with the studies that want it.
    pub async fn task_entry(
        &self,
        key: TaskKey,
    ) -> Result<Option<(TaskEntry, Vec<StudyName>)>, Unavailable> {
        self.look(move |core| core.task_entry(key)).await
    }

    /// A study that has a task in its plan, one that `by` may act on where there is one.
    pub async fn study_of(
        &self,
        key: TaskKey,
        by: Actor,
    ) -> Result<Option<StudyName>, Unavailable> {
        self.look(move |core| {
            let allowed = core.studies_of(key).find(|name| core.allows(name, &by));
            allowed.or_else(|| core.studies_of(key).next()).cloned()
        })
        .await
    }

    /// What a task is.
    pub async fn task_spec(&self, key: TaskKey) -> Result<Option<TaskSpec>, Unavailable> {
        self.look(move |core| core.spec(key)).await
    }

    /// Attempts at a task that workers have, with what those offer.
    pub async fn held(&self, key: TaskKey) -> Result<Vec<(HeldAttempt, Capability)>, Unavailable> {
        self.look(move |core| {
            let held = core.held(key).into_iter();
            let offer = |held: &HeldAttempt| core.worker(held.worker);
            held.map(|held| {
                let offer = offer(&held).map(|worker| worker.capability.clone());
                (held, offer.unwrap_or_default())
            })
            .collect()
        })
        .await
    }

    /// Tasks of a study that were given up, from a position on.
    pub async fn failures(
        &self,
        study: StudyName,
        from: u32,
    ) -> Result<Option<FailurePage>, Unavailable> {
        self.look(move |core| {
            let page = core.failed_page(&study, from)?;
            let tasks = page.tasks.iter();
            Some(FailurePage {
                tasks: tasks
                    .map(|task| (task.key, task.class, task.message.clone()))
                    .collect(),
                next: page.next,
            })
        })
        .await
    }

    /// Tasks whose key begins so; all tasks are looked through, page by page.
    pub async fn matches(&self, beginning: String) -> Result<Vec<TaskKey>, Unavailable> {
        let mut keys = Vec::new();
        let mut from = 0;
        loop {
            let text = beginning.clone();
            let Matches { keys: found, next } =
                self.look(move |core| core.matches(&text, from)).await?;
            keys.extend(found);
            match next {
                Some(next) if keys.len() < 2 => from = next,
                _ => return Ok(keys),
            }
        }
    }

    /// Workers that come after `after` in the order of their ids.
    pub async fn workers(
        &self,
        after: Option<WorkerId>,
        most: usize,
    ) -> Result<Vec<Worker>, Unavailable> {
        self.look(move |core| core.worker_page(after, most).iter().map(worker).collect())
            .await
    }

    /// A worker that is known.
    pub async fn worker(&self, id: WorkerId) -> Result<Option<Worker>, Unavailable> {
        self.look(move |core| core.worker(id).map(|view| worker(&view)))
            .await
    }

    /// Cancels, pauses or resumes a study.
    pub async fn control(
        &self,
        study: StudyName,
        control: Control,
        by: Actor,
    ) -> Result<Result<u64, Refusal>, Unavailable> {
        let control = match control {
            Control::Cancel => StudyControl::Cancel,
            Control::Pause => StudyControl::Pause,
            Control::Resume => StudyControl::Resume,
        };
        self.command(Input::Control { study, control, by }).await
    }

    /// Removes a study.
    pub async fn delete(
        &self,
        study: StudyName,
        by: Actor,
    ) -> Result<Result<u64, Refusal>, Unavailable> {
        let control = StudyControl::Delete;
        self.command(Input::Control { study, control, by }).await
    }

    /// Lets the core decide on what a client asks; tells how many tasks it opened
    /// again.
    pub async fn command(&self, input: Input) -> Result<Result<u64, Refusal>, Unavailable> {
        let input = Box::new(input);
        self.ask(|reply| Request::Command { input, reply }).await
    }

    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.ask(|reply| {
            Request::Question(Question(Box::new(move |core| drop(reply.send(look(core))))))
        })
        .await
    }
}

fn worker(view: &WorkerView<'_>) -> Worker {
    let capability = view.capability;
    Worker {
        id: view.id,
        host: capability.host.clone(),
        device: capability.device.to_string(),
        version: capability.version.clone(),
        libtorch: capability.libtorch.clone(),
        slots: capability.slots,
        held_attempts: view.held as u64,
        state: match (view.connected, view.draining || view.drained) {
            (false, _) => WorkerState::Away,
            (true, true) => WorkerState::Draining,
            (true, false) => WorkerState::Connected,
        },
    }
}
