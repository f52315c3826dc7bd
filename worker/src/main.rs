//! `reprise-worker`: parse, trace, run, exit code.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use reprise_worker::cli::{Cli, run};
use reprise_worker::logs;
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // It limits the whole process, so it comes before there are threads.
    if let Some(code) = cli.supervise() {
        return code;
    }
    work(cli)
}

#[tokio::main]
async fn work(cli: Cli) -> ExitCode {
    let filter = EnvFilter::try_from_env("REPRISE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // A log in a file is for `grep`.
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_filter(filter.and(logs::for_all()));
    tracing_subscriber::registry()
        .with(stderr)
        .with(logs::layer())
        .init();
    run(cli).await
}
