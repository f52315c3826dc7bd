//! `reprise artifact`: embeddings, checkpoints and what programs left, by name.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use futures::TryStreamExt as _;
use reprise_data::npz;
use reprise_domain::{Digest, StudyName};

use super::exit::{OrWrongInput as _, ensure_input};
use super::output::{OutputArgs, Table, print_json};
use super::remote::{RemoteArgs, StudyArgs};
use super::{eprint_block, print_block};
use crate::client::{Client, NamedFile};

/// Rows that are printed together.
const PAGE: usize = 1000;

/// What to do with artifacts.
#[derive(Debug, Subcommand)]
pub(super) enum ArtifactCommand {
    /// List the files of a study's results: embeddings, checkpoints, what programs left.
    List(StudyArgs),
    /// Write a file of a study's results.
    Get(GetArgs),
}

/// Arguments of `reprise artifact get`.
#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// The study's name.
    study: StudyName,
    /// The file's name, as `reprise artifact list` shows it, or its digest.
    name: String,
    /// Where to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The form to write: embeddings and checkpoints are stored as safetensors. When not
    /// given, the file as it is stored.
    #[arg(long = "as", value_enum, value_name = "FORM")]
    form: Option<TensorForm>,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The form of a file of tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TensorForm {
    /// As it is stored.
    Safetensors,
    /// For numpy: a zip archive with one `.npy` file a tensor.
    Npz,
}

pub(super) async fn run(command: ArtifactCommand) -> anyhow::Result<ExitCode> {
    match command {
        ArtifactCommand::List(args) => list(&args).await,
        ArtifactCommand::Get(args) => get(&args).await,
    }
}

async fn list(args: &StudyArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.remote.client().await?;
    let mut files = client.files(&args.study, None).await?;
    let mut page = Vec::new();
    let mut is_first = true;
    loop {
        let file = files.try_next().await?;
        if args.output.is_json() {
            match file {
                Some(file) => print_json(&file)?,
                None => return Ok(ExitCode::SUCCESS),
            }
            continue;
        }
        let is_last = file.is_none();
        page.extend(file);
        if (is_last && !page.is_empty()) || page.len() == PAGE {
            print_block(&table(&page).text(is_first));
            page.clear();
            is_first = false;
        }
        if is_last {
            if is_first {
                eprint_block(&format!("{}: no files yet", args.study));
            }
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn table(files: &[NamedFile]) -> Table {
    let mut table = Table::new(&["name", "#bytes", "digest"]);
    for file in files {
        let digest = file.digest.to_string();
        table.push(vec![file.name.clone(), file.bytes.to_string(), digest]);
    }
    table
}

async fn get(args: &GetArgs) -> anyhow::Result<ExitCode> {
    // A device or a link would be replaced by a file.
    let is_replaceable = fs::symlink_metadata(&args.out).map_or(true, |found| found.is_file());
    ensure_input(is_replaceable, || {
        format!(
            "`{}` is there and not a regular file: name another place with `--out`",
            args.out.display()
        )
    })?;
    let mut client = args.remote.client().await?;
    let digest = match args.name.parse::<Digest>() {
        Ok(digest) => digest,
        Err(_) => find(&mut client, &args.study, &args.name).await?,
    };
    let content = client.artifact(digest).await?;
    let content = formed(content, args.form)
        .with_context(|| format!("write `{}` as asked for", args.name))
        .or_wrong_input()?;
    write(&args.out, &content).with_context(|| format!("write `{}`", args.out.display()))?;
    if args.output.is_json() {
        let written = serde_json::json!({ "digest": digest, "written": args.out });
        print_json(&written)?;
        return Ok(ExitCode::SUCCESS);
    }
    eprint_block(&format!(
        "{}: {} bytes written to `{}`",
        args.name,
        content.len(),
        args.out.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The digest of the one content that a name stands for.
async fn find(client: &mut Client, study: &StudyName, name: &str) -> anyhow::Result<Digest> {
    let files = client.files(study, Some(name)).await?;
    let named = files.try_filter(|file| std::future::ready(file.name == name));
    let mut digests: Vec<_> = named.map_ok(|file| file.digest).try_collect().await?;
    digests.sort_unstable();
    digests.dedup();
    ensure_input(!digests.is_empty(), || {
        format!(
            "study `{study}` has no file `{name}`; `reprise artifact list {study}` names those \
             that it has"
        )
    })?;
    ensure_input(digests.len() == 1, || {
        format!("study `{study}` has several files `{name}`; give the digest of one of them")
    })?;
    Ok(digests[0])
}

/// A file in the form that is asked for.
fn formed(content: Vec<u8>, form: Option<TensorForm>) -> Result<Vec<u8>, npz::NpzError> {
    match form {
        None => Ok(content),
        Some(TensorForm::Safetensors) => {
            npz::ensure_safetensors(&content)?;
            Ok(content)
        }
        Some(TensorForm::Npz) => npz::from_safetensors(&content),
    }
}

/// Writes a file so that one of this name is always whole.
fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_added_extension("part");
    let written = File::create(&fresh)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        // The error is told; a rest of the file is of no use.
        let _ = fs::remove_file(&fresh);
    }
    written
}
