//! `reprise archive` and `reprise unarchive`: a study into a file and back.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use reprise_domain::record::{ArchivedResult, Unarchived};
use reprise_domain::status::{Control, StudyState};
use reprise_domain::{StudyName, TaskKey};
use reprise_proto::status::{ApiError, ErrorCode};
use tokio::sync::oneshot;

use super::eprint_block;
use super::exit::{OrWrongInput as _, ensure_input};
use super::remote::RemoteArgs;
use crate::architectures::planned;
use crate::archive::{Archive, ArchiveError, Contents, Writer};
use crate::client::Client;

/// Arguments of `reprise archive`.
#[derive(Debug, Args)]
pub(super) struct ArchiveArgs {
    /// Its name.
    study: StudyName,
    /// Where to write; `NAME.reprise.tar` when not given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Arguments of `reprise unarchive`.
#[derive(Debug, Args)]
pub(super) struct UnarchiveArgs {
    /// What `reprise archive` wrote.
    file: PathBuf,
    /// Leave the study paused, so that nothing of it runs.
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub(super) async fn archive(args: ArchiveArgs) -> anyhow::Result<ExitCode> {
    let study = &args.study;
    let out = args
        .out
        .unwrap_or_else(|| PathBuf::from(format!("{study}.reprise.tar")));
    ensure_input(!out.exists(), || {
        format!(
            "`{}` exists: remove it, or name another file with `--out`",
            out.display()
        )
    })?;
    // Renamed when it is whole, so that a file of this name always is.
    let fresh = out.with_added_extension("part");
    // Now, and not after all was read: a place that cannot be written is wrong input.
    let file = File::create(&fresh)
        .with_context(|| format!("write `{}`", fresh.display()))
        .or_wrong_input()?;
    let written = async {
        let mut client = args.remote.client().await?;
        let written = write(&mut client, study, file).await;
        written.with_context(|| format!("archive study `{study}`"))
    };
    let renamed = written.await.and_then(|contents| {
        fs::rename(&fresh, &out)?;
        // The name too is there after a power cut.
        let directory = out.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(contents)
    });
    let contents = match renamed {
        Ok(contents) => contents,
        Err(error) => {
            // The error is told; a rest of the file is of no use.
            let _ = fs::remove_file(&fresh);
            return Err(error);
        }
    };
    eprint_block(&format!(
        "{study}: {} results and {} files written to `{}`; `reprise unarchive` brings them back",
        contents.results,
        contents.artifacts,
        out.display()
    ));
    Ok(ExitCode::SUCCESS)
}

async fn write(client: &mut Client, study: &StudyName, file: File) -> anyhow::Result<Contents> {
    let spec = client.spec(study).await?;
    // Before the results: what is finished by now is among them.
    let finished = client.status(study).await?.total().finished;
    let mut writer = Writer::begin(BufWriter::new(file), &spec)?;
    let mut results = client.archive(study).await?;
    while let Some(result) = results.try_next().await? {
        writer.result(&result)?;
    }
    for digest in writer.missing()? {
        writer.artifact(digest, &client.artifact(digest).await?)?;
    }
    let (mut file, contents) = writer.finish()?;
    anyhow::ensure!(
        contents.results >= finished,
        "the study was changed while it was read: {} results were read of {finished}; archive \
         it again",
        contents.results
    );
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok(contents)
}

pub(super) async fn unarchive(args: UnarchiveArgs) -> anyhow::Result<ExitCode> {
    let shown = args.file.display().to_string();
    let archive = Archive::open(&args.file)
        .map_err(wrong_file)
        .with_context(|| format!("`{shown}`"))?;
    ensure_planned(&archive)
        .await
        .with_context(|| format!("`{shown}`"))?;
    let study = archive.spec.name.clone();
    let mut client = args.remote.client().await?;
    let mut artifacts = std::pin::pin!(archive.artifacts());
    while let Some((digest, content)) = artifacts.try_next().await? {
        client.put_artifact(digest, &content).await?;
    }
    let was_paused = match client.status(&study).await {
        Ok(status) => status.study.state == StudyState::Paused,
        Err(error) if error.code == ErrorCode::NotFound => false,
        Err(error) => return Err(error.into()),
    };
    let submitted = client.submit(&archive.spec, false).await;
    submitted.map_err(|error| match error.code {
        // The hint of a submission is of options that there are not here.
        ErrorCode::SpecChanged => ApiError::new(error.code, &error.message).hint(format_args!(
            "delete it first with `reprise delete {study}`, or bring the archive back to \
             another coordinator"
        )),
        _ => error,
    })?;
    // Workers would begin what the archive has.
    client.control(&study, Control::Pause).await?;
    let brought = tokio::select! {
        brought = bring_back(&mut client, &archive) => brought,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted; what came back stays")),
    };
    let brought = brought.with_context(|| format!("`{shown}`"));
    let goes_on = !args.paused && !was_paused;
    let standing = if goes_on {
        client.control(&study, Control::Resume).await
    } else {
        client.status(&study).await.map(|status| status.study)
    };
    let counts = match brought {
        Ok(counts) => counts,
        Err(error) if goes_on && standing.is_err() => {
            return Err(error.context(format!(
                "study `{study}` is paused; `reprise resume {study}` lets it go on"
            )));
        }
        Err(error) => return Err(error),
    };
    let standing = standing?;
    let next = match standing.state {
        StudyState::Done => format!("`reprise export {study}` writes its tables"),
        StudyState::Paused => format!("`reprise resume {study}` lets it go on"),
        _ => format!("`reprise watch {study}` follows it"),
    };
    eprint_block(&format!(
        "{study}: {} results came back, {} were there already, {} of {} tasks finished; {next}",
        counts.taken, counts.known, standing.tasks.finished, standing.tasks.planned
    ));
    if let Some(example) = counts.example {
        anyhow::bail!(
            "{} results of the archive differ from those that the coordinator has, or were \
             computed from one that does; it keeps its own; one is of task `{example}`",
            counts.differing
        );
    }
    let told = counts.taken + counts.known;
    let left = archive.contents.results.saturating_sub(told);
    anyhow::ensure!(
        left == 0,
        "{left} results of the archive were not taken: their tasks were cancelled or given up"
    );
    Ok(ExitCode::SUCCESS)
}

/// Refuses an archive with results of tasks that this release does not plan, before
/// anything of it is sent.
async fn ensure_planned(archive: &Archive) -> anyhow::Result<()> {
    let plan = planned(&archive.spec).or_wrong_input()?;
    let keys: HashSet<TaskKey> = plan.tasks().map(|task| task.key).collect();
    let mut results = std::pin::pin!(archive.results());
    while let Some(page) = results.try_next().await.map_err(wrong_file)? {
        let other = page.iter().find(|result| !keys.contains(&result.task));
        ensure_input(other.is_none(), || {
            let task = other.map(|result| result.task.to_string());
            format!(
                "the result of task `{}` is of no task of its study as this release plans it: \
                 a release with other algorithms made it, and can bring it back",
                task.unwrap_or_default()
            )
        })?;
    }
    Ok(())
}

async fn bring_back(client: &mut Client, archive: &Archive) -> anyhow::Result<Unarchived> {
    let (failed, failure) = oneshot::channel();
    let results = until_error(archive.results(), failed);
    let counts = client.unarchive(&archive.spec.name, results).await?;
    match failure.await {
        Ok(error) => Err(wrong_file(error)),
        Err(_) => Ok(counts),
    }
}

/// What a stream gives before its first error, which is told to `failed`.
fn until_error(
    pages: impl Stream<Item = Result<Vec<ArchivedResult>, ArchiveError>> + Send + 'static,
    failed: oneshot::Sender<ArchiveError>,
) -> impl Stream<Item = ArchivedResult> + Send + 'static {
    let mut failed = Some(failed);
    let pages = pages.map(move |page| {
        let told = |error| {
            // Whoever does not wait for it has an error already.
            let _ = failed.take().map(|failed| failed.send(error));
        };
        page.map_err(told).ok()
    });
    let pages = pages.take_while(|page| std::future::ready(page.is_some()));
    pages.flat_map(|page| stream::iter(page.into_iter().flatten()))
}

/// An archive that cannot be used is wrong input; one that cannot be read is a fault.
fn wrong_file(error: ArchiveError) -> anyhow::Error {
    match error {
        ArchiveError::Read(error) if error.kind() != std::io::ErrorKind::NotFound => error.into(),
        error => Err::<(), _>(error).or_wrong_input().expect_err("it is one"),
    }
}
