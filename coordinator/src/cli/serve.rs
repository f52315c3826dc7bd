//! `reprise serve`: a coordinator for workers and clients of other machines, and
//! the certificates that it needs for that.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Args;
use reprise_core::lifecycle::Settings;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::eprint_block;
use super::exit::ensure_input;
use super::fleet::args::duration;
use crate::instance::{Config, Instance, InstanceError};
use crate::security::{Authority, Lifetime, Scope, Security};

/// Wait after a loss of the database before it is tried again.
const LOSS_WAIT: Duration = Duration::from_secs(1);

/// Arguments of `reprise serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:7440")]
    listen: SocketAddr,
    /// Journal, artifacts, certificates.
    #[arg(long, default_value = ".reprise")]
    state: PathBuf,
    /// Keep the journal in this PostgreSQL database, `postgres://USER@HOST/NAME`
    /// (password from `PGPASSWORD`): several coordinators may be given the same
    /// one, of which one leads and the others stand by.
    #[arg(
        long,
        value_name = "URL",
        env = "REPRISE_DATABASE",
        hide_env_values = true,
        conflicts_with = "init"
    )]
    database: Option<String>,
    /// Keep artifacts in this directory or bucket: `DIR`, `s3://BUCKET/PREFIX`,
    /// `gs://BUCKET/PREFIX`.
    #[arg(
        long,
        value_name = "PLACE",
        env = "REPRISE_ARTIFACTS",
        conflicts_with = "init"
    )]
    artifacts: Option<String>,
    /// How long a connected worker may say nothing before it counts as disconnected,
    /// from 1s. Workers speak three times in it.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = timeout)]
    heartbeat_timeout: Duration,
    /// How long a disconnected worker may be away before its tasks are given to
    /// others.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    reconnect_grace: Duration,
    /// Serve other machines without encryption: whoever reaches the address may
    /// do everything.
    #[arg(long, conflicts_with = "init")]
    plaintext: bool,
    /// Make a certificate authority, the server's certificate and the admin's
    /// credential, and end. If they exist already, only the server's certificate is
    /// replaced by one for the names given now.
    #[arg(long, requires = "names")]
    init: bool,
    /// A host name or IP address by which others reach this coordinator; may be
    /// given again.
    #[arg(long = "name", value_name = "HOST", requires = "init")]
    names: Vec<String>,
}

pub(super) async fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    if args.init {
        return init(&args);
    }
    ensure_input(args.database.is_none() || args.artifacts.is_some(), || {
        "with `--database` the artifacts must be where every coordinator reaches them; \
             name the place with `--artifacts`"
            .to_owned()
    })?;
    let stop = CancellationToken::new();
    let on_signal = stop.clone();
    tokio::spawn(async move {
        if stop_signal().await.is_ok() {
            on_signal.cancel();
        }
    });
    // A database that cannot be reached at the start is a wrong argument more
    // often than not; one that is lost later comes back.
    let mut has_led = false;
    loop {
        match lead(&args, &stop, &mut has_led).await {
            Err(error) if args.database.is_some() && may_come_back(&error, has_led) => {
                tracing::error!("{error:#}; standing by");
                tokio::time::sleep(LOSS_WAIT).await;
            }
            ended => return ended.map(|()| ExitCode::SUCCESS),
        }
    }
}

/// A silence that is long enough for workers to speak in.
fn timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time < Duration::from_secs(1) => Err("expected 1s or more".to_owned()),
        time => Ok(time),
    }
}

fn may_come_back(error: &anyhow::Error, has_led: bool) -> bool {
    let error: Option<&InstanceError> = error.downcast_ref();
    error.is_some_and(|error| error.is_a_loss() || (has_led && error.is_of_the_store()))
}

/// Runs one instance until it is to stop or has to.
async fn lead(
    args: &ServeArgs,
    stop: &CancellationToken,
    has_led: &mut bool,
) -> anyhow::Result<()> {
    let security = if args.plaintext {
        None
    } else {
        Security::open(&args.state)?
    };
    let config = Config {
        listen: args.listen,
        security,
        plaintext: args.plaintext,
        database: args.database.clone(),
        artifacts: args.artifacts.clone(),
        core: Settings {
            heartbeat_timeout: args.heartbeat_timeout,
            reconnect_grace: args.reconnect_grace,
            ..Settings::default()
        },
        ..Config::local(&args.state)
    };
    let mut instance = tokio::select! {
        started = Instance::start(config) => started?,
        () = stop.cancelled() => return Ok(()),
    };
    *has_led = true;
    if !instance.encrypted && !instance.address.ip().is_loopback() {
        tracing::warn!(
            address = %instance.address,
            "connections are not encrypted; whoever reaches this address may do everything"
        );
    }
    tracing::info!(
        address = %instance.address, encrypted = instance.encrypted, state = %args.state.display(),
        "serving"
    );
    let ended = tokio::select! {
        ended = &mut instance.stopped => ended,
        () = stop.cancelled() => {
            instance.shutdown.cancel();
            (&mut instance.stopped).await
        }
    };
    ended.context("run the coordinator")??;
    Ok(())
}

/// Returns when this process is asked to end.
async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn init(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let directory = Security::directory(&args.state);
    let known = directory.join("ca.pem").exists();
    let now = SystemTime::now();
    let authority = Authority::open_or_make(&directory, now)?;
    authority.issue_server(&args.names, now)?;
    let shown = directory.display();
    if !known {
        eprint_block(&format!(
            "certificate authority: `{shown}/ca.pem`, its key `{shown}/ca.key`"
        ));
    }
    eprint_block(&format!(
        "server's certificate: `{shown}/server.pem` for {}, localhost",
        args.names.join(", ")
    ));
    let admin = directory.join("admin.pem");
    if !admin.exists() {
        let expires = now + Lifetime::LONGEST.duration();
        authority.issue_to(&admin, Scope::Admin, "admin", expires, now)?;
        eprint_block(&format!(
            "admin's credential: `{}`; keep it secret",
            admin.display()
        ));
    }
    eprint_block(if known {
        "a coordinator that runs takes the new certificate when it is started again"
    } else {
        "`reprise token worker` makes the credential of workers, `reprise token client` of people"
    });
    Ok(ExitCode::SUCCESS)
}
