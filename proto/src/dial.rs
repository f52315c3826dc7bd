//! Opens one connection to a coordinator, encrypted where its address says so,
//! and says in plain words why there is none.
//!
//! A coordinator speaks first, and a connection counts as open only once its first
//! bytes are there. In TLS 1.3 a client has finished its handshake before the
//! server has looked at its certificate; and a coordinator that only stands by
//! hangs up. Both are known when dialling so, and not by a later request that
//! fails for no reason.

use std::io::{self, Cursor};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::http::Uri;
use tonic::codegen::{BoxFuture, Service};

use crate::credential::Credential;
use crate::status::{ApiError, ErrorCode};

/// How long the three steps of dialling may take each.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a coordinator listens.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    /// As the user wrote it.
    pub(crate) url: String,
    host: String,
    port: u16,
    encrypted: bool,
}

impl Address {
    /// Reads `http://HOST:PORT` or `https://HOST:PORT`.
    pub(crate) fn parse(url: &str) -> Result<Self, ApiError> {
        let wrong = || {
            ApiError::new(
                ErrorCode::InvalidRequest,
                format_args!("`{url}` is not a coordinator address"),
            )
            .hint("write it as `https://HOST:PORT`, or `http://HOST:PORT` without encryption")
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let host = uri.host().ok_or_else(wrong)?;
        Ok(Self {
            url: url.to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().ok_or_else(wrong)?,
            encrypted,
        })
    }
}

/// What makes connections to one address, the first and those after a loss.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    address: Address,
    tls: Option<(Credential, ServerName<'static>)>,
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
/// An open connection of either kind.
pub(crate) type Opened = TokioIo<Box<dyn Stream>>;

impl Dial {
    /// Looks whether the address can be dialled with this credential.
    pub(crate) fn new(address: Address, credential: Option<&Credential>) -> Result<Self, ApiError> {
        let tls = if address.encrypted {
            let credential = credential.cloned().ok_or_else(|| {
                ApiError::new(
                    ErrorCode::Unauthenticated,
                    format_args!("`{}` needs a credential, and none is given", address.url),
                )
                .hint("pass `--credential FILE`; `reprise token` makes one; where the coordinator serves without encryption, write `http://`")
            })?;
            let name = ServerName::try_from(address.host.clone()).map_err(|_| {
                ApiError::new(
                    ErrorCode::InvalidRequest,
                    format_args!("`{}` is not a host name", address.host),
                )
            })?;
            Some((credential, name))
        } else {
            None
        };
        Ok(Self { address, tls })
    }

    /// The address as the transport under the encryption sees it.
    pub(crate) fn transport(&self) -> String {
        self.address.url.replacen("https://", "http://", 1)
    }

    async fn open(self) -> Result<Opened, ApiError> {
        let url = &self.address.url;
        let target = (self.address.host.as_str(), self.address.port);
        let away = |error: io::Error| {
            ApiError::new(
                ErrorCode::Unavailable,
                format_args!("coordinator `{url}` does not answer: {error}"),
            )
            .hint("check that `reprise serve` runs there and that the port is reachable")
        };
        let tcp = in_time(TcpStream::connect(target)).await.map_err(away)?;
        // Small messages are not held back to be sent together.
        tcp.set_nodelay(true).map_err(away)?;
        let told = |error: io::Error| match rustls_error(&error) {
            Some(refusal) => refused(url, refusal),
            None => away(error),
        };
        match &self.tls {
            None => spoken(tcp).await.map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => silent(url),
                _ => away(error),
            }),
            Some((credential, name)) => {
                let connector = TlsConnector::from(credential.tls());
                let tls = in_time(connector.connect(name.clone(), tcp))
                    .await
                    .map_err(told)?;
                spoken(tls).await.map_err(told)
            }
        }
    }
}

/// Waits until the other end has said something, and hands that on with the rest.
async fn spoken<S>(mut stream: S) -> io::Result<Opened>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut first = vec![0; 1024];
    let length = in_time(stream.read(&mut first)).await?;
    if length == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it closed the connection",
        ));
    }
    first.truncate(length);
    let (rest, out) = tokio::io::split(stream);
    let all = Cursor::new(first).chain(rest);
    Ok(TokioIo::new(Box::new(tokio::io::join(all, out))))
}

impl Service<Uri> for Dial {
    type Response = Opened;
    type Error = ApiError;
    type Future = BoxFuture<Opened, ApiError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ApiError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().open())
    }
}

async fn in_time<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, step)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// One that encrypts waits for its client to speak first.
fn silent(url: &str) -> ApiError {
    ApiError::new(
        ErrorCode::Unavailable,
        format_args!("coordinator `{url}` says nothing"),
    )
    .hint("where it serves with encryption, write `https://` and pass `--credential FILE`")
}

/// What TLS said, where an error is its.
fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Why an encrypted connection was refused, by either end.
fn refused(url: &str, error: &rustls::Error) -> ApiError {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};

    const RENEW: &str = "make a new one with `reprise token worker|client|viewer`";
    const OTHER: &str = "the credential is another coordinator's; make one with `reprise token` where this one runs";
    let by_coordinator = |reason: &str| {
        ApiError::new(
            ErrorCode::Unauthenticated,
            format_args!("coordinator `{url}` refuses this credential: {reason}"),
        )
    };
    let by_us = |reason: &str| {
        ApiError::new(
            ErrorCode::Unauthenticated,
            format_args!("coordinator `{url}` is not to be trusted: {reason}"),
        )
    };
    match error {
        AlertReceived(AlertDescription::CertificateExpired) => {
            by_coordinator("it has expired").hint(RENEW)
        }
        AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError) => {
            by_coordinator("it is not of that coordinator's CA").hint(OTHER)
        }
        AlertReceived(AlertDescription::CertificateRequired) => {
            by_coordinator("there is none").hint(RENEW)
        }
        AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied),
        ) => by_coordinator(&format!("`{alert:?}`")).hint(RENEW),
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            by_us("its certificate is not of the CA of this credential").hint(OTHER)
        }
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            by_us("its certificate has expired")
                .hint("`reprise serve --init --name HOST` makes a new one there")
        }
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => by_us("its certificate is for other host names")
            .hint("`reprise serve --init --name HOST` there makes one for the names given"),
        InvalidCertificate(error) => by_us(&error.to_string()),
        InvalidMessage(_) => ApiError::new(
            ErrorCode::Unavailable,
            format_args!("coordinator `{url}` does not speak TLS"),
        )
        .hint("where it serves without encryption, write `http://`"),
        error => ApiError::new(
            ErrorCode::Unavailable,
            format_args!("coordinator `{url}` cannot be talked to: {error}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let address = Address::parse("https://[::1]:7440").unwrap();
        assert_eq!((address.host.as_str(), address.port), ("::1", 7440));
        assert!(address.encrypted);
        assert!(!Address::parse("http://host:1").unwrap().encrypted);
        for wrong in ["host:7440", "ftp://host:1", "https://host", "", "https://"] {
            let error = Address::parse(wrong).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRequest, "`{wrong}`");
        }
    }

    #[tokio::test]
    async fn who_hangs_up_at_once_is_away() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let dial = Dial::new(Address::parse(&url).unwrap(), None).unwrap();
        let accept = async { drop(listener.accept().await.unwrap()) };
        let (opened, ()) = tokio::join!(dial.open(), accept);
        let error = opened.err().unwrap();
        assert!(error.is_retryable(), "{error:?}");
        assert!(
            error.message.ends_with("it closed the connection"),
            "{error:?}"
        );
    }

    #[test]
    fn an_encrypted_address_asks_for_a_credential() {
        let address = Address::parse("https://host:7440").unwrap();
        assert!(Dial::new(address, None).unwrap_err().is_not_allowed());
    }
}
