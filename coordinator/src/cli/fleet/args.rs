//! Arguments of `reprise fleet`, and the fleet that they describe.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::cli::remote::RemoteArgs;
use crate::fleet::setup::{EngineSetup, Setup, WorkerCommand};
use crate::local::worker_program;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineName {
    Slurm,
    Kubernetes,
    Gcp,
}

/// Which fleet.
#[derive(Debug, Args)]
pub(in crate::cli) struct KnownArgs {
    /// The fleet's name.
    #[arg(long, default_value = "default", value_parser = fleet_name)]
    pub(super) name: String,
    /// Where fleets keep their records, logs and workers' directories; on Slurm a
    /// directory that all nodes share.
    #[arg(long, default_value = ".reprise/fleet")]
    pub(super) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct UpArgs {
    #[command(flatten)]
    pub(super) known: KnownArgs,
    #[command(flatten)]
    pub(super) remote: RemoteArgs,
    /// Where workers run.
    #[arg(long)]
    pub(super) on: EngineName,
    /// The coordinator's address as workers reach it; `--coordinator` when not
    /// given.
    #[arg(long)]
    pub(super) advertise: Option<String>,
    /// Workers' credential, a file in a directory that all nodes share (Slurm).
    #[arg(long)]
    pub(super) worker_credential: Option<PathBuf>,
    /// Secret with the workers' credential: of the cluster, under the key
    /// `worker.pem` (Kubernetes), or of the Secret Manager (Google Cloud).
    #[arg(long)]
    pub(super) secret: Option<String>,
    /// Workers that are kept even with nothing to do.
    #[arg(long, default_value_t = 0)]
    pub(super) min: u32,
    /// Workers that are never exceeded.
    #[arg(long)]
    pub(super) max: u32,
    /// Tasks that one worker runs at once.
    #[arg(long, default_value_t = 1)]
    pub(super) slots: u32,
    /// The worker program: a path where it runs, or on Google Cloud an archive
    /// `gs://BUCKET/FILE.tar.gz` with `reprise-worker` at its top and, for graphics cards
    /// and real training, `reprise-torch` beside it and libtorch's libraries in `lib`.
    #[arg(long)]
    pub(super) worker: Option<String>,
    /// SHA-256 of that archive, as `sha256sum` shows it; machines run nothing else.
    #[arg(long, value_name = "DIGEST", value_parser = sha256)]
    pub(super) worker_sha256: Option<String>,
    /// What an hour of one worker costs, in any currency.
    #[arg(long, value_parser = amount)]
    pub(super) price: Option<f64>,
    /// What the fleet may cost since it was last taken down; needs `--price`.
    #[arg(long, value_parser = amount, requires = "price")]
    pub(super) budget: Option<f64>,
    /// Machine hours that it may use since it was last taken down.
    #[arg(long, value_parser = amount)]
    pub(super) device_hours: Option<f64>,
    /// How long workers have to be too many before some are taken down.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub(super) idle: Duration,
    /// Time between two looks at the work and the workers.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub(super) interval: Duration,
    /// Wait for further studies when all are done.
    #[arg(long)]
    pub(super) stay: bool,
    /// Workers' container image (Kubernetes).
    #[arg(long)]
    pub(super) image: Option<String>,
    /// GPUs a worker (Kubernetes).
    #[arg(long, default_value_t = 0)]
    pub(super) gpus: u32,
    /// Label and taint of the nodes to use, `KEY=VALUE`; on Google's clusters
    /// `cloud.google.com/gke-spot=true` (Kubernetes).
    #[arg(long)]
    pub(super) spot: Option<String>,
    /// Project (Google Cloud); as `gcloud` is set when not given.
    #[arg(long)]
    pub(super) project: Option<String>,
    /// Zone (Google Cloud).
    #[arg(long)]
    pub(super) zone: Option<String>,
    /// Machine type (Google Cloud).
    #[arg(long, default_value = "e2-standard-4")]
    pub(super) machine: String,
    /// Further arguments of `sbatch`, of `kubectl`, or of `gcloud compute
    /// instance-templates create`.
    #[arg(last = true)]
    pub(super) extra: Vec<String>,
}

impl UpArgs {
    /// The fleet that they describe.
    pub(super) fn setup(&self) -> anyhow::Result<Setup> {
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
        anyhow::ensure!(
            self.on == EngineName::Slurm || self.worker_credential.is_none(),
            "a file of this machine does not reach the workers; name a secret with `--secret`"
        );
        let coordinator = self.advertise.as_ref().unwrap_or(&self.remote.coordinator);
        anyhow::ensure!(
            self.on == EngineName::Slurm || !coordinator.split(',').all(is_loopback),
            "workers cannot reach `{coordinator}`, which is this machine's own address; \
             name the coordinator as they see it with `--advertise`"
        );
        let program = match (&self.worker, self.on) {
            (Some(program), EngineName::Slurm) => path(&program.into())?,
            (Some(program), _) => program.clone(),
            (None, EngineName::Slurm) => path(&worker_program()?)?,
            (None, EngineName::Kubernetes) => "reprise-worker".to_owned(),
            (None, EngineName::Gcp) => anyhow::bail!(
                "name the `--worker`: an archive `gs://BUCKET/FILE.tar.gz`, or a path on the machines' image"
            ),
        };
        anyhow::ensure!(
            program.starts_with("gs://") == self.worker_sha256.is_some(),
            "an archive `gs://…` as `--worker` and its digest `--worker-sha256` go together"
        );
        Ok(Setup {
            name: self.known.name.clone(),
            on,
            worker: WorkerCommand {
                program,
                coordinator: coordinator.clone(),
                // A worker's own, with a worker's rights; never this command's.
                credential: self.worker_credential.as_ref().map(path).transpose()?,
                slots: self.slots,
                sha256: self.worker_sha256.clone(),
            },
            price: self.price,
        })
    }

    /// The tighter of both budgets, as machine time.
    pub(super) fn device_time(&self) -> anyhow::Result<Option<Duration>> {
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

/// Whether an address is only of use on its own machine.
fn is_loopback(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
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

fn sha256(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("a SHA-256 has 64 hexadecimal digits".to_owned())
    }
}

fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(amount) if amount.is_finite() && amount >= 0.0 => Ok(amount),
        _ => Err("a number from 0".to_owned()),
    }
}

/// A length of time: a number with its unit.
pub(in crate::cli) fn duration(text: &str) -> Result<Duration, String> {
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
    fn addresses_of_this_machine_alone_are_known() {
        for url in [
            "http://127.0.0.1:7440",
            "https://localhost:7440",
            "http://[::1]:7440",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "https://login1:7440",
            "http://10.0.0.7:7440",
            "https://[fd00::1]:7440",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn durations_and_names_are_read_strictly() {
        assert_eq!(duration("60s"), Ok(Duration::from_mins(1)));
        assert_eq!(duration("1.5 h"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2min"), Ok(Duration::from_mins(2)));
        assert!(duration("60").is_err() && duration("-1s").is_err());
        assert!(sha256(&"aB".repeat(32)).is_ok() && sha256("ab").is_err());
        assert!(fleet_name("lab-2").is_ok());
        for name in ["", "2lab", "Lab", "lab-", "a/b", "lab fleet"] {
            assert!(fleet_name(name).is_err(), "{name}");
        }
    }
}
