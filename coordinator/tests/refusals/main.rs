//! A running coordinator and those whom it does not let in, or whose requests it
//! refuses. Each refusal is typed at the client's end and logged exactly once.

mod log;
mod requests;
mod stand;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reprise_coordinator::client::Client;
use reprise_coordinator::instance::{Config, Instance, InstanceError};
use reprise_coordinator::security::{Register, Scope};
use reprise_domain::status::Control;
use reprise_proto::credential::Credential;
use reprise_proto::pb::Heartbeat;
use reprise_proto::pb::from_worker::Message as FromMessage;
use reprise_proto::status::{ApiError, ErrorCode};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::log::in_time;
use crate::stand::{Session, Stand, authority, in_an_hour, study};

/// Asserts that there is one line and that it has these parts.
pub(crate) fn one_line(lines: &[String], parts: &[&str]) {
    assert_eq!(lines.len(), 1, "{lines:#?}");
    for part in parts {
        assert!(lines[0].contains(part), "`{part}` is not in {lines:#?}");
    }
}

#[tokio::test]
async fn a_credential_that_counts_is_let_in() {
    let stand = Stand::start().await.unwrap();
    for scope in [Scope::Admin, Scope::Client, Scope::Viewer] {
        let (_, mut client) = stand.client_of(scope).await.unwrap();
        assert!(client.studies().await.unwrap().is_empty());
    }
    let (_, pem) = stand.issue(Scope::Worker, in_an_hour()).unwrap();
    let clients = stand.clients(&pem).await.unwrap();
    Session::open(clients, 1).await.unwrap();
    assert!(stand.end(0).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_expired_credential_is_refused_and_says_so() {
    let stand = Stand::start().await.unwrap();
    let past = SystemTime::now() - Duration::from_mins(1);
    let (_, pem) = stand.issue(Scope::Client, past).unwrap();
    for _ in 0..3 {
        let error = stand.refusal(&pem).await.unwrap();
        assert_eq!(error.code, ErrorCode::Unauthenticated, "{error:?}");
        assert!(error.message.ends_with("it has expired"), "{error:?}");
        assert!(error.hint.unwrap().contains("reprise token"));
    }
    one_line(
        &stand.end(1).await.unwrap(),
        &["connection refused", "peer=127.0.0.1:", "has expired"],
    );
}

#[tokio::test]
async fn a_credential_of_another_coordinator_is_refused_by_both_ends() {
    let stand = Stand::start().await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = authority(&elsewhere).unwrap();
    let (_, foreign) = other
        .issue(Scope::Admin, "foreign", in_an_hour(), SystemTime::now())
        .unwrap();
    let error = stand.refusal(&foreign).await.unwrap();
    assert_eq!(error.code, ErrorCode::Unauthenticated);
    assert!(
        error
            .message
            .ends_with("its certificate is not of the CA of this credential"),
        "{error:?}"
    );
    one_line(
        &stand.end(1).await.unwrap(),
        &["connection refused", "of another CA"],
    );
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let stand = Stand::start().await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = authority(&elsewhere).unwrap();
    let (_, foreign) = other
        .issue(Scope::Admin, "foreign", in_an_hour(), SystemTime::now())
        .unwrap();
    // It trusts the coordinator, but is not of its CA.
    let (own_parts, _) = foreign.split_at(foreign.rfind("-----BEGIN").unwrap());
    let ca = std::fs::read_to_string(stand.security().join("ca.pem")).unwrap();
    let error = stand.refusal(&format!("{own_parts}{ca}")).await.unwrap();
    assert_eq!(error.code, ErrorCode::Unauthenticated);
    assert!(
        error
            .message
            .ends_with("it is not of that coordinator's CA"),
        "{error:?}"
    );
    one_line(
        &stand.end(1).await.unwrap(),
        &["connection refused", "client certificate is of another CA"],
    );
}

#[tokio::test]
async fn a_connection_without_a_certificate_is_refused() {
    let stand = Stand::start().await.unwrap();
    let ca = std::fs::read(stand.security().join("ca.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&ca).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(stand.instance.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut tls = connector.connect(name, tcp).await.unwrap();
    let told = tls.read_u8().await.unwrap_err().to_string();
    assert!(told.contains("CertificateRequired"), "{told}");
    one_line(
        &stand.end(1).await.unwrap(),
        &["connection refused", "no client certificate"],
    );
}

#[tokio::test]
async fn a_connection_without_encryption_is_refused() {
    let stand = Stand::start().await.unwrap();
    let mut tcp = TcpStream::connect(stand.instance.address).await.unwrap();
    tcp.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    // An alert that says so, and the end.
    let mut told = Vec::new();
    tcp.read_to_end(&mut told).await.unwrap();
    assert_eq!(told.first(), Some(&21), "{told:?}");
    one_line(
        &stand.end(1).await.unwrap(),
        &["connection refused", "does not speak TLS"],
    );
}

#[tokio::test]
async fn an_encrypted_address_is_not_dialled_without_a_credential() {
    let stand = Stand::start().await.unwrap();
    let error = Client::connect(&stand.instance.url(), None)
        .await
        .unwrap_err();
    assert!(error.is_not_allowed(), "{error:?}");
    assert!(error.hint.unwrap().contains("--credential"));
    assert!(stand.end(0).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_first_address_that_answers_is_used() {
    let stand = Stand::start().await.unwrap();
    let (_, pem) = stand.issue(Scope::Viewer, in_an_hour()).unwrap();
    let credential = Credential::parse(pem.as_bytes()).unwrap();
    // Nobody listens at one, and another hangs up, as one that stands by does.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away = format!("https://{}", gone.local_addr().unwrap());
    drop(gone);
    let standby = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let waiting = format!("https://{}", standby.local_addr().unwrap());
    let hang_up = async { while standby.accept().await.is_ok() {} };
    let dial = async {
        let all = format!("{away}, {waiting},{}", stand.instance.url());
        let mut client = Client::connect(&all, Some(&credential)).await.unwrap();
        assert!(client.studies().await.unwrap().is_empty());
        let both = format!("{away},{waiting}");
        let error = Client::connect(&both, Some(&credential)).await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        assert!(error.message.contains("; coordinator"), "{error:?}");
    };
    tokio::select! {
        () = hang_up => panic!("the standby stopped listening"),
        () = dial => {}
    }
    assert!(stand.end(0).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_revoked_credential_is_soon_refused_and_stays_so() {
    let stand = Stand::start().await.unwrap();
    let (id, mut client) = stand.client_of(Scope::Client).await.unwrap();
    client.studies().await.unwrap();
    Register::revoke(&stand.security(), id, SystemTime::now()).unwrap();
    // The register is looked at once a second.
    let refused = async { while client.list(None).await.is_ok() {} };
    in_time(refused).await.unwrap();
    for _ in 0..3 {
        let error = client.studies().await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unauthenticated);
        assert_eq!(
            error.message,
            format!("credential client `test` ({id}) was revoked")
        );
    }
    one_line(
        &stand.end(1).await.unwrap(),
        &[
            "request refused",
            &id.to_string(),
            "StudyService/List",
            "was revoked",
        ],
    );
}

#[tokio::test]
async fn the_session_of_a_revoked_worker_is_soon_cut() {
    let stand = Stand::start().await.unwrap();
    let (id, pem) = stand.issue(Scope::Worker, in_an_hour()).unwrap();
    let clients = stand.clients(&pem).await.unwrap();
    let mut session = Session::open(clients.clone(), 1).await.unwrap();
    Register::revoke(&stand.security(), id, SystemTime::now()).unwrap();
    // The register is looked at once a second.
    let cut = async {
        while session
            .send(FromMessage::Heartbeat(Heartbeat::default()))
            .await
            .is_ok()
        {
            tokio::task::yield_now().await;
        }
        session.cut().await
    };
    let error = in_time(cut).await.unwrap().unwrap();
    assert_eq!(error.code, ErrorCode::Unauthenticated);
    assert!(error.message.ends_with("was revoked"), "{error:?}");
    // Dialling again does not help, and is not logged again.
    let status = Session::open(clients, 1).await.unwrap_err();
    assert!(ApiError::from(&status).is_not_allowed());
    one_line(
        &stand.end(1).await.unwrap(),
        &[
            "request refused",
            "worker `test`",
            "WorkerService/Session",
            "was revoked",
        ],
    );
}

#[tokio::test]
async fn a_revoked_viewer_watches_no_longer() {
    let stand = Stand::start().await.unwrap();
    let (_, mut client) = stand.client_of(Scope::Client).await.unwrap();
    let spec = study(1).unwrap();
    client.submit(&spec, false).await.unwrap();
    let (id, mut viewer) = stand.client_of(Scope::Viewer).await.unwrap();
    let mut watched = viewer.watch(&spec.name).await.unwrap();
    watched.next().await.unwrap().unwrap();
    Register::revoke(&stand.security(), id, SystemTime::now()).unwrap();
    let told = async {
        loop {
            match watched.next().await {
                Ok(Some(_)) => {}
                ended => break ended,
            }
        }
    };
    // The register is looked at once a second, when there is something to tell.
    let change = async {
        loop {
            client.control(&spec.name, Control::Pause).await.unwrap();
            client.control(&spec.name, Control::Resume).await.unwrap();
        }
    };
    let ended = tokio::select! {
        ended = in_time(told) => ended,
        () = change => unreachable!("the study is changed for ever"),
    };
    assert_eq!(ended.unwrap().unwrap_err().code, ErrorCode::Unauthenticated);
    one_line(
        &stand.end(1).await.unwrap(),
        &["request refused", "StudyService/Watch", "was revoked"],
    );
}

#[tokio::test]
async fn a_credential_that_is_not_in_the_register_is_refused() {
    let stand = Stand::start().await.unwrap();
    let register = stand.security().join("credentials.json");
    let before = std::fs::read(&register).unwrap();
    let (id, pem) = stand.issue(Scope::Admin, in_an_hour()).unwrap();
    // The register of yesterday's backup.
    std::fs::write(&register, before).unwrap();
    let mut client = stand.client(&pem).await.unwrap();
    let error = client.studies().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unauthenticated);
    one_line(
        &stand.end(1).await.unwrap(),
        &[
            "request refused",
            &id.to_string(),
            "not in the coordinator's register",
        ],
    );
}

#[tokio::test]
async fn plaintext_beyond_this_machine_is_to_be_asked_for_by_name() {
    let state = tempfile::tempdir().unwrap();
    let open = |plaintext| Config {
        listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        plaintext,
        ..Config::local(state.path())
    };
    let error = Instance::start(open(false)).await.unwrap_err();
    assert!(matches!(error, InstanceError::Plaintext(_)), "{error:?}");
    assert!(error.to_string().contains("--plaintext"), "{error}");
    let instance = Instance::start(open(true)).await.unwrap();
    assert!(!instance.encrypted);
    instance.shutdown.cancel();
    instance.stopped.await.unwrap().unwrap();
}
