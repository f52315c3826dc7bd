//! Studies for clients.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::Stream;
use reprise_core::lifecycle::Refusal;
use reprise_core::plan::PlanError;
use reprise_domain::StudyName;
use reprise_domain::status::{StudyState, StudyStatus};
use reprise_proto::convert;
use reprise_proto::pb::study_service_server::StudyService;
use reprise_proto::pb::{
    self, ControlRequest, ControlResponse, ListRequest, ListResponse, StatusResponse, StudyRequest,
    SubmitRequest, SubmitResponse, TaskRecord,
};
use reprise_proto::status::{ApiError, ErrorCode};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::submission;
use super::worker::unavailable;
use crate::artifact::ArtifactStore;
use crate::engine::{Control, Handle, SubmitError};
use crate::security::Caller;

/// Least mean time between two messages of a watch: ten a second is as fast as
/// anybody reads.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Messages of a watch that may follow each other at once after a silence, so that
/// the end of a short study is seen when it comes.
const WATCH_BURST: u32 = 10;

/// The client's side of the coordinator.
#[derive(Debug)]
pub(super) struct StudyApi {
    engine: Handle,
    artifacts: ArtifactStore,
    shutdown: CancellationToken,
}

impl StudyApi {
    pub(super) fn new(
        engine: Handle,
        artifacts: ArtifactStore,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            engine,
            artifacts,
            shutdown,
        }
    }
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl StudyService for StudyApi {
    type WatchStream = Streamed<StatusResponse>;
    type ResultsStream = Streamed<TaskRecord>;

    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let request = request.into_inner();
        let spec = convert::from_json("submit.spec", &request.spec).map_err(ApiError::from)?;
        submission::check(&spec, &self.artifacts).await?;
        let resumed = self
            .engine
            .submit(spec, request.amend)
            .await
            .map_err(unavailable)?
            .map_err(|error| submit_error(&error))?;
        Ok(Response::new(SubmitResponse { resumed }))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let studies = self.engine.list().await.map_err(unavailable)?;
        Ok(Response::new(ListResponse {
            studies: studies.iter().map(ToString::to_string).collect(),
        }))
    }

    async fn status(
        &self,
        request: Request<StudyRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let study = study_name(&request.into_inner().study)?;
        Ok(Response::new(encode(&look_up(&self.engine, &study).await?)))
    }

    async fn watch(
        &self,
        request: Request<StudyRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = request.extensions().get::<Caller>().cloned();
        let study = study_name(&request.into_inner().study)?;
        let mut changes = self.engine.changes();
        changes.mark_unchanged();
        let first = look_up(&self.engine, &study).await?;
        let watcher = Watcher {
            engine: self.engine.clone(),
            changes,
            pace: Instant::now(),
            shutdown: self.shutdown.clone(),
            caller,
            study,
            first: Some(first),
            ended: false,
        };
        Ok(Response::new(Box::pin(futures::stream::unfold(
            watcher,
            Watcher::step,
        ))))
    }

    async fn control(
        &self,
        request: Request<ControlRequest>,
    ) -> Result<Response<ControlResponse>, Status> {
        let request = request.into_inner();
        let study = study_name(&request.study)?;
        let control = match request.control() {
            pb::Control::Cancel => Control::Cancel,
            pb::Control::Pause => Control::Pause,
            pb::Control::Resume => Control::Resume,
            pb::Control::Unspecified => {
                return Err(ApiError::new(
                    ErrorCode::InvalidRequest,
                    "a control request names no control",
                )
                .into());
            }
        };
        self.engine
            .control(study, control)
            .await
            .map_err(unavailable)?
            .map_err(|refusal| refused(&refusal))?;
        Ok(Response::new(ControlResponse {}))
    }

    async fn results(
        &self,
        request: Request<StudyRequest>,
    ) -> Result<Response<Self::ResultsStream>, Status> {
        let study = study_name(&request.into_inner().study)?;
        let records = self
            .engine
            .records(study.clone())
            .await
            .map_err(unavailable)?
            .ok_or_else(|| unknown(&study))?;
        let records = records.into_iter().map(|record| {
            Ok(TaskRecord {
                task: convert::digest_bytes(record.key.0),
                record: convert::to_json(&record),
            })
        });
        Ok(Response::new(Box::pin(futures::stream::iter(records))))
    }
}

/// A study that somebody watches.
struct Watcher {
    engine: Handle,
    changes: tokio::sync::watch::Receiver<u64>,
    /// When the last message would have been due had all been sent at the mean
    /// rate.
    pace: Instant,
    shutdown: CancellationToken,
    /// Who watches: a credential may end before the study does.
    caller: Option<Caller>,
    study: StudyName,
    /// What is sent at once.
    first: Option<StudyStatus>,
    /// Whether the study has, or the watch.
    ended: bool,
}

impl Watcher {
    async fn step(mut self) -> Option<(Result<StatusResponse, Status>, Self)> {
        let status = match self.first.take() {
            Some(first) => first,
            None if self.ended => return None,
            None => match self.changed().await {
                Ok(status) => status,
                Err(error) => {
                    self.ended = true;
                    return error.map(|error| (Err(error), self));
                }
            },
        };
        self.ended = !matches!(status.state, StudyState::Running | StudyState::Paused);
        Some((Ok(encode(&status)), self))
    }

    /// The next status; `None` inside the error when the coordinator stops.
    async fn changed(&mut self) -> Result<StudyStatus, Option<Status>> {
        tokio::select! {
            changed = self.changes.changed() => changed.map_err(|_| None)?,
            () = self.shutdown.cancelled() => return Err(None),
        }
        self.keep_pace().await;
        self.changes.mark_unchanged();
        if let Some(caller) = &self.caller {
            caller.check().map_err(|error| {
                caller.refused(&error);
                Some(error.into())
            })?;
        }
        look_up(&self.engine, &self.study)
            .await
            .map_err(|error| Some(error.into()))
    }

    /// Waits while messages are ahead of their rate by more than the burst.
    async fn keep_pace(&mut self) {
        let ahead = self.pace.saturating_duration_since(Instant::now());
        tokio::time::sleep(ahead.saturating_sub(WATCH_INTERVAL * (WATCH_BURST - 1))).await;
        self.pace = self.pace.max(Instant::now()) + WATCH_INTERVAL;
    }
}

async fn look_up(engine: &Handle, study: &StudyName) -> Result<StudyStatus, ApiError> {
    engine
        .status(study.clone())
        .await
        .map_err(unavailable)?
        .ok_or_else(|| unknown(study))
}

fn encode(status: &StudyStatus) -> StatusResponse {
    StatusResponse {
        status: convert::to_json(status),
    }
}

fn study_name(text: &str) -> Result<StudyName, ApiError> {
    text.parse()
        .map_err(|error| ApiError::new(ErrorCode::InvalidRequest, error))
}

fn unknown(study: &StudyName) -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        format_args!("there is no study `{study}`"),
    )
    .hint("`reprise list` names the studies of this coordinator")
}

fn submit_error(error: &SubmitError) -> ApiError {
    match error {
        SubmitError::Plan(
            error @ (PlanError::TooManyTasks { .. } | PlanError::TooManyStages { .. }),
        ) => ApiError::new(ErrorCode::TooLarge, error),
        SubmitError::Plan(error) => ApiError::new(ErrorCode::InvalidRequest, error),
        SubmitError::Refused(refusal) => refused(refusal),
    }
}

fn refused(refusal: &Refusal) -> ApiError {
    let code = match refusal {
        Refusal::UnknownStudy { .. } => ErrorCode::NotFound,
        Refusal::SpecChanged { .. } => ErrorCode::SpecChanged,
        _ => ErrorCode::InvalidRequest,
    };
    let error = ApiError::new(code, refusal);
    match refusal {
        Refusal::SpecChanged { .. } => {
            error.hint("pass `--amend` to go on with the new spec, or give it another name")
        }
        _ => error,
    }
}
