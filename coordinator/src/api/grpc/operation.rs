//! The coordinator as a whole for clients: workers and events.

use futures::StreamExt as _;
use reprise_core::lifecycle::Input;
use reprise_domain::record::{Occurrence, Worker};
use reprise_domain::{Uuid, WorkerId};
use reprise_proto::pb::operation_service_server::OperationService;
use reprise_proto::pb::{
    DrainRequest, DrainResponse, Event, EventsRequest, WorkersRequest, WorkersResponse,
};
use reprise_proto::status::{ApiError, ErrorCode};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::page;
use super::study::{Streamed, refused};
use crate::engine::{Handle, Listener};
use crate::reading::unavailable;
use crate::security::Caller;

/// Workers that are looked at at once.
const PAGE: usize = 1000;

/// Least number of hexadecimal digits by which a worker is looked up.
const LEAST_DIGITS: usize = 4;

/// Workers and events as clients ask for them.
#[derive(Debug)]
pub(super) struct OperationApi {
    engine: Handle,
    shutdown: CancellationToken,
}

impl OperationApi {
    pub(super) fn new(engine: Handle, shutdown: CancellationToken) -> Self {
        Self { engine, shutdown }
    }

    /// The one worker whose id begins so, or whose host is called so.
    async fn find(&self, named: &str) -> Result<Worker, ApiError> {
        let digits: String = named.chars().filter(|digit| *digit != '-').collect();
        let is_id = digits.len() >= LEAST_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let digits = digits.to_ascii_lowercase();
        let mut found: Vec<Worker> = Vec::new();
        let mut after = None;
        loop {
            let workers = self
                .engine
                .workers(after, PAGE)
                .await
                .map_err(unavailable)?;
            let is_last = workers.len() < PAGE;
            after = workers.last().map(|worker| worker.id);
            found.extend(workers.into_iter().filter(|worker| {
                let id = worker.id.0.simple().to_string();
                worker.host == named || (is_id && id.starts_with(&digits))
            }));
            if is_last {
                break;
            }
        }
        let shown: String = named.chars().take(80).collect();
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(ApiError::new(
                ErrorCode::NotFound,
                format_args!("there is no worker `{shown}`"),
            )
            .hint("`reprise workers` lists the workers with their ids")),
            several => Err(ApiError::new(
                ErrorCode::InvalidRequest,
                format_args!("`{shown}` means {several} workers"),
            )
            .hint("`reprise workers` lists the workers with their ids; give one of them")),
        }
    }
}

#[tonic::async_trait]
impl OperationService for OperationApi {
    type EventsStream = Streamed<Event>;

    async fn workers(
        &self,
        request: Request<WorkersRequest>,
    ) -> Result<Response<WorkersResponse>, Status> {
        let request = request.into_inner();
        let most = page::size(request.page_size)?;
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(WorkerId(Uuid::parse_str(token).map_err(|_| page::wrong())?)),
        };
        let workers = self
            .engine
            .workers(after, most)
            .await
            .map_err(unavailable)?;
        let last = workers.last().filter(|_| workers.len() == most);
        Ok(Response::new(WorkersResponse {
            next_page_token: last.map_or_else(String::new, |last| last.id.to_string()),
            workers: workers.iter().map(Into::into).collect(),
        }))
    }

    async fn drain(
        &self,
        request: Request<DrainRequest>,
    ) -> Result<Response<DrainResponse>, Status> {
        let DrainRequest { worker, undo } = request.into_inner();
        let found = self.find(&worker).await?;
        let input = Input::Drain {
            worker: found.id,
            drained: !undo,
        };
        let answer = self.engine.command(input).await.map_err(unavailable)?;
        answer.map_err(|refusal| refused(&refusal))?;
        let now = self.engine.worker(found.id).await.map_err(unavailable)?;
        let worker = now.unwrap_or(found);
        Ok(Response::new(DrainResponse {
            worker: Some((&worker).into()),
        }))
    }

    async fn events(
        &self,
        request: Request<EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        let caller = request.extensions().get::<Caller>().cloned();
        let request = request.into_inner();
        let hearing = Hearing {
            listener: self
                .engine
                .listen(u64::from(request.recent), request.follow),
            shutdown: self.shutdown.clone(),
            caller,
            ended: false,
        };
        let events = futures::stream::unfold(hearing, |mut hearing| async move {
            let heard = hearing.next().await?;
            let events: Vec<Result<Event, Status>> = match heard {
                Ok(heard) => heard.iter().map(|event| Ok(event.into())).collect(),
                Err(error) => vec![Err(error.into())],
            };
            Some((futures::stream::iter(events), hearing))
        });
        Ok(Response::new(Box::pin(events.flatten())))
    }
}

/// Events that somebody hears.
struct Hearing {
    listener: Listener,
    shutdown: CancellationToken,
    /// Who hears: a credential may end before the events do.
    caller: Option<Caller>,
    ended: bool,
}

impl Hearing {
    async fn next(&mut self) -> Option<Result<Vec<Occurrence>, ApiError>> {
        if self.ended {
            return None;
        }
        let heard = tokio::select! {
            heard = self.listener.hear() => heard?,
            () = self.shutdown.cancelled() => {
                self.ended = true;
                let text = "the coordinator is stopping";
                return Some(Err(ApiError::new(ErrorCode::Unavailable, text)));
            }
        };
        if let Some(Err(error)) = self.caller.as_ref().map(Caller::check) {
            self.ended = true;
            return Some(Err(error));
        }
        Some(Ok(heard))
    }
}
