//! Studies for clients.

use std::pin::Pin;

use futures::{Stream, TryStreamExt as _, stream};
use reprise_core::lifecycle::Refusal;
use reprise_core::plan::PlanError;
use reprise_domain::StudyName;
use reprise_proto::convert;
use reprise_proto::pb::study_service_server::StudyService;
use reprise_proto::pb::{
    ArchivedResult, ControlRequest, ControlResponse, DeleteResponse, ListRequest, ListResponse,
    ResultsRequest, StudyRequest, StudySpec, StudyStatus, StudyUpdate, SubmitRequest,
    SubmitResponse, TaskRecord, UnarchiveRequest, UnarchiveResponse,
};
use reprise_proto::status::{ApiError, ErrorCode};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::guard::actor;
use super::watch::Watcher;
use super::{archive, page, submission};
use crate::artifact::ArtifactStore;
use crate::background;
use crate::engine::{Handle, SubmitError};
use crate::reading::{Reading, unavailable, unknown};
use crate::security::Caller;

/// The client's side of the coordinator.
#[derive(Debug)]
pub(super) struct StudyApi {
    engine: Handle,
    reading: Reading,
    artifacts: ArtifactStore,
    shutdown: CancellationToken,
}

impl StudyApi {
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
}

/// What a call sends bit by bit.
pub(super) type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl StudyService for StudyApi {
    type WatchStream = Streamed<StudyUpdate>;
    type ResultsStream = Streamed<TaskRecord>;
    type ArchiveStream = Streamed<ArchivedResult>;

    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let by = actor(&request);
        let request = request.into_inner();
        let spec: reprise_domain::study::StudySpec =
            convert::from_json("submit.spec", &request.spec).map_err(ApiError::from)?;
        submission::check(&spec, &self.artifacts).await?;
        let study = spec.name.clone();
        let resumed = self
            .engine
            .submit(spec, request.amend, by)
            .await
            .map_err(unavailable)?
            .map_err(|error| submit_error(&error))?;
        let standing = self.reading.standing(&study).await?;
        Ok(Response::new(SubmitResponse {
            resumed,
            study: Some((&standing.study).into()),
        }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let request = request.into_inner();
        let most = page::size(request.page_size)?;
        let after = match request.page_token.as_str() {
            "" => None,
            name => Some(study_name(name)?),
        };
        let studies = self
            .engine
            .summaries(after, most)
            .await
            .map_err(unavailable)?;
        let last = studies.last().filter(|_| studies.len() == most);
        Ok(Response::new(ListResponse {
            next_page_token: last.map_or_else(String::new, |last| last.name.to_string()),
            studies: studies.iter().map(Into::into).collect(),
        }))
    }

    async fn status(
        &self,
        request: Request<StudyRequest>,
    ) -> Result<Response<StudyStatus>, Status> {
        let study = study_name(&request.into_inner().study)?;
        let status = self.reading.status(&study).await?;
        Ok(Response::new((&status).into()))
    }

    async fn spec(&self, request: Request<StudyRequest>) -> Result<Response<StudySpec>, Status> {
        let study = study_name(&request.into_inner().study)?;
        let spec = self.engine.study_spec(study.clone()).await;
        let (digest, spec) = spec.map_err(unavailable)?.ok_or_else(|| unknown(&study))?;
        Ok(Response::new(StudySpec {
            spec_json: convert::to_json(&spec),
            digest: convert::digest_bytes(digest),
        }))
    }

    async fn watch(
        &self,
        request: Request<StudyRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = request.extensions().get::<Caller>().cloned();
        let study = study_name(&request.into_inner().study)?;
        let (changes, shutdown) = (self.engine.changes(), self.shutdown.clone());
        let watcher = Watcher::new(self.reading.clone(), changes, shutdown, caller, study);
        Ok(Response::new(watcher.updates().await?))
    }

    async fn control(
        &self,
        request: Request<ControlRequest>,
    ) -> Result<Response<ControlResponse>, Status> {
        let by = actor(&request);
        let request = request.into_inner();
        let study = study_name(&request.study)?;
        let control = convert::status::control(request.control()).map_err(ApiError::from)?;
        self.engine
            .control(study.clone(), control, by)
            .await
            .map_err(unavailable)?
            .map_err(|refusal| refused(&refusal))?;
        let standing = self.reading.standing(&study).await?;
        Ok(Response::new(ControlResponse {
            study: Some((&standing.study).into()),
        }))
    }

    async fn delete(
        &self,
        request: Request<StudyRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let by = actor(&request);
        let study = study_name(&request.into_inner().study)?;
        self.engine
            .delete(study, by)
            .await
            .map_err(unavailable)?
            .map_err(|refusal| refused(&refusal))?;
        Ok(Response::new(DeleteResponse {}))
    }

    async fn results(
        &self,
        request: Request<ResultsRequest>,
    ) -> Result<Response<Self::ResultsStream>, Status> {
        let request = request.into_inner();
        let study = study_name(&request.study)?;
        let form = request.form();
        // An unknown study is told as an answer, and not within the stream.
        self.reading.standing(&study).await?;
        let pages = self.reading.records(study).map_err(Status::from);
        // Not by the task of the connection, which others wait for.
        let converted = pages.and_then(move |records| async move {
            let convert = move || {
                let records = records.iter();
                let converted = records.map(|record| convert::record::task_record(record, form));
                converted.collect::<Vec<_>>()
            };
            Ok(background::run(convert).await)
        });
        let records = converted.map_ok(|records| stream::iter(records.into_iter().map(Ok)));
        Ok(Response::new(Box::pin(records.try_flatten())))
    }

    async fn archive(
        &self,
        request: Request<StudyRequest>,
    ) -> Result<Response<Self::ArchiveStream>, Status> {
        let study = study_name(&request.into_inner().study)?;
        // An unknown study is told as an answer, and not within the stream.
        self.reading.standing(&study).await?;
        Ok(Response::new(archive::archive(&self.reading, study)))
    }

    async fn unarchive(
        &self,
        request: Request<Streaming<UnarchiveRequest>>,
    ) -> Result<Response<UnarchiveResponse>, Status> {
        let by = actor(&request);
        let caller = request.extensions().get::<Caller>().cloned();
        let caller =
            caller.ok_or_else(|| ApiError::new(ErrorCode::Internal, "the stream has no caller"))?;
        let results = request.into_inner();
        let unarchived = archive::unarchive(&self.engine, &self.artifacts, results, caller, by);
        let counts = unarchived.await?;
        Ok(Response::new(counts.into()))
    }
}

pub(super) fn study_name(text: &str) -> Result<StudyName, ApiError> {
    text.parse()
        .map_err(|error| ApiError::new(ErrorCode::InvalidRequest, error))
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

pub(super) fn refused(refusal: &Refusal) -> ApiError {
    let code = match refusal {
        Refusal::UnknownStudy { .. }
        | Refusal::UnknownTask { .. }
        | Refusal::UnknownWorker { .. } => ErrorCode::NotFound,
        Refusal::NotYours { .. } => ErrorCode::Forbidden,
        Refusal::Full { .. } => ErrorCode::TooLarge,
        Refusal::SpecChanged { .. } | Refusal::PlanOutdated { .. } => ErrorCode::SpecChanged,
        _ => ErrorCode::InvalidRequest,
    };
    let error = ApiError::new(code, refusal);
    match refusal {
        Refusal::SpecChanged { .. } => {
            error.hint("pass `--amend` to go on with the new spec, or give it another name")
        }
        Refusal::PlanOutdated { .. } => error.hint(
            "pass `--amend` to plan it anew, or give it another name; its finished results \
             are not used then, and `reprise export` shows them until then",
        ),
        _ => error,
    }
}
