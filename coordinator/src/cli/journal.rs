//! `reprise journal`: copies, restores, checks and shortens a journal. A PostgreSQL
//! database has its own tools for the first two, and is told of their use.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reprise_core::Timestamp;
use reprise_core::lifecycle::Event;

use super::exit::ensure_input;
use super::{eprint_block, print_block};
use crate::state::{JOURNAL, lock};
use crate::store::check::{Findings, check};
use crate::store::load::shorten;
use crate::store::postgres::{PostgresReader, PostgresStore};
use crate::store::sqlite::{self, Lack, SqliteReader, SqliteStore};
use crate::store::{Batch, Reader, Sequence, Store, StoreError};

/// What is done with a journal.
#[derive(Debug, Subcommand)]
pub(super) enum JournalCommand {
    /// Copy the journal to a file while the coordinator runs, and check the copy.
    /// Artifacts are files that never change: copy them with any tool, after this.
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
    /// Note in a PostgreSQL database that its own tools have restored an older state of
    /// it, before a coordinator uses it again: what the lost part began may still run.
    NoteRestored {
        /// The database.
        #[arg(
            long,
            value_name = "URL",
            env = "REPRISE_DATABASE",
            hide_env_values = true
        )]
        database: String,
    },
    /// Check that every record, snapshot and stored result is what was written; exits
    /// with 1 if not. A coordinator may be using the journal.
    Check {
        #[command(flatten)]
        place: Place,
    },
    /// Remove records that a snapshot makes superfluous, and give their space back. A
    /// coordinator does the former while it runs; for this, it must not be running.
    Compact {
        #[command(flatten)]
        place: Place,
    },
}

/// Where a journal is.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The state directory.
    #[arg(long, default_value = ".reprise")]
    state: PathBuf,
    /// The PostgreSQL database, where the journal is not in the state directory.
    #[arg(
        long,
        value_name = "URL",
        env = "REPRISE_DATABASE",
        hide_env_values = true
    )]
    database: Option<String>,
}

/// Runs one of them.
pub(super) async fn run(command: JournalCommand) -> anyhow::Result<ExitCode> {
    match command {
        JournalCommand::Backup { file, state } => back_up(&file, &state).await?,
        JournalCommand::Restore { file, state } => restore(&file, &state).await?,
        JournalCommand::NoteRestored { database } => note_database(&database).await?,
        JournalCommand::Check { place } => return check_place(&place).await,
        JournalCommand::Compact { place } => compact(&place).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The journal of a state directory.
fn journal_in(state: &Path) -> anyhow::Result<PathBuf> {
    let journal = state.join(JOURNAL);
    ensure_input(journal.exists(), || {
        format!(
            "there is no journal `{}`; name its directory with `--state`",
            journal.display()
        )
    })?;
    Ok(journal)
}

async fn back_up(file: &Path, state: &Path) -> anyhow::Result<()> {
    let journal = journal_in(state)?;
    ensure_input(!file.exists(), || {
        format!(
            "`{}` exists; a backup does not replace another file",
            file.display()
        )
    })?;
    // Under its own name only once it is whole: one that was interrupted is told from
    // a backup, and the next one takes its place.
    let mut partial = OsString::from(file);
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    remove(&partial)?;
    let copied = async {
        // Before the copy: a coordinator may be writing.
        let written = sqlite::written(&journal);
        sqlite::back_up(&journal, &partial).await?;
        verify(&partial, written).await
    };
    if let Err(error) = copied.await {
        remove(&partial)?;
        return Err(error);
    }
    put(&partial, file)?;
    eprint_block(&format!(
        "journal copied to `{}` and checked",
        file.display()
    ));
    Ok(())
}

/// Removes what SQLite may have left of a copy.
fn remove(partial: &Path) -> anyhow::Result<()> {
    for ending in ["", "-journal", "-wal", "-shm", "-newest"] {
        let mut path = OsString::from(partial);
        path.push(ending);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove `{}`", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks a copy of a journal that was written up to `written`.
async fn verify(copy: &Path, written: Option<Sequence>) -> anyhow::Result<()> {
    if let Some(reader) = opened(copy).await? {
        return whole(&reader, written).await;
    }
    // Its rows have no checksums, but they must make a state.
    let mut upgraded = OsString::from(copy);
    upgraded.push(".upgraded");
    let upgraded = PathBuf::from(upgraded);
    remove(&upgraded)?;
    let checked = async {
        fs::copy(copy, &upgraded)
            .with_context(|| format!("copy `{}` to `{}`", copy.display(), upgraded.display()))?;
        SqliteStore::open(&upgraded).await?.close().await?;
        whole(&SqliteReader::open(&upgraded).await?, written).await
    };
    let checked = checked.await;
    remove(&upgraded)?;
    checked
}

/// A reader of a copy whose structure is sound; none of one of an older format, which
/// is read once it is upgraded.
async fn opened(copy: &Path) -> anyhow::Result<Option<SqliteReader>> {
    sqlite::check(copy).await?;
    match SqliteReader::open(copy).await {
        Ok(reader) => Ok(Some(reader)),
        Err(StoreError::Older { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Checks that all that was written up to `written` is there and is what was written.
async fn whole(reader: &SqliteReader, written: Option<Sequence>) -> anyhow::Result<()> {
    let faults = with_lack(check(reader).await?, written).faults;
    match faults.first() {
        None => Ok(()),
        Some(first) => anyhow::bail!(
            "the journal is damaged in {} places; `reprise journal check` lists them; the first: \
             {first}",
            faults.len()
        ),
    }
}

/// Adds to what a check found that the newest part is missing, if it is.
fn with_lack(mut findings: Findings, written: Option<Sequence>) -> Findings {
    let lack = findings.newest.and_then(|newest| Lack::of(newest, written));
    findings.faults.extend(lack.map(|lack| lack.to_string()));
    findings
}

async fn restore(file: &Path, state: &Path) -> anyhow::Result<()> {
    ensure_input(file.exists(), || {
        format!("there is no backup `{}`", file.display())
    })?;
    let incomplete = || format!("`{}` is not a complete backup", file.display());
    let checked = async {
        let reader = opened(file).await?;
        if let Some(reader) = &reader {
            whole(reader, None).await?;
        }
        anyhow::Ok(reader.is_some())
    };
    let is_checked = checked.await.with_context(incomplete)?;
    let _lock = lock(state)?;
    let journal = state.join(JOURNAL);
    // A log that another journal left behind would be replayed into this one.
    for ending in ["", "-wal", "-shm", "-journal"] {
        let left = state.join(format!("{JOURNAL}{ending}"));
        ensure_input(!left.exists(), || {
            format!(
                "there is `{}`; move it away first, and its neighbours `{JOURNAL}-*` with it",
                left.display()
            )
        })?;
    }
    let fresh = journal.with_extension("restoring");
    for ending in ["", "-wal", "-shm", "-newest"] {
        // What an earlier try left.
        let _ = fs::remove_file(state.join(format!("journal.restoring{ending}")));
    }
    fs::copy(file, &fresh)
        .with_context(|| format!("copy `{}` to `{}`", file.display(), fresh.display()))?;
    note_restored(&fresh).await?;
    if !is_checked {
        // Of an older format before; the note's making has upgraded it.
        let reader = SqliteReader::open(&fresh).await?;
        whole(&reader, None).await.with_context(incomplete)?;
    }
    put(&fresh, &journal)?;
    // Of the journal that was lost, and of the copy under its other name.
    let _ = fs::remove_file(sqlite::mark_of(&journal));
    let _ = fs::remove_file(sqlite::mark_of(&fresh));
    eprint_block(&format!("journal restored to `{}`", journal.display()));
    Ok(())
}

/// Notes in the file of a journal that it is a backup.
async fn note_restored(journal: &Path) -> anyhow::Result<()> {
    let store = SqliteStore::open(journal).await?;
    note(&store).await?;
    // Closed, so that nothing of it stays in a log beside it.
    Ok(store.close().await?)
}

/// The same in a database that no coordinator uses.
async fn note_database(url: &str) -> anyhow::Result<()> {
    let store = led(url)
        .await?
        .context("a coordinator uses the database; stop it, restore, and note it then")?;
    let newest = store.reader().newest().await?;
    ensure_input(newest > 0, || {
        "the database holds no journal: nothing was restored to it".to_owned()
    })?;
    note(&store).await?;
    eprint_block("noted; a coordinator may use the database again");
    Ok(())
}

/// Notes in a journal that it is a backup: what it does not know of may be running,
/// so attempts are numbered above all that its lost part can have made.
async fn note(store: &dyn Store) -> anyhow::Result<()> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let at = Timestamp::default().after(since_1970);
    let batch = Batch {
        at,
        events: vec![Event::restored(at)],
        ..Batch::default()
    };
    store.commit(&batch).await?;
    Ok(())
}

/// The store in a database; nothing while a coordinator uses it.
async fn led(url: &str) -> anyhow::Result<Option<PostgresStore>> {
    let (told, in_use) = tokio::sync::oneshot::channel();
    tokio::select! {
        store = PostgresStore::lead(url, || { let _ = told.send(()); }) => Ok(Some(store?)),
        Ok(()) = in_use => Ok(None),
    }
}

/// Gives a whole file its name: a crash leaves no half of it.
fn put(whole: &Path, name: &Path) -> anyhow::Result<()> {
    let directory = name.parent().filter(|path| !path.as_os_str().is_empty());
    fs::File::open(whole)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(whole, name))
        .and_then(|()| fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all())
        .with_context(|| format!("rename `{}` to `{}`", whole.display(), name.display()))
}

async fn check_place(place: &Place) -> anyhow::Result<ExitCode> {
    let (reader, written): (Box<dyn Reader>, _) = if let Some(url) = &place.database {
        (Box::new(PostgresReader::open(url).await?), None)
    } else {
        let journal = journal_in(&place.state)?;
        // Before the records: a coordinator may be writing.
        let written = sqlite::written(&journal);
        (Box::new(SqliteReader::open(&journal).await?), written)
    };
    let findings = with_lack(check(reader.as_ref()).await?, written);
    for fault in &findings.faults {
        print_block(fault);
    }
    eprint_block(&format!(
        "{} records and {} stored results read; {}",
        findings.records,
        findings.results,
        match findings.faults.len() {
            0 => "all are what was written".to_owned(),
            faults => format!("{faults} faults found"),
        }
    ));
    Ok(if findings.faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn compact(place: &Place) -> anyhow::Result<()> {
    if let Some(url) = &place.database {
        let store = led(url)
            .await?
            .context("a coordinator uses the database; it compacts the journal itself")?;
        let removed = shorten(&store).await?;
        eprint_block(&format!("{removed} records removed"));
        return Ok(());
    }
    let _lock = lock(&place.state)?;
    let journal = journal_in(&place.state)?;
    let size = || fs::metadata(&journal).map_or(0, |found| found.len());
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
