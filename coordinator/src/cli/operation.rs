//! Commands about workers and events.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use futures::TryStreamExt as _;
use reprise_domain::record::Worker;

use super::output::{OutputArgs, Table, moment, print_json};
use super::remote::RemoteArgs;
use super::{eprint_block, print_block};

/// Arguments of `reprise workers`.
#[derive(Debug, Args)]
pub(super) struct WorkersArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn workers(args: &WorkersArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.remote.client().await?;
    let mut token = None;
    let mut is_first = true;
    loop {
        let page = client.workers(token).await?;
        if args.output.is_json() {
            page.entries.iter().try_for_each(print_json)?;
        } else if !page.entries.is_empty() {
            print_block(&table(&page.entries).text(is_first));
        } else if is_first {
            eprint_block("no workers; `reprise-worker --coordinator URL` starts one");
        }
        is_first = false;
        if page.next.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
        token = page.next;
    }
}

fn table(workers: &[Worker]) -> Table {
    let mut table = Table::new(&[
        "worker", "host", "state", "#slots", "#held", "device", "version",
    ]);
    for worker in workers {
        table.push(vec![
            worker.id.to_string().chars().take(8).collect(),
            worker.host.clone(),
            worker.state.as_str().to_owned(),
            worker.slots.to_string(),
            worker.held_attempts.to_string(),
            worker.device.clone(),
            worker.version.clone(),
        ]);
    }
    table
}

pub(super) async fn drain(
    worker: &str,
    undo: bool,
    remote: &RemoteArgs,
    output: OutputArgs,
) -> anyhow::Result<ExitCode> {
    let worker = remote.client().await?.drain(worker, undo).await?;
    if output.is_json() {
        print_json(&worker)?;
        return Ok(ExitCode::SUCCESS);
    }
    if undo {
        eprint_block(&format!(
            "worker {} on {} is given work again",
            worker.id, worker.host
        ));
        return Ok(ExitCode::SUCCESS);
    }
    eprint_block(&format!(
        "worker {} on {} is given nothing more; it has {} attempts to end, and `reprise workers` shows it",
        worker.id, worker.host, worker.held_attempts
    ));
    Ok(ExitCode::SUCCESS)
}

/// Arguments of `reprise events`.
#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// Go on with what happens from now on.
    #[arg(short, long)]
    follow: bool,
    /// How many of those that have happened.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(..=1000))]
    recent: u32,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn events(args: &EventsArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.remote.client().await?;
    let mut events = client.events(args.recent, args.follow).await?;
    while let Some(event) = events.try_next().await? {
        if args.output.is_json() {
            print_json(&event)?;
        } else {
            if event.missed > 0 {
                eprint_block(&format!("({} events are missing here)", event.missed));
            }
            print_block(&format!("{}  {}", moment(event.at_ms), event.text));
        }
        // Seen at once by a reader of the pipe.
        let _ = std::io::stdout().flush();
    }
    Ok(ExitCode::SUCCESS)
}
