//! What clients ask of tasks, workers and events.

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use reprise_domain::StudyName;
use reprise_domain::record::{Occurrence, Task, TaskDetail, TaskFilter, Worker};
use reprise_proto::convert::ConvertError;
use reprise_proto::pb;
use reprise_proto::pb::retry_request::What;
use reprise_proto::status::ApiError;

use super::{Client, Page, typed};

/// Text that an attempt has logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Which attempt.
    pub attempt: u32,
    /// The text.
    pub text: String,
    /// Whether text before it is lost.
    pub gap: bool,
}

impl Client {
    /// Tasks of a study that a filter lets through, page by page.
    pub async fn tasks(
        &mut self,
        study: &StudyName,
        filter: &TaskFilter,
        token: Option<String>,
    ) -> Result<Page<Task>, ApiError> {
        let states = filter.states.iter().copied().map(pb::TaskState::from);
        let request = pb::TaskListRequest {
            study: study.to_string(),
            states: states.map(Into::into).collect(),
            method: filter.method.clone(),
            dataset: filter.dataset.clone(),
            seed: filter.seed,
            stage: filter.stage.clone(),
            page_size: 0,
            page_token: token.unwrap_or_default(),
        };
        let response = self.clients.task.list(request).await.map_err(typed)?;
        let response = response.into_inner();
        Page::new(response.tasks, response.next_page_token)
    }

    /// A task with its attempts, by its key or the beginning of it.
    pub async fn task(&mut self, task: &str) -> Result<TaskDetail, ApiError> {
        let task = task.to_owned();
        let response = self.clients.task.get(pb::TaskRequest { task }).await;
        Ok(response.map_err(typed)?.into_inner().try_into()?)
    }

    /// What an attempt at a task has logged; the newest one where none is given.
    pub async fn logs(
        &mut self,
        task: &str,
        attempt: Option<u32>,
        follow: bool,
    ) -> Result<impl Stream<Item = Result<Logged, ApiError>> + use<>, ApiError> {
        let request = pb::LogRequest {
            task: task.to_owned(),
            attempt: attempt.unwrap_or_default(),
            follow,
        };
        let response = self.clients.task.logs(request).await.map_err(typed)?;
        let chunks = response.into_inner().map_err(typed);
        Ok(chunks
            .map_ok(|chunk| Logged {
                attempt: chunk.attempt,
                text: String::from_utf8_lossy(&chunk.text).into_owned(),
                gap: chunk.gap,
            })
            .boxed())
    }

    /// Starts the given-up tasks of a study afresh; tells how many.
    pub async fn retry_study(&mut self, study: &StudyName) -> Result<u64, ApiError> {
        self.retry(What::Study(study.to_string())).await
    }

    /// Starts a given-up task afresh; tells how many, which is one.
    pub async fn retry_task(&mut self, task: &str) -> Result<u64, ApiError> {
        self.retry(What::Task(task.to_owned())).await
    }

    async fn retry(&mut self, what: What) -> Result<u64, ApiError> {
        let request = pb::RetryRequest { what: Some(what) };
        let response = self.clients.task.retry(request).await.map_err(typed)?;
        Ok(response.into_inner().tasks)
    }

    /// Forgets the results of finished tasks; tells how many run again.
    pub async fn invalidate(&mut self, tasks: &[String]) -> Result<u64, ApiError> {
        let tasks = tasks.to_vec();
        let response = self
            .clients
            .task
            .invalidate(pb::InvalidateRequest { tasks })
            .await;
        Ok(response.map_err(typed)?.into_inner().tasks)
    }

    /// Workers in the order of their ids, page by page.
    pub async fn workers(&mut self, token: Option<String>) -> Result<Page<Worker>, ApiError> {
        let request = pb::WorkersRequest {
            page_size: 0,
            page_token: token.unwrap_or_default(),
        };
        let response = self
            .clients
            .operation
            .workers(request)
            .await
            .map_err(typed)?;
        let response = response.into_inner();
        Page::new(response.workers, response.next_page_token)
    }

    /// Lets a worker finish what it has and gives it nothing more; or takes that back.
    pub async fn drain(&mut self, worker: &str, undo: bool) -> Result<Worker, ApiError> {
        let worker = worker.to_owned();
        let response = self
            .clients
            .operation
            .drain(pb::DrainRequest { worker, undo })
            .await;
        let worker = response.map_err(typed)?.into_inner().worker;
        let worker = worker.ok_or(ConvertError::Missing { field: "worker" })?;
        Ok(worker.try_into()?)
    }

    /// The newest events, and those that come where `follow` says so.
    pub async fn events(
        &mut self,
        recent: u32,
        follow: bool,
    ) -> Result<impl Stream<Item = Result<Occurrence, ApiError>> + use<>, ApiError> {
        let request = pb::EventsRequest { recent, follow };
        let response = self
            .clients
            .operation
            .events(request)
            .await
            .map_err(typed)?;
        let events = response.into_inner().map_err(typed);
        Ok(events
            .map(|event| Ok(Occurrence::try_from(event?)?))
            .boxed())
    }
}
