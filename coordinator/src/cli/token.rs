//! `reprise token`: credentials, made and revoked where the coordinator's state
//! is. A coordinator that runs there takes notice within a second.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::{eprint_block, print_block};
use crate::security::{
    Authority, CredentialId, Entry, Lifetime, Register, Scope, Security, Standing,
};

/// To the minute, in UTC.
const SHOWN: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]");

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a credential for workers; many may share one.
    Worker(IssueArgs),
    /// Make a credential that may submit and control studies.
    Client(IssueArgs),
    /// Make a credential that may only read.
    Viewer(IssueArgs),
    /// Name all credentials.
    List {
        #[command(flatten)]
        state: StateArgs,
    },
    /// End a credential before its time.
    Revoke {
        /// Its id, as `reprise token list` shows it.
        id: CredentialId,
        #[command(flatten)]
        state: StateArgs,
    },
}

#[derive(Debug, Args)]
pub(super) struct StateArgs {
    /// The coordinator's state.
    #[arg(long, default_value = ".reprise")]
    state: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct IssueArgs {
    /// Whose it is, for logs and lists; the scope's name when not given.
    #[arg(long)]
    name: Option<String>,
    /// How long it is good for, in hours or days.
    #[arg(long, default_value = "30d", value_name = "TIME")]
    expires: Lifetime,
    /// Where to write it; `SCOPE-ID.pem` when not given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    state: StateArgs,
}

pub(super) fn run(command: TokenCommand) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Worker(args) => issue(Scope::Worker, args),
        TokenCommand::Client(args) => issue(Scope::Client, args),
        TokenCommand::Viewer(args) => issue(Scope::Viewer, args),
        TokenCommand::List { state } => list(&state),
        TokenCommand::Revoke { id, state } => revoke(id, &state),
    }
}

/// Writes a credential and prints its file's name.
fn issue(scope: Scope, args: IssueArgs) -> anyhow::Result<ExitCode> {
    let authority = Authority::open(&Security::directory(&args.state.state))?;
    let now = SystemTime::now();
    let expires = now + args.expires.duration();
    let name = args.name.unwrap_or_else(|| scope.to_string());
    let (id, path) = match args.out {
        Some(path) => (authority.issue_to(&path, scope, &name, expires, now)?, path),
        None => authority.issue_in(Path::new(""), scope, &name, expires, now)?,
    };
    eprint_block(&format!(
        "{scope} `{name}` ({id}), good until {} UTC",
        shown(expires.into())?
    ));
    print_block(&path.display().to_string());
    Ok(ExitCode::SUCCESS)
}

fn list(args: &StateArgs) -> anyhow::Result<ExitCode> {
    let register = Register::read(&Security::directory(&args.state))?;
    let now = SystemTime::now();
    print_block(&format!(
        "{:<16}  {:<6}  {:<7}  {:<16}  {:<16}  {}",
        "id", "scope", "state", "issued (UTC)", "expires (UTC)", "name"
    ));
    for entry in register.entries() {
        print_block(&line(entry, now)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn line(entry: &Entry, now: SystemTime) -> anyhow::Result<String> {
    let state = match entry.standing(now) {
        Standing::Valid => "valid",
        Standing::Expired => "expired",
        Standing::Revoked => "revoked",
        Standing::Unknown => "unknown",
    };
    let time = |seconds: u64| {
        let moment = OffsetDateTime::from_unix_timestamp(seconds.try_into()?)?;
        shown(moment)
    };
    Ok(format!(
        "{}  {:<6}  {state:<7}  {:<16}  {:<16}  {}",
        entry.id,
        entry.scope,
        time(entry.issued)?,
        time(entry.expires)?,
        entry.name
    ))
}

fn revoke(id: CredentialId, args: &StateArgs) -> anyhow::Result<ExitCode> {
    let directory = Security::directory(&args.state);
    let counted = Register::revoke(&directory, id, SystemTime::now())?;
    eprint_block(&format!(
        "`{id}` {}",
        if counted {
            "is revoked"
        } else {
            "was revoked before"
        }
    ));
    Ok(ExitCode::SUCCESS)
}

fn shown(moment: OffsetDateTime) -> anyhow::Result<String> {
    moment.format(SHOWN).context("write a date")
}
