//! Commands about studies.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use futures::TryStreamExt as _;
use reprise_domain::StudyName;
use reprise_domain::record::TaskRecord;
use reprise_domain::status::{
    AuditCounts, Control, StudyState, StudyStatus, StudySummary, TaskCounts,
};
use reprise_domain::{ProgramResult, TaskResult, Trajectory};
use reprise_stats::format::exact;

use super::benchmark::{Loaded, load};
use super::export::Format;
use super::follow::{WhenAway, failed, follow, unserved, verdict};
use super::output::{OutputArgs, Table, ago, print_json};
use super::place::ensure_writable;
use super::remote::{RemoteArgs, StudyArgs};
use super::{eprint_block, export, print_block};

/// Arguments of `reprise submit`.
#[derive(Debug, Args)]
pub(super) struct SubmitArgs {
    /// The study file.
    study: PathBuf,
    #[command(flatten)]
    remote: RemoteArgs,
    /// Go on with this spec where a study of the same name has another one; finished
    /// tasks that both have are kept.
    #[arg(long)]
    amend: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn submit(args: &SubmitArgs) -> anyhow::Result<ExitCode> {
    let Loaded { spec, artifacts } = load(&args.study)?;
    let mut client = args.remote.client().await?;
    for (digest, content) in artifacts {
        client
            .put_artifact(digest, &content)
            .await
            .context("store the study's files")?;
    }
    let (resumed, study) = client.submit(&spec, args.amend).await?;
    if args.output.is_json() {
        print_json(&study)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (name, tasks) = (&study.name, &study.tasks);
    let what = match (resumed, args.amend) {
        (false, _) => format!("submitted, {} tasks", tasks.planned),
        (true, false) => format!(
            "taken up again, {} of {} tasks finished",
            tasks.finished, tasks.planned
        ),
        (true, true) => format!(
            "goes on with this spec, {} of {} tasks finished",
            tasks.finished, tasks.planned
        ),
    };
    let next = if study.has_ended() {
        format!("`reprise export {name}` writes its tables")
    } else {
        format!("`reprise watch {name}` follows it")
    };
    eprint_block(&format!("{name}: {what}; {next}"));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn list(remote: &RemoteArgs, output: OutputArgs) -> anyhow::Result<ExitCode> {
    let mut client = remote.client().await?;
    let mut token = None;
    let mut is_first = true;
    loop {
        let page = client.list(token).await?;
        if output.is_json() {
            page.entries.iter().try_for_each(print_json)?;
        } else if !page.entries.is_empty() {
            print_block(&studies(&page.entries).text(is_first));
        } else if is_first {
            eprint_block("no studies; `reprise submit STUDY.yaml` adds one");
        }
        is_first = false;
        if page.next.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
        token = page.next;
    }
}

fn studies(studies: &[StudySummary]) -> Table {
    let mut table = Table::new(&[
        "study",
        "state",
        "#finished",
        "#planned",
        "#running",
        "#failed",
        "submitted",
    ]);
    for study in studies {
        let tasks = &study.tasks;
        table.push(vec![
            study.name.to_string(),
            study.state.as_str().to_owned(),
            tasks.finished.to_string(),
            tasks.planned.to_string(),
            tasks.running.to_string(),
            (tasks.failed + tasks.blocked).to_string(),
            ago(study.submitted_at_ms),
        ]);
    }
    table
}

pub(super) async fn status(args: &StudyArgs) -> anyhow::Result<ExitCode> {
    let status = args.remote.client().await?.status(&args.study).await?;
    if args.output.is_json() {
        print_json(&status)?;
    } else {
        print_block(&standing(&status));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn watch(study: &StudyName, remote: &RemoteArgs) -> anyhow::Result<ExitCode> {
    let mut client = remote.client().await?;
    let first = client.status(study).await?;
    let last = follow(&mut client, study, &first, WhenAway::Redial).await?;
    print_block(&counts(&last));
    Ok(verdict(&last))
}

pub(super) async fn control(args: &StudyArgs, control: Control) -> anyhow::Result<ExitCode> {
    let mut client = args.remote.client().await?;
    let study = client.control(&args.study, control).await?;
    if args.output.is_json() {
        print_json(&study)?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = &study.name;
    let tasks = &study.tasks;
    eprint_block(&match control {
        Control::Cancel => format!(
            "{name}: cancelled; {} finished tasks are kept, and submitting it again takes it up",
            tasks.finished
        ),
        Control::Pause if study.state == StudyState::Paused => format!(
            "{name}: paused; {} tasks still run to their end, and `reprise resume {name}` lets it go on",
            tasks.running
        ),
        Control::Resume if study.state == StudyState::Running => format!(
            "{name}: goes on; {} tasks are left, and `reprise watch {name}` follows it",
            tasks.remaining()
        ),
        Control::Pause | Control::Resume => {
            format!("{name}: {}; nothing is left to run", study.state.as_str())
        }
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn delete(args: &StudyArgs) -> anyhow::Result<ExitCode> {
    let study = &args.study;
    args.remote.client().await?.delete(study).await?;
    if args.output.is_json() {
        print_json(&serde_json::json!({ "deleted": study }))?;
        return Ok(ExitCode::SUCCESS);
    }
    eprint_block(&format!("{study}: deleted"));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn export(
    study: &StudyName,
    remote: &RemoteArgs,
    formats: &[Format],
    out: Option<PathBuf>,
) -> anyhow::Result<ExitCode> {
    let mut client = remote.client().await?;
    let spec = client.spec(study).await?;
    // Before the records: what is finished by now is among them.
    let status = client.status(study).await?;
    let out = out.unwrap_or_else(|| PathBuf::from("results").join(study.as_str()));
    // Known at once, and not after all was read.
    ensure_writable(&out)?;
    export::export(&mut client, &spec, &status, formats, &out).await?;
    Ok(verdict(&status))
}

pub(super) async fn results(args: &StudyArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.remote.client().await?;
    let mut results = client.results(&args.study).await?;
    let mut page = Vec::new();
    let mut is_first = true;
    loop {
        let record = results.try_next().await?;
        if args.output.is_json() {
            match record {
                Some(record) => print_json(&record)?,
                None => return Ok(ExitCode::SUCCESS),
            }
            continue;
        }
        let is_last = record.is_none();
        page.extend(record);
        if (is_last && !page.is_empty()) || page.len() == 1000 {
            print_block(&found(&page).text(is_first));
            page.clear();
            is_first = false;
        }
        if is_last {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn found(records: &[TaskRecord]) -> Table {
    let mut table = Table::new(&["task", "what", "state", "#seconds", "found"]);
    for record in records {
        let outcome = record.outcome.as_ref();
        table.push(vec![
            record.task.key.0.short(),
            record.task.title.clone(),
            record.task.state.kind().as_str().to_owned(),
            outcome.map_or_else(String::new, |outcome| {
                format!("{:.1}", outcome.usage.wall.get())
            }),
            outcome.map_or_else(String::new, |outcome| in_short(&outcome.result)),
        ]);
    }
    table
}

/// A result in a few words.
pub(super) fn in_short(result: &TaskResult) -> String {
    match result {
        TaskResult::Pretrain(result) => match result.epochs.last() {
            Some(last) => format!(
                "{} epochs, loss {:.4}, exact match {:.2} %",
                result.epochs.len(),
                last.loss,
                last.exact_match * 100.0
            ),
            None => "no epochs".to_owned(),
        },
        TaskResult::Search(result) => best(&result.trajectory),
        TaskResult::Evaluate(result) => format!(
            "validation {:.2} %, test {:.2} %",
            result.validation.percent(),
            result.test.percent()
        ),
        TaskResult::Noop => "nothing".to_owned(),
        TaskResult::Program(result) => measured(result),
    }
}

/// The metrics of a program, as many as fit a line.
fn measured(result: &ProgramResult) -> String {
    const SHOWN: usize = 4;
    let shown = result.metrics.iter().take(SHOWN);
    let mut texts: Vec<_> = shown
        .map(|(name, value)| format!("{name} {}", exact(*value).unwrap_or_default()))
        .collect();
    if result.metrics.len() > SHOWN {
        texts.push("…".to_owned());
    }
    texts.join(", ")
}

fn best(trajectory: &Trajectory) -> String {
    let incumbent = trajectory.incumbents().last().copied();
    let test = incumbent.and_then(|query| trajectory.test.get(query));
    match (incumbent, test) {
        (Some(query), Some(test)) => format!(
            "{} queries, best validation {:.2} %, its test {:.2} %",
            trajectory.len(),
            trajectory.validation[query].percent(),
            test.percent()
        ),
        _ => "no queries".to_owned(),
    }
}

/// Where a study stands, in words and counts.
fn standing(status: &StudyStatus) -> String {
    let study = &status.study;
    let name = &study.name;
    let what_next = match study.state {
        StudyState::Paused => format!("; `reprise resume {name}` lets it go on"),
        StudyState::Stopped => {
            format!(": too many of its tasks failed; `reprise retry {name}` tries them again")
        }
        StudyState::Cancelled => "; submitting it again takes it up".to_owned(),
        StudyState::Running | StudyState::Done => String::new(),
    };
    let mut when = vec![format!("submitted {}", ago(study.submitted_at_ms))];
    when.extend(study.started_at_ms.map(|at| format!("begun {}", ago(at))));
    when.extend(study.finished_at_ms.map(|at| format!("ended {}", ago(at))));
    let mut blocks = vec![
        format!("{name}: {}{what_next}", study.state.as_str()),
        when.join(", "),
        String::new(),
        counts(status),
    ];
    blocks.extend(audits(&study.audits));
    let failed = failed(name, &status.failures);
    if !failed.is_empty() {
        blocks.push(String::new());
        blocks.extend(failed);
    }
    blocks.join("\n")
}

/// What the audits of a study found, if it has any.
pub(super) fn audits(audits: &AuditCounts) -> Option<String> {
    if audits.planned() == 0 {
        return None;
    }
    let counts = [
        (audits.agreed, "agreed"),
        (audits.differing, "differed"),
        (audits.pending(), "to come"),
        (audits.given_up, "given up"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<_> = counts
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let mut line = format!("audits: {}", counts.join(", "));
    if audits.differing > 0 {
        line.push_str("; `reprise events` names the tasks, `reprise task KEY` the machines");
    }
    Some(line)
}

/// How the tasks of one state are counted.
type Count = fn(&TaskCounts) -> u64;

/// Columns that are shown where any stage has something in them.
const OCCASIONAL: [(&str, Count); 6] = [
    ("#ready", |tasks| tasks.ready),
    ("#waiting", |tasks| tasks.waiting),
    ("#backing off", |tasks| tasks.backing_off),
    ("#failed", |tasks| tasks.failed),
    ("#blocked", |tasks| tasks.blocked),
    ("#cancelled", |tasks| tasks.cancelled),
];

/// The counts of all stages.
fn counts(status: &StudyStatus) -> String {
    let total = status.total();
    let columns: [(&str, Count); 3] = [
        ("#planned", |tasks| tasks.planned),
        ("#finished", |tasks| tasks.finished),
        ("#running", |tasks| tasks.running),
    ];
    let shown = OCCASIONAL.into_iter().filter(|(_, count)| count(total) > 0);
    let columns: Vec<_> = columns.into_iter().chain(shown).collect();
    let titles: Vec<_> = std::iter::once("stage")
        .chain(columns.iter().map(|(title, _)| *title))
        .collect();
    let mut table = Table::new(&titles);
    let stages = status
        .stages
        .iter()
        .map(|stage| (stage.name.as_str(), &stage.tasks));
    for (name, tasks) in stages.chain([("all", total)]) {
        let numbers = columns.iter().map(|(_, count)| count(tasks).to_string());
        table.push(std::iter::once(name.to_owned()).chain(numbers).collect());
    }
    let workers = match status.workers_connected {
        1 => "1 worker connected".to_owned(),
        more => format!("{more} workers connected"),
    };
    let mut text = format!("{}\n{workers}", table.text(true));
    for line in unserved(status) {
        text.push('\n');
        text.push_str(&line);
    }
    text
}
