//! `reprise run`: a coordinator, its workers and the tables, in one command.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use reprise_stats::export::markdown;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::benchmark::{Loaded, load};
use super::follow::{WhenAway, follow, verdict};
use super::{eprint_block, print_block};
use crate::client::Client;
use crate::instance::{Config, Instance};
use crate::local::{Part, keep_worker, parts, worker_program};
use crate::report::Report;

/// Arguments of `reprise run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The study file.
    study: PathBuf,
    /// Where the tables go; `results/NAME` when not given.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Worker processes of one core each. When not given: one a core, or a single one
    /// for all cores and the graphics card where there is one.
    #[arg(long)]
    workers: Option<usize>,
    /// Journal, artifacts and workers' directories.
    #[arg(long, default_value = ".reprise")]
    state: PathBuf,
    /// Replace a study of the same name whose spec differs.
    #[arg(long)]
    amend: bool,
}

/// Runs a study to its end, or takes it up where it was left.
pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let loaded = load(&args.study)?;
    let instance = Instance::start(Config::local(&args.state)).await?;
    let outcome = attend(args, loaded, instance.url()).await;
    instance.shutdown.cancel();
    // Where the coordinator had to stop, that is why the rest failed.
    instance
        .stopped
        .await
        .context("stop the coordinator")?
        .context("the coordinator had to stop; finished tasks are kept")?;
    outcome
}

/// Submits the study, keeps workers while it runs, and writes its tables.
async fn attend(args: RunArgs, loaded: Loaded, url: String) -> anyhow::Result<ExitCode> {
    let Loaded { spec, table } = loaded;
    let mut client = Client::connect(&url, None).await?;
    if let Some((digest, content)) = table {
        client
            .put_artifact(digest, &content)
            .await
            .context("store the benchmark table")?;
    }
    let (resumed, _) = client.submit(&spec, args.amend).await?;
    let status = client.status(&spec.name).await?;
    let before = *status.total();
    if resumed {
        eprint_block(&format!(
            "{}: taken up again; {} of {} tasks were finished already",
            spec.name, before.finished, before.planned
        ));
    }

    let workers = CancellationToken::new();
    let mut running = JoinSet::new();
    if before.remaining() > 0 {
        let program = worker_program()?;
        let parts = match args.workers {
            Some(workers) => vec![Part::Core; workers.max(1)],
            None => parts(),
        };
        for (number, part) in parts.into_iter().enumerate() {
            let directory = args.state.join("workers").join(number.to_string());
            running.spawn(keep_worker(
                program.clone(),
                part,
                url.clone(),
                directory,
                workers.clone(),
            ));
        }
    }
    let watched = tokio::select! {
        watched = follow(&mut client, &spec.name, &status, WhenAway::Stop) => watched,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!(
            "interrupted; finished tasks are kept, run the same command again to go on"
        )),
    };
    workers.cancel();
    while running.join_next().await.is_some() {}
    let last = watched?;

    let records = client.records(&spec.name).await?;
    let report = Report::new(&spec, &records)?;
    let out = args
        .out
        .unwrap_or_else(|| PathBuf::from("results").join(spec.name.as_str()));
    report.write(&out)?;
    if let Some(overview) = report.overview() {
        print_block(&markdown(&overview));
    }
    eprint_block(&format!("written to `{}`", out.display()));
    Ok(verdict(&last))
}
