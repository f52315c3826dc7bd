//! The command line of `reprise-worker`.

mod device;
mod fault;
mod model;
mod provenance;
mod torch;

use std::io::{self, Read as _, Write as _};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use reprise_child::TorchDevice;
use reprise_domain::{Capability, SpaceName, bounds};
use reprise_proto::credential::Credential;
use tokio_util::sync::CancellationToken;

use self::device::DeviceArg;
use self::fault::wrong_input;
use self::torch::TorchArg;
use crate::preemption::{NoticeSource, notice};
use crate::runner::program::ProgramSettings;
use crate::session::{Config, Service};
use crate::supervisor::{self, SupervisorArgs};
use crate::torch::{Torch, TorchError};

/// Slots that a coordinator lets a worker offer.
const SLOTS: RangeInclusive<i64> =
    bounds::worker::SLOTS.least as i64..=bounds::worker::SLOTS.most as i64;

/// Runs tasks for a Reprise coordinator.
#[derive(Debug, Parser)]
#[command(
    name = "reprise-worker",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 left as asked; 1 error; 2 wrong input; \
                  4 the coordinator does not allow it"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    work: WorkArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a search space as CSV to standard output.
    Space {
        /// Which space.
        name: SpaceArg,
    },
    /// Compare the model with the values of a fixture file, by this program's own engine
    /// and by libtorch's where `reprise-torch` is there.
    Selftest {
        /// A safetensors file with parameters, inputs and expected values.
        #[arg(long)]
        fixture: PathBuf,
        /// Write JSON instead of a table.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        torch: TorchArg,
    },
    /// Run a program within limits; what a worker starts for each program.
    #[command(hide = true)]
    ExecProgram(SupervisorArgs),
    /// Convert a published checkpoint of the model to safetensors. Only its
    /// tensors are read; nothing in it is executed.
    Import {
        /// A `.pt` file as PyTorch saved it.
        checkpoint: PathBuf,
        /// Where to write.
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SpaceArg {
    Nasbench101,
    Nasbench201,
}

#[derive(Debug, Args)]
struct WorkArgs {
    /// Where the coordinator listens, `https://HOST:PORT`; where several stand in
    /// for each other, all of them, separated by commas.
    #[arg(long, env = "REPRISE_COORDINATOR")]
    coordinator: Option<String>,
    /// The credential to show it, where its address begins with `https`.
    #[arg(long, value_name = "FILE", env = "REPRISE_CREDENTIAL")]
    credential: Option<PathBuf>,
    /// Tasks held at once. When not given: one a core, or as many as a pack may have
    /// seeds where that is more. No more than one a core run at once, beside a pack.
    #[arg(long, value_parser = clap::value_parser!(u32).range(SLOTS))]
    slots: Option<u32>,
    /// Where the autoencoder is pretrained: `cpu`, `cuda`, `cuda:INDEX`, or `auto` for
    /// the first graphics card if libtorch finds any.
    #[arg(long, default_value = "auto", env = "REPRISE_DEVICE")]
    device: DeviceArg,
    #[command(flatten)]
    torch: TorchArg,
    /// Most seeds that are pretrained together. When not given: found by a short probe
    /// on a graphics card; 1 on the processor, where it is never faster.
    #[arg(long, value_name = "SEEDS", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pack: Option<u32>,
    /// The worker's own directory: identity, unsent results, caches.
    #[arg(long, default_value = ".reprise/worker")]
    directory: PathBuf,
    /// Most seconds of work that are lost with this machine: how often the
    /// coordinator is sent where pretraining stands.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    checkpoint_every: u64,
    /// Who says that this machine is about to be taken away, besides SIGTERM.
    #[arg(long, value_enum, default_value_t = NoticeSource::Auto)]
    preemption: NoticeSource,
    /// Run programs of studies: any command line that a client of the coordinator
    /// submits, with this user's rights to read and to reach the network.
    #[arg(long)]
    allow_programs: bool,
    /// Leave when standard input closes: for a parent that must not leave
    /// workers behind.
    #[arg(long)]
    exit_with_parent: bool,
}

impl Cli {
    /// Runs the command that needs no runtime, if it is that one.
    pub fn supervise(&self) -> Option<ExitCode> {
        match &self.command {
            Some(Command::ExecProgram(args)) => Some(supervisor::run(args)),
            _ => None,
        }
    }
}

/// Runs a parsed command line and tells its exit code.
pub async fn run(cli: Cli) -> ExitCode {
    match dispatch(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fault::say(&error);
            fault::exit_code(&error)
        }
    }
}

async fn dispatch(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Some(Command::Space { name }) => {
            let name = match name {
                SpaceArg::Nasbench101 => SpaceName::Nasbench101,
                SpaceArg::Nasbench201 => SpaceName::Nasbench201,
            };
            let mut out = io::BufWriter::new(io::stdout().lock());
            reprise_search::space::write_csv(name, &mut out)
                .and_then(|()| out.flush())
                .context("write the space")
        }
        Some(Command::Selftest {
            fixture,
            json,
            torch,
        }) => model::selftest(&fixture, json, torch),
        Some(Command::ExecProgram(args)) => {
            supervisor::run(&args);
            Ok(())
        }
        Some(Command::Import { checkpoint, out }) => model::import(&checkpoint, &out),
        None => work(cli.work).await,
    }
}

async fn work(args: WorkArgs) -> anyhow::Result<()> {
    let coordinator = args.coordinator.ok_or_else(|| {
        let hint = anyhow::anyhow!("pass `--coordinator https://HOST:PORT`");
        wrong_input("no coordinator given")(hint)
    })?;
    let credential = args.credential.as_deref().map(Credential::read).transpose();
    let credential = credential
        .map_err(anyhow::Error::from)
        .map_err(wrong_input("use the credential"))?;
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let torch = args
        .torch
        .open("real training and graphics cards are not offered")?;
    let device = args.device.device(torch.as_ref());
    let device = device.map_err(wrong_input("use the device"))?;
    let packs = device::packs(device, args.pack);
    match (&torch, packs) {
        (None, Some(_)) => {
            let absent = anyhow::Error::from(TorchError::Absent);
            return Err(wrong_input("pretrain in packs")(absent));
        }
        // A task that needs it starts it again.
        (Some(torch), None) => torch.rest(),
        _ => {}
    }
    let seeds = packs.map_or(1, |packs| packs.most);
    let slots = args
        .slots
        .unwrap_or(cores.max(seeds) as u32)
        .clamp(1, bounds::worker::SLOTS.most);
    let service = Service::open(Config {
        coordinator,
        credential,
        // Without packs, whoever asks for more slots than cores gets them.
        threads: if packs.is_some() {
            cores.min(slots as usize)
        } else {
            slots as usize
        },
        packs,
        checkpoint_interval: Duration::from_secs(args.checkpoint_every),
        directory: args.directory,
        programs: args.allow_programs.then(|| ProgramSettings {
            // Also when its file was replaced meanwhile.
            launcher: "/proc/self/exe".into(),
            cores: cores as u32,
            card: match device {
                TorchDevice::Cpu => None,
                TorchDevice::Cuda(index) => Some(index),
            },
        }),
        capability: Capability {
            programs: args.allow_programs,
            ..provenance::offer(slots, device, torch.as_ref().map(Torch::hello))
        },
        torch,
    })?;
    let shutdown = CancellationToken::new();
    let orphaned = CancellationToken::new();
    if args.exit_with_parent {
        let orphaned = orphaned.clone();
        thread::Builder::new()
            .name("parent-watch".to_owned())
            .spawn(move || {
                // Nothing is ever written there; the read ends with the parent.
                let _ = io::stdin().read_to_end(&mut Vec::new());
                orphaned.cancel();
            })?;
    }
    let on_signal = shutdown.clone();
    tokio::spawn(async move {
        let why = tokio::select! {
            caught = termination() => caught.map(|()| "a signal"),
            () = notice(args.preemption) => Ok("the cloud's notice"),
        };
        if let Ok(why) = why {
            tracing::info!(why, "asked to leave; handing work back");
            on_signal.cancel();
        }
    });
    tokio::select! {
        ended = service.run(shutdown) => ended.map_err(Into::into),
        // The spool keeps what was finished; there is nobody to hand work to.
        () = orphaned.cancelled() => Ok(()),
    }
}

async fn termination() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
