//! `reprise gc`: removes artifacts, checkpoints and logs that nothing refers to any
//! more, through a running coordinator or in a state directory that none uses.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;

use super::eprint_block;
use super::exit::ensure_input;
use super::output::{OutputArgs, print_json};
use super::remote::RemoteArgs;
use crate::artifact::ArtifactStore;
use crate::gc::{Collected, Referrers, collect};
use crate::security::Lifetime;
use crate::state::{JOURNAL, lock};
use crate::store::Store as _;
use crate::store::sqlite::SqliteStore;

/// Arguments of `reprise gc`.
#[derive(Debug, Args)]
pub(super) struct GcArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// Sweep this state directory instead. No coordinator may be using it.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Where the artifacts of that state directory are; inside it without this.
    #[arg(long, value_name = "PLACE", requires = "state")]
    artifacts: Option<String>,
    /// Keep what was stored within this time, although nothing refers to it.
    #[arg(long, value_name = "TIME", default_value = "1d")]
    grace: Lifetime,
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: GcArgs) -> anyhow::Result<ExitCode> {
    let found = if let Some(state) = &args.state {
        collect_in(state, &args).await?
    } else {
        let mut client = args.remote.client().await?;
        let grace = args.grace.duration();
        client.collect_garbage(grace, args.dry_run).await?
    };
    if args.output.is_json() {
        print_json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    eprint_block(&format!(
        "{} of {} objects, {} of {} bytes {}",
        found.removed,
        found.stored,
        found.removed_bytes,
        found.stored_bytes,
        if args.dry_run {
            "would be removed"
        } else {
            "removed"
        }
    ));
    Ok(ExitCode::SUCCESS)
}

async fn collect_in(state: &Path, args: &GcArgs) -> anyhow::Result<Collected> {
    let journal = state.join(JOURNAL);
    // Without a journal everything would be garbage.
    ensure_input(journal.exists(), || {
        format!(
            "there is no journal `{}`; name its directory with `--state`",
            journal.display()
        )
    })?;
    let _lock = lock(state)?;
    let artifacts = match &args.artifacts {
        Some(place) => ArtifactStore::open(place)?,
        None => ArtifactStore::local(&state.join("artifacts"))?,
    };
    let store = SqliteStore::open(&journal).await?;
    let referrers = Referrers::of_journal(store.reader()).await?;
    let grace = args.grace.duration();
    Ok(collect(
        &artifacts,
        &referrers,
        SystemTime::now(),
        grace,
        args.dry_run,
    )
    .await?)
}
