//! Commands that talk to a coordinator elsewhere.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use reprise_domain::StudyName;
use reprise_domain::status::StudyStatus;
use reprise_proto::credential::Credential;
use reprise_stats::export::markdown;

use super::benchmark::{Loaded, load};
use super::run::{verdict, watch as follow};
use super::{eprint_block, print_block};
use crate::client::Client;
use crate::engine::Control;
use crate::report::Report;

/// Which coordinator.
#[derive(Debug, Args)]
pub(super) struct RemoteArgs {
    /// Where it listens; several with commas between them are tried in turn.
    #[arg(
        long,
        env = "REPRISE_COORDINATOR",
        default_value = "http://127.0.0.1:7440"
    )]
    pub(super) coordinator: String,
    /// The credential to show it, where its address begins with `https`.
    #[arg(
        long,
        env = "REPRISE_CREDENTIAL",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(super) credential: Option<PathBuf>,
}

impl RemoteArgs {
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        let file = self.credential.as_deref();
        let credential = file.map(Credential::read).transpose()?;
        Ok(Client::connect(&self.coordinator, credential.as_ref()).await?)
    }
}

pub(super) async fn submit(
    path: &Path,
    remote: &RemoteArgs,
    amend: bool,
) -> anyhow::Result<ExitCode> {
    let Loaded { spec, table } = load(path)?;
    let mut client = remote.client().await?;
    if let Some((digest, content)) = table {
        client
            .put_artifact(digest, &content)
            .await
            .context("store the benchmark table")?;
    }
    let resumed = client.submit(&spec, amend).await?;
    eprint_block(&format!(
        "{}: {}",
        spec.name,
        if resumed {
            "taken up again"
        } else {
            "submitted"
        }
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn list(remote: &RemoteArgs) -> anyhow::Result<ExitCode> {
    for study in remote.client().await?.list().await? {
        print_block(&study);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn status(study: &StudyName, remote: &RemoteArgs) -> anyhow::Result<ExitCode> {
    let status = remote.client().await?.status(study).await?;
    print_block(&table(&status));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn watch(study: &StudyName, remote: &RemoteArgs) -> anyhow::Result<ExitCode> {
    let mut client = remote.client().await?;
    let first = client.status(study).await?;
    let last = follow(&mut client, study, first).await?;
    print_block(&table(&last));
    Ok(verdict(&last))
}

pub(super) async fn control(
    study: &StudyName,
    remote: &RemoteArgs,
    control: Control,
) -> anyhow::Result<ExitCode> {
    remote.client().await?.control(study, control).await?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn export(
    study: &StudyName,
    remote: &RemoteArgs,
    out: Option<PathBuf>,
) -> anyhow::Result<ExitCode> {
    let mut client = remote.client().await?;
    let status = client.status(study).await?;
    let report = Report::new(&status.spec, &client.records(study).await?)?;
    let out = out.unwrap_or_else(|| PathBuf::from("results").join(study.as_str()));
    report.write(&out)?;
    if let Some(overview) = report.overview() {
        print_block(&markdown(&overview));
    }
    eprint_block(&format!("written to `{}`", out.display()));
    Ok(verdict(&status))
}

fn table(status: &StudyStatus) -> String {
    let mut lines = vec![format!(
        "{:<40} {:>8} {:>9} {:>8} {:>7} {:>8}",
        "stage", "planned", "finished", "running", "failed", "blocked"
    )];
    for stage in status.stages.iter().chain([&status.total()]) {
        lines.push(format!(
            "{:<40} {:>8} {:>9} {:>8} {:>7} {:>8}",
            stage.stage, stage.planned, stage.finished, stage.running, stage.failed, stage.blocked
        ));
    }
    lines.push(format!("{} workers connected", status.workers));
    lines.join("\n")
}
