//! The command line of `reprise`. Standard output is data, standard error is
//! everything else.

mod benchmark;
mod fleet;
mod follow;
mod journal;
mod operation;
mod output;
mod progress;
mod remote;
mod run;
mod serve;
mod study;
mod task;
mod token;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use reprise_proto::status::ApiError;
use reprise_study::StudyFileError;

/// Exit code when the study file or an argument is wrong.
const WRONG_INPUT: u8 = 2;

/// Exit code when some tasks of the study failed.
const TASKS_FAILED: u8 = 3;

/// Exit code when the coordinator does not allow it with this credential.
const NOT_ALLOWED: u8 = 4;

/// Schedules seeds and search trials over workers, resumes interrupted sweeps,
/// and exports tables.
#[derive(Debug, Parser)]
#[command(
    name = "reprise",
    version,
    after_help = "Exit codes: 0 done; 1 error; 2 wrong input; 3 some tasks failed; 4 not allowed; \
                  5 budget spent"
)]
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
    match dispatch(cli.command).await {
        Ok(code) => code,
        Err(error) => {
            if let Some(study) = error.downcast_ref::<StudyFileError>() {
                tracing::debug!("study file refused");
                eprint_block(&study.report());
                return ExitCode::from(WRONG_INPUT);
            }
            eprint_block(&format!("error: {error:#}"));
            let told = error.downcast_ref::<ApiError>();
            if let Some(hint) = told.and_then(|error| error.hint.as_ref()) {
                eprint_block(&format!("hint: {hint}"));
            }
            if told.is_some_and(ApiError::is_not_allowed) {
                return ExitCode::from(NOT_ALLOWED);
            }
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Journal(command) => journal::run(command).await,
        Command::Serve(args) => serve::serve(args).await,
        Command::Token(command) => token::run(command),
        Command::Remote(command) => remote::run(command).await,
        Command::Fleet(command) => fleet::run(command).await,
    }
}

/// Says something to the user, beside the data. There is nobody to tell when that
/// fails.
fn eprint_block(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes data. A reader that has had enough, as `head` has, is no error.
fn print_block(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
