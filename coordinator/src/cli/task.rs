//! Commands about single tasks.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use futures::TryStreamExt as _;
use reprise_domain::record::{
    AttemptRecord, AttemptState, Task, TaskDetail, TaskFilter, TaskStateKind,
};
use reprise_domain::{Capability, StudyName};

use super::output::{OutputArgs, Table, moment, print_json, span};
use super::remote::RemoteArgs;
use super::study::in_short;
use super::{eprint_block, print_block};

/// Arguments of `reprise tasks`.
#[derive(Debug, Args)]
pub(super) struct TasksArgs {
    /// The study's name.
    study: StudyName,
    /// Only tasks in this state; several with commas between them.
    #[arg(long, value_delimiter = ',', value_parser = states())]
    state: Vec<String>,
    /// Only trials of the method of this label.
    #[arg(long)]
    method: Option<String>,
    /// Only tasks on this data set.
    #[arg(long)]
    dataset: Option<String>,
    /// Only tasks of this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Only tasks of the stage of this name, as `reprise status` shows it.
    #[arg(long)]
    stage: Option<String>,
    /// Print at most so many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    output: OutputArgs,
}

fn states() -> PossibleValuesParser {
    TaskStateKind::ALL.map(TaskStateKind::as_str).into()
}

impl TasksArgs {
    fn filter(&self) -> TaskFilter {
        let wanted = |state: &TaskStateKind| self.state.iter().any(|name| name == state.as_str());
        TaskFilter {
            states: TaskStateKind::ALL.into_iter().filter(wanted).collect(),
            method: self.method.clone(),
            dataset: self.dataset.clone(),
            seed: self.seed,
            stage: self.stage.clone(),
        }
    }
}

pub(super) async fn list(args: &TasksArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.remote.client().await?;
    let filter = args.filter();
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut token = None;
    let mut is_first = true;
    loop {
        let page = client.tasks(&args.study, &filter, token).await?;
        let more = page.entries.len() > left;
        let shown = &page.entries[..left.min(page.entries.len())];
        left -= shown.len();
        if args.output.is_json() {
            shown.iter().try_for_each(print_json)?;
        } else if !shown.is_empty() {
            print_block(&tasks(shown).text(is_first));
            is_first = false;
        }
        match page.next {
            _ if more => {
                eprint_block("and more; without `--limit` all of them are listed");
                return Ok(ExitCode::SUCCESS);
            }
            None => break,
            next => token = next,
        }
    }
    if is_first && !args.output.is_json() {
        eprint_block(&format!("{}: no such tasks", args.study));
    }
    Ok(ExitCode::SUCCESS)
}

fn tasks(tasks: &[Task]) -> Table {
    let mut table = Table::new(&["task", "what", "stage", "state", "#attempts", "why"]);
    for task in tasks {
        let failure = task.state.failure();
        let why = failure.map(|failure| {
            let first = failure.message.lines().next().unwrap_or_default();
            format!("{}: {first}", failure.class.as_str())
        });
        table.push(vec![
            task.key.0.short(),
            task.title.clone(),
            task.stage.to_string(),
            task.state.kind().as_str().to_owned(),
            task.attempts.to_string(),
            why.unwrap_or_default(),
        ]);
    }
    table
}

/// Arguments of `reprise task`.
#[derive(Debug, Args)]
pub(super) struct TaskArgs {
    /// The task's key, or the beginning of it.
    task: String,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn show(args: &TaskArgs) -> anyhow::Result<ExitCode> {
    let detail = args.remote.client().await?.task(&args.task).await?;
    if args.output.is_json() {
        print_json(&detail)?;
    } else {
        print_block(&described(&detail));
    }
    Ok(ExitCode::SUCCESS)
}

fn described(detail: &TaskDetail) -> String {
    let task = &detail.task;
    let studies: Vec<_> = detail.studies.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        format!("{}: {}", task.title, task.state.kind().as_str()),
        format!("task     {}", task.key),
        format!("studies  {}", studies.join(", ")),
    ];
    if let Some(result) = &detail.result {
        lines.push(format!("found    {}", in_short(result)));
    }
    if let Some(failure) = task.state.failure() {
        lines.push(format!(
            "failed   {}: {}",
            failure.class.as_str(),
            failure.message
        ));
        lines.extend(failure.log.iter().map(|line| format!("    {line}")));
    }
    let attempts = &detail.attempt_records;
    let differing = attempts
        .iter()
        .filter(|attempt| attempt.state == AttemptState::Differed);
    let before = lines.len();
    lines.extend(differing.map(|attempt| {
        format!(
            "disputed attempt {} on host `{}` gave another result",
            attempt.number, attempt.host
        )
    }));
    if detail.disputed && lines.len() == before {
        lines.push("disputed attempts at it gave different results".to_owned());
    }
    if let Some(made_by) = &detail.provenance {
        lines.push(format!("made by  {}", made_with(made_by)));
    }
    if attempts.is_empty() {
        lines.push(format!("attempts {}", task.attempts));
    } else {
        lines.push(String::new());
        lines.push(tried(attempts).text(true));
        let forgotten = (task.attempts as usize).saturating_sub(attempts.len());
        if forgotten > 0 {
            lines.push(format!(
                "of {} attempts, {forgotten} are not known any more",
                task.attempts
            ));
        }
    }
    lines.join("\n")
}

/// What a result was made with, in a line.
fn made_with(made_by: &Capability) -> String {
    let Capability {
        host,
        device,
        os,
        driver,
        ..
    } = made_by;
    let mut parts = vec![made_by.program(), format!("{device} of `{host}`")];
    if !driver.is_empty() {
        parts.push(format!("driver {driver}"));
    }
    if !os.is_empty() {
        parts.push(os.clone());
    }
    parts.join(", ")
}

fn tried(attempts: &[AttemptRecord]) -> Table {
    let mut table = Table::new(&[
        "#attempt",
        "outcome",
        "begun (UTC)",
        "took",
        "host",
        "device",
        "program",
        "worker",
        "why",
    ]);
    for attempt in attempts {
        let took = attempt.started_at_ms.zip(attempt.ended_at_ms);
        let why = match &attempt.state {
            AttemptState::Failed { failure } => failure.message.lines().next().unwrap_or_default(),
            _ => "",
        };
        table.push(vec![
            attempt.number.to_string(),
            attempt.state.as_str().to_owned(),
            attempt.started_at_ms.map_or_else(|| "-".to_owned(), moment),
            took.map_or_else(
                || "-".to_owned(),
                |(from, to)| span(to.saturating_sub(from)),
            ),
            attempt.host.clone(),
            attempt.device.clone(),
            attempt.program.clone(),
            attempt.worker.to_string().chars().take(8).collect(),
            why.to_owned(),
        ]);
    }
    table
}

/// Arguments of `reprise logs`.
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// The task's key, or the beginning of it.
    task: String,
    /// Which attempt, counted from 1; the newest one when not given.
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Go on until the attempt ends.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub(super) async fn logs(args: &LogsArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.remote.client().await?;
    let mut logs = client.logs(&args.task, args.attempt, args.follow).await?;
    let mut is_silent = true;
    while let Some(logged) = logs.try_next().await? {
        is_silent = false;
        if logged.gap {
            eprint_block("(some of the log is lost here)");
        }
        let lines: Vec<_> = logged.text.lines().collect();
        print_block(&lines.join("\n"));
        // Seen at once by a reader of the pipe.
        let _ = std::io::stdout().flush();
    }
    if is_silent {
        eprint_block("the attempt has logged nothing");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn retry(
    what: &str,
    remote: &RemoteArgs,
    output: OutputArgs,
) -> anyhow::Result<ExitCode> {
    let mut client = remote.client().await?;
    let is_digits = what.bytes().all(|digit| digit.is_ascii_hexdigit());
    // A study may be called like the beginning of a key; its name is the plainer one.
    let study = what.parse::<StudyName>().ok();
    let tasks = match study {
        Some(study) if !is_digits || client.status(&study).await.is_ok() => {
            client.retry_study(&study).await?
        }
        _ => client.retry_task(what).await?,
    };
    if output.is_json() {
        return changed(tasks);
    }
    eprint_block(&match tasks {
        0 => format!("{what}: no task has failed"),
        1 => format!("{what}: 1 failed task is tried again"),
        more => format!("{what}: {more} failed tasks are tried again"),
    });
    Ok(ExitCode::SUCCESS)
}

/// Prints how many tasks are open again, for programs.
fn changed(tasks: u64) -> anyhow::Result<ExitCode> {
    print_json(&serde_json::json!({ "tasks": tasks }))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn invalidate(
    tasks: &[String],
    remote: &RemoteArgs,
    output: OutputArgs,
) -> anyhow::Result<ExitCode> {
    let opened = remote.client().await?.invalidate(tasks).await?;
    if output.is_json() {
        return changed(opened);
    }
    eprint_block(&match opened {
        1 => "the result of 1 task is forgotten; it runs again".to_owned(),
        more => format!("the results of {more} tasks are forgotten; they run again"),
    });
    Ok(ExitCode::SUCCESS)
}
