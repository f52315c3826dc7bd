//! The command line of `reprise`. Standard output is data, standard error is
//! everything else.

mod archive;
mod artifact;
mod benchmark;
mod exit;
mod export;
mod fleet;
mod follow;
mod gc;
mod journal;
mod operation;
mod output;
mod place;
mod plan;
mod progress;
mod remote;
mod run;
mod serve;
mod shipping;
mod signals;
mod study;
mod task;
mod terminal;
mod token;

use std::process::ExitCode;

use self::terminal::{eprint_block, print_block};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

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
    /// Say what a study file will run, what of it is finished, and how long the rest
    /// takes.
    Plan(plan::PlanArgs),
    /// Serve workers and clients of other machines.
    Serve(serve::ServeArgs),
    /// Make, list and revoke credentials.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Remove artifacts, checkpoints and logs that nothing refers to.
    Gc(gc::GcArgs),
    /// Back up, restore or shorten the journal.
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    #[command(flatten)]
    Remote(remote::RemoteCommand),
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
        Command::Plan(args) => plan::run(args).await,
        Command::Journal(command) => journal::run(command).await,
        Command::Gc(args) => gc::run(args).await,
        Command::Serve(args) => serve::serve(args).await,
        Command::Token(command) => token::run(command),
        Command::Remote(command) => remote::run(command).await,
        Command::Fleet(command) => fleet::run(command).await,
    }
}
