//! One round: a fresh site, and the study from its start to its end under faults.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::random::Random;
use super::schedule::{Fault, Kind, Schedule};
use super::site::{Mending, Site};
use super::tally::Tally;
use super::verdict::{Baseline, LEAVING, compare, settle};
use crate::fleet::Standing;
use crate::process::GLANCE;

/// The study: something of everything, about 40 s for four undisturbed workers,
/// or a quarter of that. Its tasks may be lost often, since that is what happens
/// to them here.
pub fn study(brief: bool) -> String {
    let (pretrainings, trials, tasks) = if brief { (2, 2, 50) } else { (8, 8, 200) };
    format!(
        "version: 1
name: chaos
space: nasbench201
benchmark: {{builtin: nasbench201-digits}}
retry: {{attempts: 100, backoff: 50 ms, lost-workers: 1000}}
pretrain:
  - {{model: arch2vec, seeds: 1..{pretrainings}, epochs: 3, batch: 32}}
search:
  datasets: [digits]
  budget: {{queries: 100}}
  seeds: 1..{trials}
  methods:
    - {{name: random}}
    - {{name: regularized-evolution, population: 5, sample: 2}}
    - {{name: reinforce, encoding: arch2vec, episode: 8}}
    - {{name: dngo, encoding: arch2vec, initial: 8}}
noop: {{tasks: {tasks}, hold-ms: 400}}
"
    )
}

/// How long a round may take before it counts as stuck: many times what it needs.
const LIMIT: Duration = Duration::from_mins(5);

/// Time between two looks at the study, and the most that a look may take.
const LOOK_EVERY: Duration = Duration::from_millis(400);
const LOOK_LIMIT: Duration = Duration::from_secs(4);

/// How long a message that is to be torn is waited for: heartbeats come sooner.
const TEARING: Duration = Duration::from_secs(8);

/// A round in progress.
#[derive(Debug)]
pub struct Round<'a> {
    site: Site,
    schedule: &'a mut Schedule,
    tally: &'a mut Tally,
    random: Random,
    /// When the next fault is due.
    next: Instant,
    mendings: Vec<(Instant, Mending)>,
    /// Messages to be torn: which proxy, how many it had torn, until when, and
    /// the fault in case that none comes.
    tearing: Vec<(usize, usize, Instant, Fault)>,
    /// Workers that were asked to leave.
    leaving: Vec<(usize, Instant)>,
    /// When programs that have ended are started again, by place.
    restarts: Vec<(usize, Instant)>,
    state_full: bool,
    look: Option<(Child, Instant)>,
    last_look: Instant,
    standing: Standing,
    interrupted: &'a AtomicBool,
}

impl<'a> Round<'a> {
    /// A round in an empty directory.
    pub fn new(
        home: &Path,
        workers: usize,
        disks: bool,
        schedule: &'a mut Schedule,
        tally: &'a mut Tally,
        random: Random,
        interrupted: &'a AtomicBool,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(home)?;
        let now = Instant::now();
        Ok(Self {
            site: Site::new(home, workers, disks)?,
            schedule,
            tally,
            random,
            next: now,
            mendings: Vec::new(),
            tearing: Vec::new(),
            leaving: Vec::new(),
            restarts: Vec::new(),
            state_full: false,
            look: None,
            last_look: now,
            standing: Standing::default(),
            interrupted,
        })
    }

    /// Runs the study to its end under faults and compares it.
    pub fn run(mut self, baseline: &Baseline) -> anyhow::Result<()> {
        let checked = self
            .disturb(&baseline.study)
            .and_then(|()| self.end_faults())
            .and_then(|()| settle(&mut self.site))
            .and_then(|out| compare(&self.site, &out, baseline));
        match checked {
            Ok(journal) => {
                self.tally.fates.add(&journal);
                self.tally.fates.reconnects += self.site.reconnects();
                Ok(())
            }
            Err(error) => {
                self.site.stop()?;
                self.site.keep().context("keep what is on the disks")?;
                Err(error)
            }
        }
    }

    fn disturb(&mut self, study: &str) -> anyhow::Result<()> {
        self.site.fleet.serve()?;
        self.site.fleet.submit(study)?;
        self.site.fleet.work()?;
        let started = Instant::now();
        self.next = started + self.random.between_ms(500, 1500);
        while !self.standing.is_finished() {
            if self.standing.failed > 0 {
                bail!("{} tasks were given up", self.standing.failed);
            }
            if self.interrupted.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            if started.elapsed() > LIMIT {
                bail!("the study is stuck: {:?} after {LIMIT:?}", self.standing);
            }
            let now = Instant::now();
            self.supervise(now)?;
            self.mend(now)?;
            self.tear(now)?;
            if now >= self.next {
                self.strike(now)?;
            }
            self.look(now)?;
            thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// Injects the next fault, if there is one left.
    fn strike(&mut self, now: Instant) -> anyhow::Result<()> {
        let Some(fault) = self.schedule.pop() else {
            return Ok(());
        };
        self.next = now + fault.pause;
        if fault.kind == Kind::MessageTorn {
            let proxy = &self.site.proxies[fault.worker];
            let busy = self
                .tearing
                .iter()
                .any(|(number, ..)| *number == fault.worker);
            if busy || proxy.open() == 0 {
                self.miss(fault, now);
                return Ok(());
            }
            proxy.tear();
            self.tearing
                .push((fault.worker, proxy.torn(), now + TEARING, fault));
            return Ok(());
        }
        let hit = self
            .site
            .inject(&fault)
            .with_context(|| format!("inject: {}", fault.kind))?;
        let Some(hit) = hit else {
            self.miss(fault, now);
            return Ok(());
        };
        self.tally.hit(fault.kind, hit.touched);
        if let Some(mending) = hit.mending {
            self.mendings.push((now + fault.lasting, mending));
        }
        match fault.kind {
            Kind::WorkerPreempted => self.leaving.push((fault.worker, now)),
            Kind::CoordinatorDiskFull => self.state_full = true,
            _ => {}
        }
        Ok(())
    }

    /// A fault that met nothing comes again later and does not count.
    fn miss(&mut self, fault: Fault, now: Instant) {
        self.schedule.postpone(fault);
        self.next = now + GLANCE;
    }

    /// Starts again what has ended, after a while.
    fn supervise(&mut self, now: Instant) -> anyhow::Result<()> {
        for (place, status) in self.site.ended()? {
            if place == 0 && self.state_full && !status.success() && status.code().is_some() {
                self.tally.touched(Kind::CoordinatorDiskFull, 1);
            }
            if place > 0 {
                let leaving = self.leaving.iter().any(|(number, _)| *number == place - 1);
                if leaving && status.success() {
                    self.tally.touched(Kind::WorkerPreempted, 1);
                }
                self.leaving.retain(|(number, _)| *number != place - 1);
            }
            let pause = self.random.between_ms(50, 1500);
            self.restarts.push((place, now + pause));
        }
        let (due, later) = self.restarts.iter().partition(|(_, at)| *at <= now);
        self.restarts = later;
        let due: Vec<(usize, Instant)> = due;
        for (place, _) in due {
            if let Some(program) = self.site.programs().nth(place) {
                program.start()?;
                self.tally.fates.restarts += 1;
            }
        }
        let mendings = &self.mendings;
        for (number, since) in &mut self.leaving {
            let held = mendings.iter().any(|(_, mending)| {
                [
                    Mending::ThawWorker(*number),
                    Mending::Release(*number),
                    Mending::Rejoin(*number),
                ]
                .contains(mending)
            });
            // One that cannot run or say goodbye has not been asked yet.
            if held {
                *since = now;
            }
            if now > *since + LEAVING {
                bail!("worker {number} was asked to leave and did not within {LEAVING:?}");
            }
        }
        Ok(())
    }

    fn mend(&mut self, now: Instant) -> anyhow::Result<()> {
        let due: Vec<_> = self.mendings.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, mending) in due {
            // A second fault of the same kind may last longer than this one.
            if self.mendings.iter().any(|(_, other)| *other == mending) {
                continue;
            }
            self.site.mend(mending)?;
            if mending == Mending::FreeState {
                self.state_full = false;
            }
        }
        Ok(())
    }

    fn tear(&mut self, now: Instant) -> anyhow::Result<()> {
        for (number, before, until, fault) in std::mem::take(&mut self.tearing) {
            let proxy = self.site.proxies.get(number).context("no such proxy")?;
            if proxy.torn() > before {
                self.tally.hit(Kind::MessageTorn, 1);
            } else if now >= until {
                proxy.stop_tearing();
                self.schedule.postpone(fault);
            } else {
                self.tearing.push((number, before, until, fault));
            }
        }
        Ok(())
    }

    /// Asks where the study stands, beside everything else: the coordinator may
    /// be frozen or away.
    fn look(&mut self, now: Instant) -> anyhow::Result<()> {
        if let Some((mut child, since)) = self.look.take() {
            match child.try_wait()? {
                Some(_) => {
                    let table = child.wait_with_output()?.stdout;
                    let table = String::from_utf8_lossy(&table);
                    self.standing = Standing::parse(&table).unwrap_or(self.standing);
                }
                None if since.elapsed() > LOOK_LIMIT => {
                    child.kill()?;
                    child.wait()?;
                }
                None => self.look = Some((child, since)),
            }
        } else if now >= self.last_look + LOOK_EVERY {
            let mut command = self
                .site
                .fleet
                .ask(&["status", "chaos", "--output", "json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::null());
            self.look = Some((command.spawn()?, now));
            self.last_look = now;
        }
        Ok(())
    }

    fn end_faults(&mut self) -> anyhow::Result<()> {
        for (number, _, _, fault) in std::mem::take(&mut self.tearing) {
            self.site.proxies[number].stop_tearing();
            self.schedule.postpone(fault);
        }
        let mendings = std::mem::take(&mut self.mendings);
        mendings
            .into_iter()
            .try_for_each(|(_, mending)| self.site.mend(mending))
    }
}
