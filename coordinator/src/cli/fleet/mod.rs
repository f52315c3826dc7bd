//! `reprise fleet`: workers on Slurm, Kubernetes and Google Cloud.

pub(super) mod args;
mod text;

use std::process::ExitCode;
use std::time::Duration;

use async_trait::async_trait;
use clap::Subcommand;
use reprise_proto::status::{ApiError, ErrorCode};
use tokio_util::sync::CancellationToken;

use self::args::{KnownArgs, UpArgs};
use self::text::{Announcer, spent, status_table};
use super::exit::{self, BUDGET_SPENT, OrWrongInput as _, ensure_input};
use super::remote::RemoteArgs;
use super::{eprint_block, print_block};
use crate::client::Client;
use crate::fleet::home::Home;
use crate::fleet::policy::{End, Limits};
use crate::fleet::service::{Config, Outcome, Service, Studies, wait_gone};
use crate::fleet::workload::Workload;

/// How long a worker takes to leave, which the budget has to pay for as well.
const LEAVE_TIME: Duration = Duration::from_secs(10);

/// How long `down` waits for a loop that takes the same fleet down.
const PATIENCE: Duration = Duration::from_mins(4);

/// What to do with a fleet.
#[derive(Debug, Subcommand)]
pub(super) enum FleetCommand {
    /// Keep as many workers alive as there is work for, until all is done.
    ///
    /// Ctrl-C ends this command with exit code 0 and leaves the workers running.
    #[command(after_help = exit::TABLE)]
    Up(Box<UpArgs>),
    /// List a fleet's workers, their hours and their cost.
    Status(KnownArgs),
    /// Take all workers of a fleet down.
    Down(KnownArgs),
}

/// Runs a subcommand.
pub(super) async fn run(command: FleetCommand) -> anyhow::Result<ExitCode> {
    match command {
        FleetCommand::Up(args) => up(*args).await,
        FleetCommand::Status(args) => status(&args).await,
        FleetCommand::Down(args) => down(&args).await,
    }
}

async fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    ensure_input(
        args.min <= args.max && args.max > 0 && args.slots > 0,
        || "`--max` and `--slots` are at least 1, and `--min` is at most `--max`".to_owned(),
    )?;
    let setup = args.setup().or_wrong_input()?;
    let home = Home::new(&args.known.directory, &args.known.name)?;
    let _held = home.hold()?;
    home.forget_note()?;
    if let Ok(record) = home.read() {
        let (known, asked) = (record.setup.on.name(), setup.on.name());
        ensure_input(known == asked, || {
            format!(
                "fleet `{}` runs on `{known}`, not on `{asked}`; take it down first with `reprise fleet down`",
                setup.name
            )
        })?;
    }
    let mut announcer = Announcer::new(&setup, args.max);
    let config = Config {
        limits: Limits {
            slots: args.slots,
            min: args.min,
            max: args.max,
            idle: args.idle,
            margin: args.interval + LEAVE_TIME,
            stay: args.stay,
        },
        budget: args.device_time()?,
        interval: args.interval,
        setup: setup.clone(),
    };
    let engine = setup.engine(home.path());
    let stop = stopped();
    let mut studies = Remote {
        args: args.remote,
        client: None,
    };
    let mut service = Service::new(config, engine, home)?;
    let outcome = service
        .run(&mut studies, &mut |report| announcer.show(report), &stop)
        .await?;
    let (name, spent) = (&setup.name, spent(service.used(), setup.price));
    let text = match outcome {
        Outcome::Ended(End::Done) => format!("fleet `{name}`: nothing is left to do"),
        Outcome::Ended(End::BudgetSpent) => format!(
            "fleet `{name}`: the budget is spent; to go on, run the same command with a higher one"
        ),
        Outcome::Down => format!("fleet `{name}`: taken down"),
        Outcome::Left => format!(
            "fleet `{name}`: its workers go on, and nobody watches its budget; \
             `reprise fleet up` takes it up again, `reprise fleet down` ends it"
        ),
    };
    eprint_block(&format!(
        "{text}; {} workers came and went, {spent}",
        service.gone()
    ));
    Ok(match outcome {
        Outcome::Ended(End::BudgetSpent) => ExitCode::from(BUDGET_SPENT),
        _ => ExitCode::SUCCESS,
    })
}

async fn status(args: &KnownArgs) -> anyhow::Result<ExitCode> {
    let home = Home::new(&args.directory, &args.name)?;
    let mut record = home.read()?;
    let members = record.setup.engine(home.path()).list().await?;
    record.ledger.observe(crate::fleet::unix_now(), &members);
    print_block(&status_table(&record, &members));
    Ok(ExitCode::SUCCESS)
}

async fn down(args: &KnownArgs) -> anyhow::Result<ExitCode> {
    let home = Home::new(&args.directory, &args.name)?;
    home.read()?;
    let _held = home.take_over(PATIENCE).await?;
    let mut record = home.read()?;
    let engine = record.setup.engine(home.path());
    wait_gone(&*engine, &mut record.ledger).await?;
    home.close()?;
    eprint_block(&format!(
        "fleet `{}`: taken down; {} workers came and went, {}",
        args.name,
        record.ledger.gone,
        spent(record.ledger.used(), record.setup.price)
    ));
    Ok(ExitCode::SUCCESS)
}

/// The studies of a coordinator, asked again over a fresh connection after a
/// failure.
struct Remote {
    args: RemoteArgs,
    client: Option<Client>,
}

impl Remote {
    async fn ask(&mut self) -> anyhow::Result<Workload> {
        let client = match &mut self.client {
            Some(client) => client,
            missing => missing.insert(self.args.client().await?),
        };
        let mut load = Workload::default();
        for study in client.studies().await? {
            load.add(&study);
        }
        Ok(load)
    }
}

#[async_trait]
impl Studies for Remote {
    async fn workload(&mut self) -> Result<Workload, ApiError> {
        self.ask().await.map_err(|error| {
            self.client = None;
            error.downcast::<ApiError>().unwrap_or_else(|error| {
                ApiError::new(ErrorCode::Unavailable, format_args!("{error:#}"))
            })
        })
    }
}

/// Cancelled when the user or the system asks this program to end.
fn stopped() -> CancellationToken {
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else {
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        asked.cancel();
    });
    stop
}
