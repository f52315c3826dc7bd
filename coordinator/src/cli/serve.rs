//! `reprise serve`: a coordinator for workers and clients of other machines, and
//! the certificates that it needs for that.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Args;

use super::eprint_block;
use crate::instance::{Config, Instance};
use crate::security::{Authority, Lifetime, Scope, Security};

/// Arguments of `reprise serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:7440")]
    listen: SocketAddr,
    /// Journal, artifacts, certificates.
    #[arg(long, default_value = ".reprise")]
    state: PathBuf,
    /// Serve other machines without encryption: whoever reaches the address may
    /// do everything.
    #[arg(long, conflicts_with = "init")]
    plaintext: bool,
    /// Make a certificate authority, the server's certificate and the admin's
    /// credential, and end. Where they are there already, only the server's
    /// certificate is made anew, for the names now given.
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
    let security = if args.plaintext {
        None
    } else {
        Security::open(&args.state)?
    };
    let instance = Instance::start(Config {
        state: args.state.clone(),
        listen: args.listen,
        security,
        plaintext: args.plaintext,
    })
    .await?;
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
    let stop = instance.shutdown.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });
    instance.stopped.await.context("run the coordinator")??;
    Ok(ExitCode::SUCCESS)
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
