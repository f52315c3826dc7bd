//! The programs under test and everything that faults reach them by: processes,
//! proxies, disks, a clock.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;

use super::clock::Clock;
use super::disk::Disk;
use super::proxy::{End, Proxy};
use super::schedule::{Fault, Kind};
use super::vault;
use crate::fleet::{Fleet, free_port, serve, worker};
use crate::process::Process;

/// Space of a worker: its artifacts and checkpoints many times over.
const WORKER_DISK_MIB: u32 = 64;

/// Space of the coordinator: its journal and artifacts many times over.
const STATE_DISK_MIB: u32 = 128;

/// Delay of every chunk on a slow connection.
const DELAY: Duration = Duration::from_millis(120);

/// One coordinator and its workers, each behind its own proxy.
#[derive(Debug)]
pub struct Site {
    // In the order of dropping: programs end before their disks go.
    /// The programs.
    pub fleet: Fleet,
    /// The proxies, in the order of the workers.
    pub proxies: Vec<Proxy>,
    clock: Option<Clock>,
    state_disk: Disk,
    worker_disks: Vec<Disk>,
    home: PathBuf,
    /// How often a backup was put back.
    rolled_back: usize,
}

/// Backups that are put back in a round: each costs what was done since it was made, and
/// faults come faster than the study can do it again and again.
const MOST_ROLLED_BACK: usize = 2;

/// What has to be done for a fault to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mending {
    /// Let a worker run again.
    ThawWorker(usize),
    /// Let the coordinator run again.
    ThawCoordinator,
    /// Let a worker's connections pass again.
    Release(usize),
    /// Let a worker's connections pass both ways again.
    Rejoin(usize),
    /// Let a worker's connections be fast again.
    Hasten(usize),
    /// Give a worker its disk back.
    FreeWorker(usize),
    /// Give the coordinator its disk back.
    FreeState,
    /// Set the clock right.
    SetClock,
}

/// What a fault met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// How much of it, in the unit of the kind.
    pub touched: usize,
    /// What ends it.
    pub mending: Option<Mending>,
}

impl Site {
    /// Programs in `home`, not started. Disks are mounted where `disks` says so.
    pub fn new(home: &Path, workers: usize, disks: bool) -> anyhow::Result<Self> {
        let disk = |directory: &Path, size| {
            if disks {
                Disk::mount(directory, size)
            } else {
                Disk::plain(directory)
            }
        };
        let state = home.join("state");
        let state_disk = disk(&state, STATE_DISK_MIB).context("make the state's disk")?;
        let clock = Clock::new(home)?;
        let port = free_port()?;
        let (listen, moved) = (format!("127.0.0.1:{port}"), clock.clone());
        let coordinator = Process::new("coordinator", &home.join("coordinator.log"), move || {
            let mut command = serve(&listen, &state);
            if let Some(clock) = &moved {
                clock.apply(&mut command);
            }
            command
        });
        let (mut processes, mut proxies, mut worker_disks) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..workers {
            let name = format!("worker-{number}");
            let place = home.join(&name);
            worker_disks.push(disk(&place, WORKER_DISK_MIB).context("make a worker's disk")?);
            let proxy = Proxy::start(port)?;
            let (url, directory) = (proxy.url(), place.join("home"));
            let log = home.join(format!("{name}.log"));
            processes.push(Process::new(&name, &log, move || worker(&url, &directory)));
            proxies.push(proxy);
        }
        let url = format!("http://127.0.0.1:{port}");
        Ok(Self {
            fleet: Fleet::of(home, &url, coordinator, processes),
            proxies,
            clock,
            state_disk,
            worker_disks,
            home: home.to_owned(),
            rolled_back: 0,
        })
    }

    /// Injects a fault; `None` when there was nothing that it could happen to.
    pub fn inject(&mut self, fault: &Fault) -> anyhow::Result<Option<Hit>> {
        let number = fault.worker;
        let hit = |touched, mending| Ok(Some(Hit { touched, mending }));
        let seconds = (fault.lasting.as_secs_f64().round() as usize).max(1);
        match fault.kind {
            Kind::WorkerKilled if self.fleet.workers[number].signal(Signal::SIGKILL)? => {
                hit(1, None)
            }
            Kind::WorkerPreempted if self.fleet.workers[number].signal(Signal::SIGTERM)? => {
                hit(0, None)
            }
            Kind::WorkerFrozen if self.fleet.workers[number].signal(Signal::SIGSTOP)? => {
                hit(seconds, Some(Mending::ThawWorker(number)))
            }
            Kind::CoordinatorKilled if self.fleet.coordinator.signal(Signal::SIGKILL)? => {
                hit(1, None)
            }
            Kind::CoordinatorFrozen if self.fleet.coordinator.signal(Signal::SIGSTOP)? => {
                hit(seconds, Some(Mending::ThawCoordinator))
            }
            Kind::ConnectionCut => match self.proxies[number].cut() {
                0 => Ok(None),
                cut => hit(cut, None),
            },
            Kind::ConnectionStalled if self.proxies[number].open() > 0 => {
                self.proxies[number].stall(true);
                hit(self.proxies[number].open(), Some(Mending::Release(number)))
            }
            Kind::ConnectionHalfOpen if self.proxies[number].open() > 0 => {
                let speaks = fault.choice.is_multiple_of(2);
                let end = if speaks {
                    End::Worker
                } else {
                    End::Coordinator
                };
                self.proxies[number].swallow(Some(end));
                hit(self.proxies[number].open(), Some(Mending::Rejoin(number)))
            }
            // A study that is put back for ever never ends.
            Kind::BackupRestored if self.rolled_back >= MOST_ROLLED_BACK => Ok(None),
            Kind::BackupRestored => {
                let state = self.home.join("state");
                match vault::roll_back(&mut self.fleet, &state, &self.home)? {
                    None => Ok(None),
                    Some(forgotten) => {
                        self.rolled_back += 1;
                        hit(forgotten, None)
                    }
                }
            }
            Kind::ArtifactRemoved | Kind::ArtifactRotten => {
                let artifacts = self.home.join("state/artifacts");
                let rotten = fault.kind == Kind::ArtifactRotten;
                if vault::spoil(&artifacts, fault.choice, rotten)? {
                    hit(1, None)
                } else {
                    Ok(None)
                }
            }
            Kind::ConnectionSlow if self.proxies[number].open() > 0 => {
                self.proxies[number].delay(DELAY);
                hit(self.proxies[number].open(), Some(Mending::Hasten(number)))
            }
            Kind::WorkerDiskFull if self.fleet.workers[number].is_running()? => {
                let bytes = self.worker_disks[number].fill()?;
                hit((bytes >> 20) as usize, Some(Mending::FreeWorker(number)))
            }
            Kind::CoordinatorDiskFull if self.fleet.coordinator.is_running()? => {
                self.state_disk.fill()?;
                hit(0, Some(Mending::FreeState))
            }
            Kind::ClockJump if self.fleet.coordinator.is_running()? => match &self.clock {
                None => Ok(None),
                Some(clock) => {
                    clock.set(fault.jump)?;
                    let minutes = fault.jump.unsigned_abs() / 60;
                    hit(minutes as usize, Some(Mending::SetClock))
                }
            },
            _ => Ok(None),
        }
    }

    /// Ends a fault.
    pub fn mend(&mut self, mending: Mending) -> anyhow::Result<()> {
        match mending {
            // One that was killed meanwhile needs no waking.
            Mending::ThawWorker(number) => {
                self.fleet.workers[number].signal(Signal::SIGCONT)?;
            }
            Mending::ThawCoordinator => {
                self.fleet.coordinator.signal(Signal::SIGCONT)?;
            }
            Mending::Release(number) => self.proxies[number].stall(false),
            Mending::Rejoin(number) => self.proxies[number].swallow(None),
            Mending::Hasten(number) => self.proxies[number].delay(Duration::ZERO),
            Mending::FreeWorker(number) => self.worker_disks[number].free()?,
            Mending::FreeState => self.state_disk.free()?,
            Mending::SetClock => {
                if let Some(clock) = &self.clock {
                    clock.set(0)?;
                }
            }
        }
        Ok(())
    }

    /// The programs: the coordinator first, then the workers.
    pub fn programs(&mut self) -> impl Iterator<Item = &mut Process> {
        std::iter::once(&mut self.fleet.coordinator).chain(&mut self.fleet.workers)
    }

    /// Programs that ended since the last call, by their place in `programs`.
    pub fn ended(&mut self) -> anyhow::Result<Vec<(usize, ExitStatus)>> {
        let mut ended = Vec::new();
        for (place, program) in self.programs().enumerate() {
            let id = program.id();
            if let Some(status) = program.ended()? {
                id.into_iter().for_each(Clock::clean);
                ended.push((place, status));
            }
        }
        Ok(ended)
    }

    /// Kills the coordinator, which nobody starts again.
    pub fn kill_coordinator(&mut self) -> anyhow::Result<()> {
        let id = self.fleet.coordinator.id();
        self.fleet.coordinator.kill()?;
        id.into_iter().for_each(Clock::clean);
        Ok(())
    }

    /// Ends all programs.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        for program in self.programs() {
            let id = program.id();
            program.kill()?;
            id.into_iter().for_each(Clock::clean);
        }
        Ok(())
    }

    /// Where the workers keep what they have not delivered.
    pub fn spools(&self) -> Vec<PathBuf> {
        let numbers = 0..self.proxies.len();
        numbers
            .map(|number| self.home.join(format!("worker-{number}/home/spool")))
            .collect()
    }

    /// Connections that were made again.
    pub fn reconnects(&self) -> usize {
        let accepted = self.proxies.iter().map(Proxy::accepted);
        accepted.map(|times| times.saturating_sub(1)).sum()
    }

    /// Copies what is on the disks of this site to `home`, where it stays.
    pub fn keep(&self) -> anyhow::Result<()> {
        let kept = self.home.join("disks");
        std::fs::create_dir_all(&kept)?;
        self.state_disk.keep(&kept)?;
        self.worker_disks
            .iter()
            .try_for_each(|disk| disk.keep(&kept))?;
        Ok(())
    }
}
