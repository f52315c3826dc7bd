//! Accepts connections: does the handshake of each, within bounds of number and time,
//! and logs every one that is refused.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use rustls::{AlertDescription, CertificateError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::access::Access;
use super::identity::Identity;
use super::room::{Place, Room};
use super::tls::Security;

/// Handshakes under way at once. More wait in the kernel's queue.
const MAX_HANDSHAKES: usize = 256;

/// How long one handshake may take, and the greeting after it.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Wait after accepting a connection failed, most likely for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening socket with what decides who comes in.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    access: Arc<Access>,
    room: Room,
    greeting_time: Duration,
}

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer(Arc<(SocketAddr, Option<Identity>)>);

impl Peer {
    /// Where it came from.
    pub fn address(&self) -> SocketAddr {
        self.0.0
    }

    /// Who it is; nobody in particular in plaintext.
    pub fn identity(&self) -> Option<&Identity> {
        self.0.1.as_ref()
    }
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Connection {
    io: Io,
    peer: Peer,
    greeting: Option<Greeting>,
    _place: Place,
}

/// Bytes with which each peer begins: the preface of HTTP/2.
const PREFACE_BYTES: usize = 24;

/// The beginning of a connection, for which its peer has only so much time: the server
/// behind it would wait for ever, and somebody else could have the place.
#[derive(Debug)]
struct Greeting {
    missing: usize,
    ends: Pin<Box<Sleep>>,
}

impl Greeting {
    fn begin(time: Duration) -> Self {
        Self {
            missing: PREFACE_BYTES,
            ends: Box::pin(tokio::time::sleep(time)),
        }
    }
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Acceptor {
    /// An acceptor for `listener`; without `security` it lets everybody in.
    pub fn new(listener: TcpListener, security: Option<Security>) -> Self {
        let (tls, register) = security.map(|given| (given.tls, given.register)).unzip();
        Self {
            listener,
            tls,
            access: Arc::new(Access::new(register)),
            room: Room::of_process(),
            greeting_time: HANDSHAKE_TIME,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// What decides on the requests of the connections.
    pub fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access)
    }

    /// The connections that were let in, for as long as it is read.
    pub fn incoming(self) -> impl Stream<Item = Result<Connection, Infallible>> + Send {
        futures::stream::unfold(Arc::new(self), |acceptor| async move {
            let (tcp, address) = acceptor.accept().await;
            Some((Arc::clone(&acceptor).open(tcp, address), acceptor))
        })
        .buffer_unordered(MAX_HANDSHAKES)
        .filter_map(|opened| std::future::ready(opened.map(Ok)))
    }

    async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    let own = SocketAddr::from(([0, 0, 0, 0], 0));
                    let own = self.address().unwrap_or(own);
                    self.access.connection_refused(own, &error.to_string());
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn open(self: Arc<Self>, tcp: TcpStream, address: SocketAddr) -> Option<Connection> {
        let opened = match &self.tls {
            None => Ok((Io::Plain(tcp), None)),
            Some(tls) => {
                let acceptor = TlsAcceptor::from(Arc::clone(tls));
                let handshake = handshake(acceptor, tcp);
                tokio::time::timeout(HANDSHAKE_TIME, handshake)
                    .await
                    .unwrap_or_else(|_| Err(Refused::because("the handshake took too long")))
            }
        };
        let admitted = opened.and_then(|(io, identity)| {
            let place = self
                .room
                .take(identity.as_ref().map(|identity| identity.scope))
                .ok_or_else(|| {
                    let most = self.room.most();
                    Refused::because(format!("there is no room beside `{most}` connections"))
                })?;
            Ok(Connection {
                io,
                peer: Peer(Arc::new((address, identity))),
                greeting: Some(Greeting::begin(self.greeting_time)),
                _place: place,
            })
        });
        match admitted {
            Ok(connection) => {
                // A socket that refuses it has been closed already.
                let _ = connection.tcp().set_nodelay(true);
                Some(connection)
            }
            Err(Refused { reason, tcp }) => {
                if let Some(reason) = reason {
                    self.access.connection_refused(address, &reason);
                }
                if let Some(tcp) = tcp {
                    dismiss(tcp).await;
                }
                None
            }
        }
    }
}

/// A connection that is not let in.
struct Refused {
    /// Why; `None` if the peer just went away.
    reason: Option<String>,
    tcp: Option<TcpStream>,
}

impl Refused {
    fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            tcp: None,
        }
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    tcp: TcpStream,
) -> Result<(Io, Option<Identity>), Refused> {
    let tls = acceptor
        .accept(tcp)
        .into_fallible()
        .await
        .map_err(|(error, tcp)| Refused {
            reason: reason(&error),
            tcp: Some(tcp),
        })?;
    let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default();
    let identity = match certificates.first() {
        Some(certificate) => {
            Identity::read(certificate).map_err(|error| Refused::because(error.to_string()))?
        }
        None => return Err(Refused::because("no client certificate")),
    };
    Ok((Io::Encrypted(Box::new(tls)), Some(identity)))
}

/// Closes a refused connection such that its peer can still read why: closing
/// with unread data would make the kernel drop what is on its way.
async fn dismiss(mut tcp: TcpStream) {
    const TIME: Duration = Duration::from_secs(1);
    const MOST: u64 = 64 << 10;
    if tcp.shutdown().await.is_ok() {
        let (mut rest, mut nowhere) = (tcp.take(MOST), tokio::io::sink());
        let drained = tokio::io::copy(&mut rest, &mut nowhere);
        // Whatever it still says is of no interest.
        let _ = tokio::time::timeout(TIME, drained).await;
    }
}

/// Why a handshake failed, for the log; `None` if the peer went away or the network
/// broke.
fn reason(error: &io::Error) -> Option<String> {
    use rustls::Error::{
        AlertReceived, InvalidCertificate, InvalidMessage, NoCertificatesPresented,
    };

    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match error {
        NoCertificatesPresented => "no client certificate".to_owned(),
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "client certificate has expired".to_owned()
        }
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "client certificate is of another CA".to_owned()
        }
        InvalidCertificate(error) => format!("client certificate is not valid: {error}"),
        AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError) => {
            "client does not trust this coordinator: its credential is of another CA".to_owned()
        }
        AlertReceived(alert) => format!("client does not trust this coordinator: `{alert:?}`"),
        InvalidMessage(_) => "client does not speak TLS".to_owned(),
        error => error.to_string(),
    })
}

impl Connection {
    fn tcp(&self) -> &TcpStream {
        match &self.io {
            Io::Plain(tcp) => tcp,
            Io::Encrypted(tls) => tls.get_ref().0,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Io::Encrypted(tls) => Pin::new(tls).poll_read(context, buffer),
        };
        if let Some(greeting) = &mut self.greeting {
            let came = buffer.filled().len() - before;
            greeting.missing = greeting.missing.saturating_sub(came);
            if greeting.missing == 0 {
                self.greeting = None;
            } else if read.is_pending() && greeting.ends.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Io::Encrypted(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Io::Encrypted(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Io::Encrypted(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Io::Encrypted(tls) => Pin::new(tls).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(tcp) => tcp.is_write_vectored(),
            Io::Encrypted(tls) => tls.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_is_room_for_so_many_connections_and_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut acceptor = Acceptor::new(listener, None);
        acceptor.room = Room::new(1);
        let mut incoming = std::pin::pin!(acceptor.incoming());

        let _first = TcpStream::connect(address).await.unwrap();
        let let_in = incoming.next().await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        let mut byte = [0; 1];
        tokio::select! {
            _ = incoming.next() => panic!("a second connection was let in"),
            read = second.read(&mut byte) => assert_eq!(read.unwrap(), 0),
        }
        drop(let_in);
        let third = TcpStream::connect(address).await.unwrap();
        let Ok(connection) = incoming.next().await.unwrap();
        assert_eq!(connection.peer.address(), third.local_addr().unwrap());
    }

    /// What a connection reads of a peer that sends so much and then waits.
    async fn read(sent: &[u8]) -> io::Result<usize> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut acceptor = Acceptor::new(listener, None);
        acceptor.greeting_time = Duration::from_millis(20);
        let mut incoming = std::pin::pin!(acceptor.incoming());
        let mut peer = TcpStream::connect(address).await?;
        peer.write_all(sent).await?;
        let Some(Ok(mut connection)) = incoming.next().await else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut buffer = [0; 64];
        let length = connection.read(&mut buffer).await?;
        // What follows the greeting may take its time.
        tokio::select! {
            more = connection.read(&mut buffer) => more?,
            () = tokio::time::sleep(Duration::from_millis(100)) => 0,
        };
        Ok(length)
    }

    #[tokio::test]
    async fn a_peer_that_does_not_end_its_greeting_is_not_waited_for_for_ever() {
        const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for part in [&b""[..], &PREFACE[..23]] {
            let ended = tokio::time::timeout(Duration::from_secs(30), read(part)).await;
            let error = ended.unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{part:?}");
        }
        assert_eq!(read(PREFACE).await.unwrap(), PREFACE.len());
    }
}
