//! Single tasks for clients.

use std::collections::BTreeMap;

use reprise_core::lifecycle::{Actor, Input};
use reprise_domain::record::TaskFilter;
use reprise_domain::{StudyName, TaskKey};
use reprise_proto::convert;
use reprise_proto::pb::retry_request::What;
use reprise_proto::pb::task_service_server::TaskService;
use reprise_proto::pb::{
    ChangedTasks, InvalidateRequest, LogChunk, LogRequest, RetryRequest, TaskDetail,
    TaskListRequest, TaskListResponse, TaskRequest,
};
use reprise_proto::status::{ApiError, ErrorCode};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::guard::actor;
use super::logs::Log;
use super::page;
use super::study::{Streamed, refused, study_name};
use crate::artifact::ArtifactStore;
use crate::engine::Handle;
use crate::reading::{Reading, unavailable};

/// Most tasks that are invalidated by one request.
const MOST_INVALIDATED: usize = 1000;

/// Tasks as clients ask for them.
#[derive(Debug)]
pub(super) struct TaskApi {
    engine: Handle,
    reading: Reading,
    artifacts: ArtifactStore,
    shutdown: CancellationToken,
}

impl TaskApi {
    pub(super) fn new(
        engine: Handle,
        reading: Reading,
        artifacts: ArtifactStore,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            engine,
            reading,
            artifacts,
            shutdown,
        }
    }

    /// A task, and a study that has it in its plan: one of those that `by` may act on,
    /// if there is one.
    async fn find(&self, beginning: &str, by: &Actor) -> Result<(TaskKey, StudyName), ApiError> {
        let key = self.reading.find(beginning).await?;
        let study = self.engine.study_of(key, by.clone()).await;
        let study = study.map_err(unavailable)?;
        let study = study.ok_or_else(|| {
            ApiError::new(
                ErrorCode::NotFound,
                format_args!("no study has task `{key}` in its plan any more"),
            )
        })?;
        Ok((key, study))
    }

    async fn change(&self, input: Input) -> Result<u64, ApiError> {
        let answer = self.engine.command(input).await.map_err(unavailable)?;
        answer.map_err(|refusal| refused(&refusal))
    }

    async fn retry(&self, what: Option<What>, by: Actor) -> Result<u64, ApiError> {
        let (study, tasks) = match what {
            Some(What::Study(study)) => (study_name(&study)?, Vec::new()),
            Some(What::Task(task)) => {
                let (key, study) = self.find(&task, &by).await?;
                (study, vec![key])
            }
            None => {
                let text = "a retry names neither a study nor a task";
                return Err(ApiError::new(ErrorCode::InvalidRequest, text));
            }
        };
        self.change(Input::Retry { study, tasks, by }).await
    }

    async fn invalidate(&self, tasks: &[String], by: &Actor) -> Result<u64, ApiError> {
        if tasks.is_empty() || tasks.len() > MOST_INVALIDATED {
            return Err(ApiError::new(
                ErrorCode::InvalidRequest,
                format_args!(
                    "`{}` tasks to invalidate: expected 1 to {MOST_INVALIDATED}",
                    tasks.len()
                ),
            ));
        }
        let mut found: BTreeMap<StudyName, Vec<TaskKey>> = BTreeMap::new();
        for task in tasks {
            let (key, study) = self.find(task, by).await?;
            found.entry(study).or_default().push(key);
        }
        let mut changed = 0;
        for (study, tasks) in found {
            let by = by.clone();
            changed += self.change(Input::Invalidate { study, tasks, by }).await?;
        }
        Ok(changed)
    }
}

#[tonic::async_trait]
impl TaskService for TaskApi {
    type LogsStream = Streamed<LogChunk>;

    async fn list(
        &self,
        request: Request<TaskListRequest>,
    ) -> Result<Response<TaskListResponse>, Status> {
        let request = request.into_inner();
        let study = study_name(&request.study)?;
        let most = page::size(request.page_size)?;
        let from = page::position(&request.page_token)?;
        let states = request.states().map(convert::record::state_kind);
        let filter = TaskFilter {
            states: states.collect::<Result<_, _>>().map_err(ApiError::from)?,
            method: request.method,
            dataset: request.dataset,
            seed: request.seed,
            stage: request.stage,
        };
        let (tasks, next) = self.reading.tasks(&study, from, most, filter).await?;
        Ok(Response::new(TaskListResponse {
            tasks: tasks.iter().map(Into::into).collect(),
            next_page_token: next.map_or_else(String::new, page::token),
        }))
    }

    async fn get(&self, request: Request<TaskRequest>) -> Result<Response<TaskDetail>, Status> {
        let key = self.reading.find(&request.into_inner().task).await?;
        let detail = self.reading.detail(key).await?;
        Ok(Response::new((&detail).into()))
    }

    async fn logs(
        &self,
        request: Request<LogRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let request = request.into_inner();
        let key = self.reading.find(&request.task).await?;
        let log = Log {
            engine: self.engine.clone(),
            artifacts: self.artifacts.clone(),
            shutdown: self.shutdown.clone(),
        };
        let chunks = log.chunks(key, request.attempt, request.follow).await?;
        Ok(Response::new(chunks))
    }

    async fn retry(
        &self,
        request: Request<RetryRequest>,
    ) -> Result<Response<ChangedTasks>, Status> {
        let by = actor(&request);
        let tasks = Self::retry(self, request.into_inner().what, by).await?;
        Ok(Response::new(ChangedTasks { tasks }))
    }

    async fn invalidate(
        &self,
        request: Request<InvalidateRequest>,
    ) -> Result<Response<ChangedTasks>, Status> {
        let by = actor(&request);
        let tasks = Self::invalidate(self, &request.into_inner().tasks, &by).await?;
        Ok(Response::new(ChangedTasks { tasks }))
    }
}
