//! A study that is followed to its end, and what is said of it then.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use reprise_domain::StudyName;
use reprise_domain::status::{Failures, StudyState, StudyStatus, Unserved};
use reprise_proto::status::ApiError;

use super::eprint_block;
use super::exit::TASKS_FAILED;
use super::progress::Progress;
use super::study::audits;
use crate::client::Client;

/// How long a coordinator that is away is dialled again.
const PATIENCE: Duration = Duration::from_mins(10);

/// Wait before the first new dial; doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Longest wait between two dials.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What to do when the coordinator goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenAway {
    /// Dial again: it may be started again, or another one takes over.
    Redial,
    /// Give up: it runs in this process, and will not come back.
    Stop,
}

/// Follows a study until nothing of it is left to run; returns where it stands then.
pub(super) async fn follow(
    client: &mut Client,
    study: &StudyName,
    first: &StudyStatus,
    when_away: WhenAway,
) -> anyhow::Result<StudyStatus> {
    let mut progress = Progress::new();
    progress.begin(first);
    say_if_held(first.study.state, study);
    let mut last = first.clone();
    for line in unserved(first) {
        progress.pause(&line);
    }
    loop {
        match watch(client, study, &mut progress, &mut last).await {
            Ok(whole) => {
                progress.finish(&whole);
                return Ok(whole);
            }
            Err(error) if error.is_retryable() && when_away == WhenAway::Redial => {
                progress.pause(&format!("{error}; dialling again"));
                redial(client, error).await?;
            }
            Err(error) => {
                progress.finish(&last);
                return Err(error.into());
            }
        }
    }
}

async fn watch(
    client: &mut Client,
    study: &StudyName,
    progress: &mut Progress,
    last: &mut StudyStatus,
) -> Result<StudyStatus, ApiError> {
    let mut watched = client.watch(study).await?;
    while let Some(status) = watched.next().await? {
        // Their number changes with every task that ends.
        let needs = |status: &StudyStatus| -> Vec<String> {
            let unserved = status.unserved.iter();
            unserved.map(|unserved| unserved.needs.clone()).collect()
        };
        if needs(&status) != needs(last) {
            for line in unserved(&status) {
                progress.pause(&line);
            }
        }
        if status.study.state != last.study.state {
            progress.pause("");
            say_if_held(status.study.state, study);
        }
        progress.show(&status);
        *last = status;
    }
    client.status(study).await
}

/// What no connected worker can run, and what to do about it.
pub(super) fn unserved(status: &StudyStatus) -> Vec<String> {
    let name = &status.study.name;
    let line = |unserved: &Unserved| {
        format!(
            "{name}: {} tasks wait for a worker with {}; none of those connected ({}) has it",
            unserved.tasks, unserved.needs, status.workers_connected
        )
    };
    status.unserved.iter().map(line).collect()
}

/// Says why nothing moves.
fn say_if_held(state: StudyState, study: &StudyName) {
    if state == StudyState::Paused {
        eprint_block(&format!(
            "{study}: paused; `reprise resume {study}` lets it go on"
        ));
    }
}

/// Dials until somebody answers or patience ends.
async fn redial(client: &mut Client, mut error: ApiError) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut wait = FIRST_WAIT;
    while begun.elapsed() < PATIENCE {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
        match client.redial().await {
            Ok(()) => return Ok(()),
            Err(refused) if refused.is_retryable() => error = refused,
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(error.into())
}

/// Lists what failed; a study with a failed task never exits with 0.
pub(super) fn verdict(status: &StudyStatus) -> ExitCode {
    let name = &status.study.name;
    for line in failed(name, &status.failures) {
        eprint_block(&line);
    }
    if let Some(line) = audits(&status.study.audits) {
        eprint_block(&line);
    }
    let total = status.total();
    if total.finished == total.planned {
        return ExitCode::SUCCESS;
    }
    let parts = [
        (total.failed, "failed"),
        (total.blocked, "blocked by them"),
        (total.cancelled, "cancelled"),
        (total.remaining(), "not done yet"),
    ];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    eprint_block(&format!(
        "{name}: {} of {} tasks are missing: {}",
        total.planned - total.finished,
        total.planned,
        parts.join(", ")
    ));
    if total.failed > 0 {
        eprint_block(&format!(
            "hint: `reprise tasks {name} --state failed` lists the failed ones; \
             `reprise retry {name}`, or running the study again, tries them again"
        ));
    }
    ExitCode::from(TASKS_FAILED)
}

/// What failed, by equal cause.
pub(super) fn failed(study: &StudyName, failures: &Failures) -> Vec<String> {
    let mut lines = Vec::new();
    for group in &failures.groups {
        let mut message = group.message.lines();
        let first = message.next().unwrap_or_default();
        let tasks = match group.tasks {
            1 => group.example_title.clone(),
            more => format!("{more} tasks, such as {}", group.example_title),
        };
        lines.push(format!(
            "failed ({}): {tasks} [{}]: {first}",
            group.class.as_str(),
            group.example.0.short()
        ));
        lines.extend(message.map(|line| format!("    {line}")));
    }
    if failures.other_tasks > 0 {
        lines.push(format!(
            "and {} more failed tasks of other causes: `reprise tasks {study} --state failed`",
            failures.other_tasks
        ));
    }
    lines
}
