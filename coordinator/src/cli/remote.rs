//! Commands that talk to a coordinator elsewhere.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use reprise_domain::StudyName;
use reprise_domain::status::Control;
use reprise_proto::credential::Credential;

use super::archive::{self, ArchiveArgs, UnarchiveArgs};
use super::artifact::{self, ArtifactCommand};
use super::export::Format;
use super::operation::{EventsArgs, WorkersArgs};
use super::output::OutputArgs;
use super::study::{self, SubmitArgs};
use super::task::{LogsArgs, TaskArgs, TasksArgs};
use super::{operation, task};
use crate::client::Client;

/// Which coordinator.
#[derive(Debug, Args)]
pub(super) struct RemoteArgs {
    /// Where it listens; several with commas between them are tried in turn.
    #[arg(
        long,
        env = "REPRISE_COORDINATOR",
        default_value = "http://127.0.0.1:7440"
    )]
    pub(super) coordinator: String,
    /// The credential to show it, where its address begins with `https`.
    #[arg(
        long,
        env = "REPRISE_CREDENTIAL",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(super) credential: Option<PathBuf>,
}

impl RemoteArgs {
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        let file = self.credential.as_deref();
        let credential = file.map(Credential::read).transpose()?;
        Ok(Client::connect(&self.coordinator, credential.as_ref()).await?)
    }
}

/// A study by its name.
#[derive(Debug, Args)]
pub(super) struct StudyArgs {
    /// Its name.
    pub(super) study: StudyName,
    #[command(flatten)]
    pub(super) remote: RemoteArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// What to ask of a coordinator.
#[derive(Debug, Subcommand)]
pub(super) enum RemoteCommand {
    /// Submit a study to a coordinator.
    Submit(SubmitArgs),
    /// List the studies of a coordinator with their state and progress.
    List {
        #[command(flatten)]
        remote: RemoteArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say where a study stands: its state, the counts of each stage, its failures by
    /// cause.
    Status(StudyArgs),
    /// Follow a study to its end.
    Watch {
        /// Its name.
        study: StudyName,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// End a study; what is finished stays.
    Cancel(StudyArgs),
    /// Start nothing further of a study.
    Pause(StudyArgs),
    /// Let a paused study go on.
    Resume(StudyArgs),
    /// Remove a study with its results, except those that another study has in its
    /// plan.
    Delete(StudyArgs),
    /// Write a study's tables and raw data, finished or not.
    Export {
        /// Its name.
        study: StudyName,
        #[command(flatten)]
        remote: RemoteArgs,
        /// Write only this raw data; several with commas between them.
        #[arg(long, value_enum, value_delimiter = ',')]
        format: Vec<Format>,
        /// Where to write; `results/NAME` when not given.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Write a study into a file, with the results of its finished tasks and their files,
    /// so that it can be deleted here and brought back later, or elsewhere.
    Archive(ArchiveArgs),
    /// Bring a study back from a file that `archive` wrote. Its finished tasks are not run
    /// again; what was not finished goes on.
    Unarchive(UnarchiveArgs),
    /// List and fetch the files of a study's results.
    #[command(subcommand)]
    Artifact(ArtifactCommand),
    /// Print every task of a study with its result.
    Results(StudyArgs),
    /// List the tasks of a study.
    Tasks(TasksArgs),
    /// Say what became of a task: its attempts, its failure, its result.
    Task(TaskArgs),
    /// Print what an attempt at a task has logged.
    Logs(LogsArgs),
    /// Try failed tasks again: one, or all of a study.
    Retry {
        /// A study's name, or a task's key or the beginning of it.
        #[arg(value_name = "STUDY|TASK")]
        what: String,
        #[command(flatten)]
        remote: RemoteArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Forget the results of finished tasks, so that they run again.
    Invalidate {
        /// Keys of the tasks, or the beginnings of them.
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<String>,
        #[command(flatten)]
        remote: RemoteArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the workers that a coordinator knows.
    Workers(WorkersArgs),
    /// Let a worker finish what it has, and give it nothing more, also when it comes
    /// back later.
    Drain {
        /// Its id or the beginning of it, or its host.
        worker: String,
        /// Give it work again.
        #[arg(long)]
        undo: bool,
        #[command(flatten)]
        remote: RemoteArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Tell what happened lately at a coordinator.
    Events(EventsArgs),
}

pub(super) async fn run(command: RemoteCommand) -> anyhow::Result<ExitCode> {
    match command {
        RemoteCommand::Submit(args) => study::submit(&args).await,
        RemoteCommand::List { remote, output } => study::list(&remote, output).await,
        RemoteCommand::Status(args) => study::status(&args).await,
        RemoteCommand::Watch { study, remote } => study::watch(&study, &remote).await,
        RemoteCommand::Cancel(args) => study::control(&args, Control::Cancel).await,
        RemoteCommand::Pause(args) => study::control(&args, Control::Pause).await,
        RemoteCommand::Resume(args) => study::control(&args, Control::Resume).await,
        RemoteCommand::Delete(args) => study::delete(&args).await,
        RemoteCommand::Export {
            study,
            remote,
            format,
            out,
        } => study::export(&study, &remote, &format, out).await,
        RemoteCommand::Archive(args) => archive::archive(args).await,
        RemoteCommand::Unarchive(args) => archive::unarchive(args).await,
        RemoteCommand::Artifact(command) => artifact::run(command).await,
        RemoteCommand::Results(args) => study::results(&args).await,
        RemoteCommand::Tasks(args) => task::list(&args).await,
        RemoteCommand::Task(args) => task::show(&args).await,
        RemoteCommand::Logs(args) => task::logs(&args).await,
        RemoteCommand::Retry {
            what,
            remote,
            output,
        } => task::retry(&what, &remote, output).await,
        RemoteCommand::Invalidate {
            tasks,
            remote,
            output,
        } => task::invalidate(&tasks, &remote, output).await,
        RemoteCommand::Workers(args) => operation::workers(&args).await,
        RemoteCommand::Drain {
            worker,
            undo,
            remote,
            output,
        } => operation::drain(&worker, undo, &remote, output).await,
        RemoteCommand::Events(args) => operation::events(&args).await,
    }
}
