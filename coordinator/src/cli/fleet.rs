//! `reprise fleet`: workers on Slurm, Kubernetes and Google Cloud.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use clap::{Args, Subcommand, ValueEnum};
use reprise_domain::StudyName;
use reprise_proto::status::{ApiError, ErrorCode};
use tokio_util::sync::CancellationToken;

use super::fleet_text::{Announcer, spent, status_table};
use super::remote::RemoteArgs;
use super::{eprint_block, print_block};
use crate::client::Client;
use crate::fleet::home::Home;
use crate::fleet::policy::{End, Limits};
use crate::fleet::service::{Config, Outcome, Service, Studies, wait_gone};
use crate::fleet::setup::{EngineSetup, Setup, WorkerCommand};
use crate::fleet::workload::Workload;
use crate::local::worker_program;

/// Exit code when the budget was spent before the work was done.
const BUDGET_SPENT: u8 = 4;

/// How long a worker takes to leave, which the budget has to pay for as well.
const LEAVE_TIME: Duration = Duration::from_secs(10);

/// How long `down` waits for a loop that takes the same fleet down.
const PATIENCE: Duration = Duration::from_mins(4);

/// What to do with a fleet.
#[derive(Debug, Subcommand)]
pub(super) enum FleetCommand {
    /// Keep as many workers alive as there is work for, until all is done.
    #[command(
        after_help = "Exit codes: 0 all studies done, or stopped by Ctrl-C (the workers \
        go on); 1 error; 4 budget spent"
    )]
    Up(Box<UpArgs>),
    /// List a fleet's workers, their hours and their cost.
    Status(KnownArgs),
    /// Take all workers of a fleet down.
    Down(KnownArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineName {
    Slurm,
    Kubernetes,
    Gcp,
}

/// Which fleet.
#[derive(Debug, Args)]
pub(super) struct KnownArgs {
    /// The fleet's name.
    #[arg(long, default_value = "default", value_parser = fleet_name)]
    name: String,
    /// Where fleets keep their records, logs and workers' directories; on Slurm a
    /// directory that all nodes share.
    #[arg(long, default_value = ".reprise/fleet")]
    directory: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct UpArgs {
    #[command(flatten)]
    known: KnownArgs,
    #[command(flatten)]
    remote: RemoteArgs,
    /// Where workers run.
    #[arg(long)]
    on: EngineName,
    /// The coordinator's address as workers reach it; `--coordinator` when not
    /// given.
    #[arg(long)]
    advertise: Option<String>,
    /// Workers' credential, a file that all nodes can read (Slurm).
    #[arg(long)]
    worker_credential: Option<PathBuf>,
    /// Secret with the workers' credential: of the cluster, under the key
    /// `credential.pem` (Kubernetes), or of the Secret Manager (Google Cloud).
    #[arg(long)]
    secret: Option<String>,
    /// Workers that are kept even with nothing to do.
    #[arg(long, default_value_t = 0)]
    min: u32,
    /// Workers that are never exceeded.
    #[arg(long)]
    max: u32,
    /// Tasks that one worker runs at once.
    #[arg(long, default_value_t = 1)]
    slots: u32,
    /// The worker program: a path where it runs, or on Google Cloud an archive
    /// `gs://BUCKET/FILE.tar.gz`.
    #[arg(long)]
    worker: Option<String>,
    /// What an hour of one worker costs, in any currency.
    #[arg(long, value_parser = amount)]
    price: Option<f64>,
    /// What the fleet may cost since it was last taken down; needs `--price`.
    #[arg(long, value_parser = amount, requires = "price")]
    budget: Option<f64>,
    /// Machine hours that it may use since it was last taken down.
    #[arg(long, value_parser = amount)]
    device_hours: Option<f64>,
    /// How long workers have to be too many before some are taken down.
    #[arg(long, default_value = "60s", value_parser = duration)]
    idle: Duration,
    /// Time between two looks at the work and the workers.
    #[arg(long, default_value = "5s", value_parser = duration)]
    interval: Duration,
    /// Wait for further studies when all are done.
    #[arg(long)]
    stay: bool,
    /// Workers' container image (Kubernetes).
    #[arg(long)]
    image: Option<String>,
    /// GPUs a worker (Kubernetes).
    #[arg(long, default_value_t = 0)]
    gpus: u32,
    /// Label and taint of the nodes to use, `KEY=VALUE`; on Google's clusters
    /// `cloud.google.com/gke-spot=true` (Kubernetes).
    #[arg(long)]
    spot: Option<String>,
    /// Project (Google Cloud); as `gcloud` is set when not given.
    #[arg(long)]
    project: Option<String>,
    /// Zone (Google Cloud).
    #[arg(long)]
    zone: Option<String>,
    /// Machine type (Google Cloud).
    #[arg(long, default_value = "e2-standard-4")]
    machine: String,
    /// Further arguments of `sbatch`, of `kubectl`, or of `gcloud compute
    /// instance-templates create`.
    #[arg(last = true)]
    extra: Vec<String>,
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
    anyhow::ensure!(
        args.min <= args.max && args.max > 0 && args.slots > 0,
        "`--max` and `--slots` are at least 1, and `--min` is at most `--max`"
    );
    let setup = args.setup()?;
    let home = Home::new(&args.known.directory, &args.known.name)?;
    let _held = home.hold()?;
    home.forget_note()?;
    if let Ok(record) = home.read() {
        let (known, asked) = (record.setup.on.name(), setup.on.name());
        anyhow::ensure!(
            known == asked,
            "fleet `{}` runs on `{known}`, not on `{asked}`; take it down first with `reprise fleet down`",
            setup.name
        );
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

impl UpArgs {
    fn setup(&self) -> anyhow::Result<Setup> {
        let path = |path: &PathBuf| -> anyhow::Result<String> {
            let path =
                std::path::absolute(path).with_context(|| format!("find `{}`", path.display()))?;
            Ok(path.display().to_string())
        };
        let on = match self.on {
            EngineName::Slurm => {
                anyhow::ensure!(
                    self.secret.is_none(),
                    "Slurm has no secrets; give workers a file with `--worker-credential`"
                );
                EngineSetup::Slurm {
                    extra: self.extra.clone(),
                }
            }
            EngineName::Kubernetes => {
                if let Some(spot) = &self.spot {
                    anyhow::ensure!(spot.contains('='), "write `--spot {spot}` as KEY=VALUE");
                }
                EngineSetup::Kubernetes {
                    image: self.image.clone().context("name the workers' `--image`")?,
                    gpus: self.gpus,
                    spot: self.spot.clone(),
                    secret: self.secret.clone(),
                    extra: self.extra.clone(),
                }
            }
            EngineName::Gcp => EngineSetup::Gcp {
                project: self.project.clone(),
                zone: self.zone.clone().context("name the machines' `--zone`")?,
                machine: self.machine.clone(),
                secret: self.secret.clone(),
                extra: self.extra.clone(),
            },
        };
        let program = match (&self.worker, self.on) {
            (Some(program), EngineName::Slurm) => path(&program.into())?,
            (Some(program), _) => program.clone(),
            (None, EngineName::Slurm) => path(&worker_program()?)?,
            (None, EngineName::Kubernetes) => "reprise-worker".to_owned(),
            (None, EngineName::Gcp) => anyhow::bail!(
                "name the `--worker`: an archive `gs://BUCKET/FILE.tar.gz`, or a path on the machines' image"
            ),
        };
        Ok(Setup {
            name: self.known.name.clone(),
            on,
            worker: WorkerCommand {
                program,
                coordinator: self
                    .advertise
                    .clone()
                    .unwrap_or_else(|| self.remote.coordinator.clone()),
                // A worker's own, with a worker's rights; never this command's.
                credential: self.worker_credential.as_ref().map(path).transpose()?,
                slots: self.slots,
            },
            price: self.price,
        })
    }

    /// The tighter of both budgets, as machine time.
    fn device_time(&self) -> anyhow::Result<Option<Duration>> {
        let bought = match (self.budget, self.price) {
            (Some(budget), Some(price)) if price > 0.0 => Some(budget / price),
            _ => None,
        };
        let hours = [bought, self.device_hours].into_iter().flatten();
        let Some(hours) = hours.reduce(f64::min) else {
            return Ok(None);
        };
        Duration::try_from_secs_f64(hours * 3600.0)
            .map(Some)
            .with_context(|| format!("a budget of `{hours}` hours is out of range"))
    }
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
        for name in client.list().await? {
            let name: StudyName = name.parse()?;
            load.add(&client.status(&name).await?);
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

/// A name that every engine takes as part of its own names.
fn fleet_name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let starts = text.starts_with(|first: char| first.is_ascii_lowercase());
    if starts && text.len() <= 40 && text.bytes().all(plain) && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err(
            "a fleet's name is 1 to 40 of a-z, 0-9 and -, the first a letter, the last not -"
                .to_owned(),
        )
    }
}

fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(amount) if amount.is_finite() && amount >= 0.0 => Ok(amount),
        _ => Err("a number from 0".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let units = [
        ("ms", 0.001),
        ("min", 60.0),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("d", 86_400.0),
    ];
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))
        .ok_or("write a number and a unit: ms, s, min, h or d")?;
    number
        .trim()
        .parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number * unit).ok())
        .ok_or_else(|| format!("`{number}` is not a number from 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_names_are_read_strictly() {
        assert_eq!(duration("60s"), Ok(Duration::from_mins(1)));
        assert_eq!(duration("1.5 h"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2min"), Ok(Duration::from_mins(2)));
        assert!(duration("60").is_err() && duration("-1s").is_err());
        assert!(fleet_name("lab-2").is_ok());
        for name in ["", "2lab", "Lab", "lab-", "a/b", "lab fleet"] {
            assert!(fleet_name(name).is_err(), "{name}");
        }
    }
}
