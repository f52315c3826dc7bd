//! The error vocabulary of every service, mapped once to gRPC. The typed error
//! travels in the status details, so that a client decides by code and never by
//! the text of a message.

use std::fmt;

use serde::{Deserialize, Serialize};
use tonic::{Code, Status};

use crate::convert::ConvertError;

/// What a caller may have to decide on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request is wrong and will stay so.
    InvalidRequest,
    /// The peer speaks another protocol version.
    ProtocolVersion,
    /// What was asked for does not exist.
    NotFound,
    /// A study of that name exists with another spec.
    SpecChanged,
    /// Content that does not have its digest.
    Corrupt,
    /// A limit was passed.
    TooLarge,
    /// The caller does not show who it is, or its credential counts no more.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// Not now; the same request may succeed later.
    Unavailable,
    /// A defect of the coordinator.
    Internal,
}

impl ErrorCode {
    const fn grpc(self) -> Code {
        match self {
            Self::InvalidRequest => Code::InvalidArgument,
            Self::ProtocolVersion | Self::SpecChanged => Code::FailedPrecondition,
            Self::NotFound => Code::NotFound,
            Self::Corrupt => Code::DataLoss,
            Self::TooLarge => Code::ResourceExhausted,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::Forbidden => Code::PermissionDenied,
            Self::Unavailable => Code::Unavailable,
            Self::Internal => Code::Internal,
        }
    }

    const fn from_grpc(code: Code) -> Self {
        match code {
            Code::InvalidArgument | Code::Unimplemented => Self::InvalidRequest,
            Code::NotFound => Self::NotFound,
            Code::DataLoss => Self::Corrupt,
            // The transport says `OutOfRange` of a message above its limit.
            Code::ResourceExhausted | Code::OutOfRange => Self::TooLarge,
            Code::Unauthenticated => Self::Unauthenticated,
            Code::PermissionDenied => Self::Forbidden,
            // The transport says `Unknown` of a connection that breaks, and `Internal`
            // of a stream that is reset: a defect of ours comes with our details.
            Code::Unavailable
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Unknown
            | Code::Internal => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

/// An error as services return it and clients get it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// What kind of error.
    pub code: ErrorCode,
    /// What happened, in one line.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ApiError {
    /// An error without a hint.
    pub fn new(code: ErrorCode, message: impl fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
            hint: None,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Whether the caller may not do this, now or later, with the credential
    /// that it has.
    pub const fn is_not_allowed(&self) -> bool {
        matches!(self.code, ErrorCode::Unauthenticated | ErrorCode::Forbidden)
    }

    /// Whether the same request may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self.code, ErrorCode::Unavailable)
    }
}

impl ApiError {
    /// The typed error that an error of the transport was made of.
    pub(crate) fn behind(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut next = error.source();
        while let Some(source) = next {
            if let Some(typed) = source.downcast_ref::<Self>() {
                return Some(typed.clone());
            }
            next = source.source();
        }
        None
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let details = crate::convert::to_json(&error);
        Self::with_details(error.code.grpc(), error.message, details.into())
    }
}

impl From<&Status> for ApiError {
    /// A status without our details comes from the transport, which passes on
    /// what dialling said, or from another program: then its gRPC code is all
    /// there is to go by.
    fn from(status: &Status) -> Self {
        serde_json::from_slice(status.details())
            .ok()
            .or_else(|| Self::behind(status))
            .unwrap_or_else(|| Self::new(ErrorCode::from_grpc(status.code()), status.message()))
    }
}

impl From<ConvertError> for ApiError {
    fn from(error: ConvertError) -> Self {
        let reason = std::error::Error::source(&error).map(|source| format!(": {source}"));
        Self::new(
            ErrorCode::InvalidRequest,
            format_args!("{error}{}", reason.unwrap_or_default()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_typed_error_comes_back_from_a_status() {
        let error = ApiError::new(ErrorCode::SpecChanged, "study `demo` has another spec")
            .hint("use --amend");
        let status = Status::from(error.clone());
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(ApiError::from(&status), error);
    }

    #[test]
    fn what_dialling_said_comes_through_the_transport() {
        let error = ApiError::new(ErrorCode::Unauthenticated, "it has expired");
        let status = Status::from_error(Box::new(error.clone()));
        assert_eq!(ApiError::from(&status), error);
        assert!(error.is_not_allowed() && !error.is_retryable());
    }

    #[test]
    fn a_transport_error_is_retryable() {
        assert!(ApiError::from(&Status::unavailable("connection refused")).is_retryable());
        assert!(ApiError::from(&Status::unknown("h2: broken pipe")).is_retryable());
        assert!(ApiError::from(&Status::internal("h2: stream reset")).is_retryable());
        let ours = Status::from(ApiError::new(ErrorCode::Internal, "a defect"));
        assert!(!ApiError::from(&ours).is_retryable());
        assert!(!ApiError::from(&Status::invalid_argument("no")).is_retryable());
    }
}
