//! The one place where requests are let through: asks who may call what before a
//! service sees a request, and logs what was refused, here or by the service.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use reprise_core::lifecycle::Actor;
use reprise_proto::MAX_MESSAGE_BYTES;
use reprise_proto::status::{ApiError, ErrorCode};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::{Code, Status};

use crate::security::{Access, Caller, Peer};

/// A service behind the guard.
#[derive(Debug, Clone)]
pub(super) struct Guard<S> {
    service: S,
    access: Arc<Access>,
}

impl<S> Guard<S> {
    pub(super) fn new(service: S, access: &Arc<Access>) -> Self {
        Self {
            service,
            access: Arc::clone(access),
        }
    }
}

impl<S: NamedService> NamedService for Guard<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Guard<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            // Our own acceptor always says who is there.
            let error = ApiError::new(ErrorCode::Internal, "the connection has no peer");
            return answer(error);
        };
        let caller = Caller::new(Arc::clone(&self.access), peer, request.uri().path());
        if let Err(error) = caller.check() {
            caller.refused(&error);
            return answer(error);
        }
        request.extensions_mut().insert(caller.clone());
        let response = self.service.call(request);
        Box::pin(async move { Ok(reviewed(response.await?, &caller)) })
    }
}

/// Who asks, as far as it decides on what is done with studies.
pub(super) fn actor<T>(request: &tonic::Request<T>) -> Actor {
    request
        .extensions()
        .get::<Caller>()
        .and_then(Caller::client)
        .map_or(Actor::Admin, |name| Actor::Holder(name.to_owned()))
}

fn answer(error: ApiError) -> BoxFuture<http::Response<Body>, Infallible> {
    Box::pin(std::future::ready(Ok(Status::from(error).into_http())))
}

/// Logs a response that refuses its request, and gives the transport's own
/// refusals our form.
fn reviewed(response: http::Response<Body>, caller: &Caller) -> http::Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok => {
            let error = refusal(&status);
            if matches!(error.code, ErrorCode::TooLarge | ErrorCode::Corrupt) {
                caller.refused(&error);
            }
            if status.code() == Code::OutOfRange {
                Status::from(error).into_http()
            } else {
                response
            }
        }
        _ => response,
    }
}

/// A status as an error of ours. No service of ours says `OutOfRange`: it is what
/// the transport says of a message that is larger than its limit.
pub(super) fn refusal(status: &Status) -> ApiError {
    if status.code() == Code::OutOfRange {
        ApiError::new(
            ErrorCode::TooLarge,
            format_args!("a message is larger than the limit of `{MAX_MESSAGE_BYTES}` bytes"),
        )
    } else {
        ApiError::from(status)
    }
}
