//! The command line of `reprise`. Standard output is data, standard error is
//! everything else.

mod benchmark;
mod exit;
mod fleet;
mod journal;
mod progress;
mod remote;
mod run;
mod serve;
mod signals;
mod terminal;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use reprise_domain::StudyName;

use self::terminal::{eprint_block, print_block};
use crate::engine::Control;

/// Schedules seeds and search trials over workers, resumes interrupted sweeps,
/// and exports tables.
#[derive(Debug, Parser)]
#[command(name = "reprise", version, after_help = exit::TABLE)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a study on this machine; run it again to resume it.
    Run(run::RunArgs),
    /// Serve workers and clients of other machines.
    Serve(serve::ServeArgs),
    /// Make, list and revoke credentials.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Submit a study to a coordinator.
    Submit {
        /// The study file.
        study: PathBuf,
        #[command(flatten)]
        remote: remote::RemoteArgs,
        /// Replace a study of the same name whose spec differs.
        #[arg(long)]
        amend: bool,
    },
    /// Name the studies of a coordinator.
    List {
        #[command(flatten)]
        remote: remote::RemoteArgs,
    },
    /// Say where a study stands.
    Status {
        /// Its name.
        study: StudyName,
        #[command(flatten)]
        remote: remote::RemoteArgs,
    },
    /// Follow a study to its end.
    Watch {
        /// Its name.
        study: StudyName,
        #[command(flatten)]
        remote: remote::RemoteArgs,
    },
    /// End a study; what is finished stays.
    Cancel {
        /// Its name.
        study: StudyName,
        #[command(flatten)]
        remote: remote::RemoteArgs,
    },
    /// Start nothing further of a study.
    Pause {
        /// Its name.
        study: StudyName,
        #[command(flatten)]
        remote: remote::RemoteArgs,
    },
    /// Let a paused study go on.
    Resume {
        /// Its name.
        study: StudyName,
        #[command(flatten)]
        remote: remote::RemoteArgs,
    },
    /// Back up, restore or shorten the journal.
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// Write a study's tables, finished or not.
    Export {
        /// Its name.
        study: StudyName,
        #[command(flatten)]
        remote: remote::RemoteArgs,
        /// Where to write; `results/NAME` when not given.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Keep workers alive on Slurm, Kubernetes or Google Cloud.
    #[command(subcommand)]
    Fleet(fleet::FleetCommand),
}

impl Cli {
    /// What is logged where the environment says nothing: a server tells who
    /// comes and goes, the other commands leave the terminal to their progress.
    pub fn default_log(&self) -> &'static str {
        match self.command {
            Command::Serve(_) => "info",
            _ => "warn",
        }
    }
}

/// Runs a parsed command line and tells its exit code.
pub async fn run(cli: Cli) -> ExitCode {
    dispatch(cli.command)
        .await
        .unwrap_or_else(|error| exit::explain(&error))
}

/// Shows what the parser says of a command line that it does not run, and ends
/// with its exit code.
pub fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        // Colours, where the terminal has them, are the parser's own.
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => drop(error.print()),
        // The rest repeats what was typed.
        _ => eprint_block(error.render().to_string().trim_end()),
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX))
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Journal(command) => journal::run(command).await,
        Command::Serve(args) => serve::serve(args).await,
        Command::Token(command) => token::run(command),
        Command::Submit {
            study,
            remote,
            amend,
        } => remote::submit(&study, &remote, amend).await,
        Command::List { remote } => remote::list(&remote).await,
        Command::Status { study, remote } => remote::status(&study, &remote).await,
        Command::Watch { study, remote } => remote::watch(&study, &remote).await,
        Command::Cancel { study, remote } => {
            remote::control(&study, &remote, Control::Cancel).await
        }
        Command::Pause { study, remote } => remote::control(&study, &remote, Control::Pause).await,
        Command::Resume { study, remote } => {
            remote::control(&study, &remote, Control::Resume).await
        }
        Command::Export { study, remote, out } => remote::export(&study, &remote, out).await,
        Command::Fleet(command) => fleet::run(command).await,
    }
}
