//! `reprise journal`: copies, restores and shortens the journal of a state
//! directory. A PostgreSQL database has its own tools for the first two.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;

use super::eprint_block;
use super::exit::ensure_input;
use crate::engine::shorten;
use crate::instance::{JOURNAL, lock};
use crate::store::Store;
use crate::store::sqlite::{self, SqliteStore};

/// What is done with a journal.
#[derive(Debug, Subcommand)]
pub(super) enum JournalCommand {
    /// Copy the journal to a file while the coordinator runs. Artifacts are files
    /// that never change: copy them with any tool, after this.
    Backup {
        /// The copy; must not exist.
        file: PathBuf,
        /// The state directory.
        #[arg(long, default_value = ".reprise")]
        state: PathBuf,
    },
    /// Put a copy in place of a journal that is not there any more.
    Restore {
        /// The copy.
        file: PathBuf,
        /// The state directory.
        #[arg(long, default_value = ".reprise")]
        state: PathBuf,
    },
    /// Remove records that a snapshot makes superfluous. The coordinator must not
    /// be running.
    Compact {
        /// The state directory.
        #[arg(long, default_value = ".reprise")]
        state: PathBuf,
    },
}

/// Runs one of them.
pub(super) async fn run(command: JournalCommand) -> anyhow::Result<ExitCode> {
    match command {
        JournalCommand::Backup { file, state } => back_up(&file, &state).await?,
        JournalCommand::Restore { file, state } => restore(&file, &state).await?,
        JournalCommand::Compact { state } => compact(&state).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn back_up(file: &Path, state: &Path) -> anyhow::Result<()> {
    let journal = state.join(JOURNAL);
    ensure_input(journal.exists(), || {
        format!(
            "there is no journal `{}`; name its directory with `--state`",
            journal.display()
        )
    })?;
    ensure_input(!file.exists(), || {
        format!(
            "`{}` exists; a backup does not replace another file",
            file.display()
        )
    })?;
    sqlite::back_up(&journal, file).await?;
    sqlite::check(file).await?;
    eprint_block(&format!(
        "journal copied to `{}` and checked",
        file.display()
    ));
    Ok(())
}

async fn restore(file: &Path, state: &Path) -> anyhow::Result<()> {
    sqlite::check(file).await?;
    let _lock = lock(state)?;
    let journal = state.join(JOURNAL);
    // A log that another journal left behind would be replayed into this one.
    for ending in ["", "-wal", "-shm", "-journal"] {
        let left = state.join(format!("{JOURNAL}{ending}"));
        anyhow::ensure!(
            !left.exists(),
            "there is `{}`; move it away first, and its neighbours `{JOURNAL}-*` with it",
            left.display()
        );
    }
    // Renamed into place: a crash leaves no half of a journal.
    let fresh = journal.with_extension("restoring");
    std::fs::copy(file, &fresh)
        .and_then(|_| std::fs::File::open(&fresh)?.sync_all())
        .and_then(|()| std::fs::rename(&fresh, &journal))
        .and_then(|()| std::fs::File::open(state)?.sync_all())
        .with_context(|| format!("copy `{}` to `{}`", file.display(), journal.display()))?;
    eprint_block(&format!("journal restored to `{}`", journal.display()));
    Ok(())
}

async fn compact(state: &Path) -> anyhow::Result<()> {
    let _lock = lock(state)?;
    let journal = state.join(JOURNAL);
    ensure_input(journal.exists(), || {
        format!(
            "there is no journal `{}`; name its directory with `--state`",
            journal.display()
        )
    })?;
    let size = || std::fs::metadata(&journal).map_or(0, |found| found.len());
    let before = size();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&journal).await?);
    let removed = shorten(store.as_ref()).await?;
    eprint_block(&format!(
        "{removed} records removed; {} kB were {} kB",
        size() / 1000,
        before / 1000
    ));
    Ok(())
}
