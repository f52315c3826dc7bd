//! `reprise-torch`: what a worker starts for tasks that need libtorch.

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, dup, dup2_stdout};
use reprise_torch::serve::{say_error, serve};

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (libtorch ",
    env!("REPRISE_LIBTORCH_VERSION"),
    ")"
);

/// Computes with libtorch for `reprise-worker`, which starts it by itself.
#[derive(Debug, Parser)]
#[command(name = "reprise-torch", version = VERSION)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Do tasks that come over standard input, until it closes. Only a worker speaks
    /// its protocol.
    Serve,
}

fn main() -> ExitCode {
    let Command::Serve = Cli::parse().command;
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<(), Box<dyn std::error::Error>> {
    // A batch system or a service manager asks every process of a job to end. The worker
    // is the one that answers: it has its tasks saved, and then closes the input. All
    // threads take this over.
    let asked = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    SigSet::from_iter(asked).thread_block()?;
    // Libraries may print where nobody else may write.
    let output = dup(io::stdout())?;
    dup2_stdout(io::stderr())?;
    reprise_torch::use_one_thread();
    // Whatever computes does not hold up the end.
    let abandoned = || {
        let _ = kill(Pid::this(), Signal::SIGKILL);
    };
    serve(io::stdin(), std::fs::File::from(output), abandoned)?;
    Ok(())
}
