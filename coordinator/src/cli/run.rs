//! `reprise run`: a coordinator, its workers and the tables, in one command.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use reprise_domain::study::StudySpec;
use reprise_domain::text::printable;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::benchmark::{Loaded, load};
use super::eprint_block;
use super::exit::{Interrupted, OrWrongInput as _};
use super::export::export;
use super::follow::{WhenAway, follow, verdict};
use super::place::ensure_writable;
use super::signals::Signals;
use crate::client::Client;
use crate::instance::{Config, Instance};
use crate::local::{Part, keep_worker, parts, torch_program, unfinished, worker_program};

/// Characters of a command that are shown.
const LONGEST_COMMAND: usize = 1000;

/// Arguments of `reprise run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The study file.
    study: PathBuf,
    /// Where the tables go; `results/NAME` when not given.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Worker processes of one core each. When not given: a single one for all cores, and
    /// for the graphics card where there is one.
    #[arg(long)]
    workers: Option<usize>,
    /// Journal, artifacts and workers' directories.
    #[arg(long, default_value = ".reprise")]
    state: PathBuf,
    /// Replace a study of the same name whose spec differs.
    #[arg(long)]
    amend: bool,
}

/// Runs a study to its end, or takes it up where it was left.
pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let loaded = load(&args.study)?;
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| PathBuf::from("results").join(loaded.spec.name.as_str()));
    // Known at once, and not after hours of work.
    ensure_writable(&out)?;
    let mut signals = Signals::listen().context("listen for signals")?;
    let instance = Instance::start(Config::local(&args.state)).await?;
    let outcome = attend(&args, &out, loaded, instance.url(), &mut signals).await;
    instance.shutdown.cancel();
    // Where the coordinator had to stop, that is why the rest failed.
    let stopped = instance.stopped.await.context("stop the coordinator")?;
    stopped.map_err(|error| {
        let said = if error.keeps_results() {
            "the coordinator had to stop; finished tasks are kept"
        } else {
            "the coordinator had to stop"
        };
        anyhow::Error::from(error).context(said)
    })?;
    outcome
}

/// Says which programs the workers of this machine are about to run: whoever starts a
/// study that somebody else wrote sees it before.
fn show_commands(spec: &StudySpec) {
    for plan in &spec.experiments {
        let command: Vec<_> = plan.command.iter().map(|word| quoted(word)).collect();
        let line = printable(&command.join(" "), LONGEST_COMMAND);
        let runs = plan.levels() * plan.seeds.len();
        eprint_block(&format!("{}: runs `{line}`, {runs} times", plan.name));
    }
}

/// A word as a shell would have it, where it is not one word anyway.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_=./,:{}+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Cores of the largest program.
fn most_cores(spec: &StudySpec) -> usize {
    let cores = spec.experiments.iter().map(|plan| plan.needs.cores);
    cores.max().unwrap_or(1) as usize
}

/// Submits the study, keeps workers while it runs, and writes its tables.
async fn attend(
    args: &RunArgs,
    out: &Path,
    loaded: Loaded,
    url: String,
    signals: &mut Signals,
) -> anyhow::Result<ExitCode> {
    let Loaded { spec, artifacts } = loaded;
    show_commands(&spec);
    let mut client = Client::connect(&url, None).await?;
    for (digest, content) in artifacts {
        client
            .put_artifact(digest, &content)
            .await
            .context("store the study's files")?;
    }
    let (resumed, _) = client.submit(&spec, args.amend).await?;
    let status = client.status(&spec.name).await?;
    let before = *status.total();
    if resumed {
        let how = if args.amend {
            "goes on with this spec"
        } else {
            "taken up again"
        };
        eprint_block(&format!(
            "{}: {how}; {} of {} tasks were finished already",
            spec.name, before.finished, before.planned
        ));
    }

    let workers = CancellationToken::new();
    let mut running = JoinSet::new();
    if !status.study.has_ended() {
        let program = worker_program()?;
        if spec.needs_libtorch() {
            // Otherwise its tasks would wait for a worker that never comes.
            torch_program(&program).or_wrong_input()?;
        }
        let parts = match args.workers {
            Some(workers) => vec![Part::Slots(1); workers.max(1)],
            None => parts(most_cores(&spec), spec.audit.is_some()),
        };
        let programs = !spec.experiments.is_empty();
        let home = args.state.join("workers");
        let left = unfinished(&home, parts.len());
        let own = parts.into_iter().enumerate();
        let own = own.map(|(number, part)| (part, home.join(number.to_string())));
        let left = left.into_iter().map(|path| (Part::Slots(1), path));
        for (part, directory) in own.chain(left) {
            running.spawn(keep_worker(
                program.clone(),
                part,
                programs,
                url.clone(),
                directory,
                workers.clone(),
            ));
        }
    }
    let watched = tokio::select! {
        watched = follow(&mut client, &spec.name, &status, WhenAway::Stop) => watched,
        signal = signals.next() => Err(Interrupted {
            signal,
            said: "interrupted; finished tasks are kept, run the same command again to go on"
                .to_owned(),
        }
        .into()),
    };
    workers.cancel();
    while running.join_next().await.is_some() {}
    let last = watched?;

    export(&mut client, &spec, &last, &[], out).await?;
    Ok(verdict(&last))
}
