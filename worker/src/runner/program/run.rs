//! One attempt at a program, from its directory to its result.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reprise_domain::program::ProgramResult;
use reprise_domain::{ProgramSpec, Seconds, TaskResult};

use super::error::ProgramError;
use super::generation::{self, Generation, Head};
use super::metrics::Metrics;
use super::outcome::{INTERRUPTED, signal_name};
use super::process::{Next, Process};
use super::workspace::{Root, Workspace};
use super::{GRACE, Programs, SHORT_GRACE, artifacts, contract, outcome};
use crate::checkpoints::AttemptCheckpoints;
use crate::logs::note;
use crate::runner::{Done, RunError, Runner};
use crate::slots::{Assignment, Cancel};
use crate::supervisor::Told;

/// Shortest and longest wait between two looks at what a program has written.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LONGEST_LOOK: Duration = Duration::from_millis(200);

/// Least time that an attempt takes that says it was interrupted: one that says so at
/// once would be given out and handed back as fast as messages go.
const LEAST: Duration = Duration::from_secs(1);

/// How long a supervisor may take to end its program: longer than it tries.
const DISOBEYED: Duration = Duration::from_secs(15);

/// Attempts of a task that may say so.
const INTERRUPTIONS: u32 = 100;

/// Bits of progress for what happened since the newest checkpoint: a checkpoint is
/// further than another one if more were made before it.
const EVENT_BITS: u32 = 24;

impl Runner {
    /// Runs a program to its end.
    pub(in crate::runner) fn program(
        &self,
        spec: &ProgramSpec,
        assignment: &Assignment,
        cancel: &Cancel,
    ) -> Result<Done, RunError> {
        let impossible = |why: String| RunError::impossible("run a program")(why.into());
        let Some(programs) = &self.programs else {
            let why = "this worker was not started with `--allow-programs`";
            return Err(impossible(why.to_owned()));
        };
        if let Some(problem) = spec.check().err().and_then(|all| all.into_iter().next()) {
            return Err(impossible(problem.to_string()));
        }
        let Some(_cores) = programs.cores.take(spec.needs.cores, cancel) else {
            return Err(RunError::Stopped);
        };
        assignment.progress.begin();
        let mut checkpoints = self.checkpoints.of(assignment.attempt);
        let ended = self.attempt(programs, spec, assignment, cancel, &mut checkpoints);
        let goes_on = matches!(ended, Err(RunError::Stopped)) && !cancel.is_unwanted();
        if !goes_on {
            checkpoints.clear();
        }
        ended
    }

    fn attempt(
        &self,
        programs: &Programs,
        spec: &ProgramSpec,
        assignment: &Assignment,
        cancel: &Cancel,
        checkpoints: &mut AttemptCheckpoints<'_>,
    ) -> Result<Done, RunError> {
        let started = Instant::now();
        let attempt = assignment.attempt;
        let found = checkpoints.found(assignment.checkpoint, cancel)?;
        let doing = ProgramError::io("make the directory of a program");
        let workspace = Workspace::make(&programs.directory, attempt).map_err(doing)?;
        for file in &spec.files {
            let content = self.artifacts.fetch(file.digest, cancel);
            let content = content.map_err(RunError::of_upload)?;
            workspace
                .ship(file, &content)
                .map_err(ProgramError::io("ship a file"))?;
        }
        let mut metrics = Metrics::new(workspace.metrics(), spec.metrics.clone());
        let resumed = restore(found, &workspace, &mut metrics);
        let mut work = Work::default();
        if let Some((head, content)) = &resumed {
            work.generations = head.generations;
            checkpoints.resumed(assignment.checkpoint, content, work.done());
            note!(generation = head.name, "resumed from a checkpoint");
            tracing::info!(%attempt, "resumed from a checkpoint");
        }
        let name = resumed.as_ref().map(|(head, _)| head.name.as_str());
        let settings = &programs.settings;
        contract::write_task(&workspace.task(), spec, attempt, settings, name)
            .map_err(ProgramError::io("write the task file"))?;
        let arguments = contract::arguments(spec, attempt)
            .map_err(|error| RunError::impossible("fill in the command")(error.into()))?;
        let environment = contract::environment(spec, attempt, &workspace, settings, name);
        let hold = |directory: PathBuf| {
            let doing = ProgramError::io("hold a directory of a program");
            Root::open(&directory).map_err(doing)
        };
        let checkpoint = hold(workspace.checkpoint())?;
        let kept = hold(workspace.artifacts())?;
        let newest = generation::newest(&checkpoint).ok().flatten();
        let process = Process::start(
            settings,
            spec,
            &arguments,
            environment,
            &workspace,
            assignment.log.clone(),
        )?;
        let watch = Watch {
            spec,
            assignment,
            cancel,
            workspace: &workspace,
            checkpoint,
            checkpoints,
            process,
            metrics,
            work,
            saved: newest.clone(),
            newest,
            fault: None,
        };
        let metrics = watch.run(&arguments, started)?;
        let result = self.result(spec, &workspace, &kept, &metrics, cancel)?;
        Ok(Done {
            result: TaskResult::Program(result),
            training: Seconds::new(started.elapsed().as_secs_f64()).ok(),
        })
    }

    fn result(
        &self,
        spec: &ProgramSpec,
        workspace: &Workspace,
        kept: &Root,
        said: &Metrics,
        cancel: &Cancel,
    ) -> Result<ProgramResult, RunError> {
        let metrics = outcome::metrics(&workspace.result(), &spec.metrics, said)?;
        let artifacts = artifacts::keep(kept, &self.artifacts, cancel)?;
        let series = said.series();
        let series = match series.as_slice() {
            [] => None,
            lines => Some(self.artifacts.store_in_time(lines, cancel)?),
        };
        Ok(ProgramResult {
            metrics,
            steps: said.steps(),
            series,
            artifacts,
        })
    }
}

/// Puts the furthest good checkpoint where the program looks for it.
fn restore(
    found: Vec<Vec<u8>>,
    workspace: &Workspace,
    metrics: &mut Metrics,
) -> Option<(Head, Vec<u8>)> {
    let good = found.into_iter();
    let good = good.filter_map(|content| Some((generation::head(&content)?, content)));
    let (head, content) = good.max_by_key(|(head, _)| head.generations)?;
    let directory = workspace.checkpoint();
    let taken = generation::unpack(&content, &directory)
        .and_then(|saved| metrics.restore(&saved).map_err(std::io::Error::other));
    match taken {
        Ok(()) => Some((head, content)),
        Err(error) => {
            // Without it the attempt begins anew: slower, not wrong.
            tracing::warn!(%error, "checkpoint of a program not usable");
            let _ = super::workspace::remove(&directory);
            let _ = std::fs::create_dir(&directory);
            None
        }
    }
}

/// How far an attempt is.
#[derive(Debug, Default)]
struct Work {
    /// Generations that the task has made, over all attempts.
    generations: u64,
    /// Lines that this attempt has written since.
    events: u64,
}

impl Work {
    fn done(&self) -> u64 {
        let most = (1 << EVENT_BITS) - 1;
        (self.generations << EVENT_BITS) | self.events.min(most)
    }
}

/// A program that is watched.
struct Watch<'a, 'b> {
    spec: &'a ProgramSpec,
    assignment: &'a Assignment,
    cancel: &'a Cancel,
    workspace: &'a Workspace,
    /// The directory of generations.
    checkpoint: Root,
    checkpoints: &'a mut AttemptCheckpoints<'b>,
    process: Process,
    metrics: Metrics,
    work: Work,
    /// The newest generation, and the one that is in the newest checkpoint.
    newest: Option<Generation>,
    saved: Option<Generation>,
    /// Why the program is being ended.
    fault: Option<ProgramError>,
}

impl Watch<'_, '_> {
    /// Watches until the program has ended; returns what it said, if it ended well.
    fn run(mut self, arguments: &[String], started: Instant) -> Result<Metrics, RunError> {
        let mut asked: Option<Instant> = None;
        let mut killed: Option<Instant> = None;
        let mut wait = FIRST_LOOK;
        let told = loop {
            let next = self.process.next(wait);
            wait = (wait * 2).min(LONGEST_LOOK);
            match next {
                Next::Told(Told::Started { layers }) => {
                    note!(
                        "started `{}`; protected by {}",
                        arguments.join(" "),
                        layers.join(", ")
                    );
                }
                Next::Told(told) => break Some(told),
                Next::Silence => break None,
                Next::Nothing => {}
            }
            if self.fault.is_none() {
                self.fault = self.look(false).err();
            }
            if self.cancel.is_cancelled() && asked.is_none() {
                asked = Some(Instant::now());
                self.process.terminate();
            }
            let grace = if self.cancel.is_unwanted() {
                SHORT_GRACE
            } else {
                GRACE
            };
            let is_over = asked.is_some_and(|asked| asked.elapsed() > grace);
            if (is_over || self.fault.is_some()) && killed.is_none() {
                killed = Some(Instant::now());
                self.process.kill();
            }
            // A supervisor that does not obey was stopped by its program.
            if killed.is_some_and(|killed| killed.elapsed() > DISOBEYED) {
                self.process.kill_supervisor();
            }
        };
        let status = self.process.finish(self.workspace);
        // One that was ended may have been in the middle of a line.
        let is_whole = matches!(told, Some(Told::Ended { code: Some(0), .. }));
        if self.fault.is_none() {
            self.fault = self.look(is_whole).err();
        }
        self.ended(told, &status, arguments, started)
    }

    /// Looks at what the program has written.
    fn look(&mut self, is_end: bool) -> Result<(), ProgramError> {
        let lines = self.metrics.read(is_end)?;
        let progress = &self.assignment.progress;
        if lines > 0 {
            progress.note(self.metrics.newest());
            note!("{}", self.metrics.newest());
        }
        if let Some(most) = self.spec.limits.output_bytes
            && self.process.output.bytes() > most
        {
            return Err(ProgramError::Output { most });
        }
        // One that cannot be looked at is looked at the next time.
        let newest = generation::newest(&self.checkpoint);
        if let Ok(Some(newest)) = newest
            && self.newest.as_ref() != Some(&newest)
        {
            self.newest = Some(newest);
            self.work.generations += 1;
            self.work.events = 0;
        }
        self.work.events += lines;
        let printed = Work {
            generations: self.work.generations,
            events: self.work.events + self.process.output.lines(),
        };
        progress.set(printed.done(), 0);
        if self.newest != self.saved {
            self.save(false);
        }
        Ok(())
    }

    /// Saves the newest generation, if it is time or if the attempt is `stopping`.
    fn save(&mut self, stopping: bool) {
        let newest = self
            .newest
            .clone()
            .filter(|_| self.checkpoints.is_time(stopping));
        let Some(newest) = newest else {
            return;
        };
        let head = Head::new(self.work.generations, newest.name.clone());
        // What the program wrote before it renamed the generation belongs to it.
        match self.metrics.read(false) {
            Ok(lines) => self.work.events += lines,
            Err(error) => {
                self.fault.get_or_insert(error);
                return;
            }
        }
        match generation::pack(&self.checkpoint, &head, &self.metrics.saved()) {
            Ok(content) => {
                self.checkpoints.keep(stopping, self.work.done(), &content);
                // What is left over costs space and nothing else.
                let _ = generation::keep_only(&self.checkpoint, &newest);
                self.saved = Some(newest);
            }
            // It may have been replaced by a newer one meanwhile.
            Err(error) => {
                tracing::warn!(%error, generation = head.name, "checkpoint of a program not saved");
            }
        }
    }

    /// What the end of the program means.
    fn ended(
        mut self,
        told: Option<Told>,
        status: &str,
        arguments: &[String],
        started: Instant,
    ) -> Result<Metrics, RunError> {
        let (code, signal) = match told {
            Some(Told::Ended {
                code,
                signal,
                over_memory,
                left,
                immortal,
            }) => {
                if left > 0 {
                    note!("ended {left} processes that the program had left behind");
                }
                if immortal > 0 {
                    tracing::error!(
                        processes = immortal,
                        "processes of a program cannot be ended"
                    );
                }
                if let (Some(used), Some(most)) = (over_memory, self.spec.limits.memory_bytes) {
                    return Err(ProgramError::Memory { used, most }.into());
                }
                (code, signal)
            }
            Some(Told::Unstartable { why }) => {
                let program = arguments.first().cloned().unwrap_or_default();
                return Err(ProgramError::Unstartable { program, why }.into());
            }
            Some(Told::Started { .. }) | None => {
                if self.cancel.is_unwanted() {
                    return Err(RunError::Stopped);
                }
                // Whoever ends this worker may have ended the supervisor as well.
                if self.cancel.is_cancelled() {
                    self.save(true);
                    return Err(RunError::Stopped);
                }
                let why = status.to_owned();
                return Err(ProgramError::Unsupervised { why }.into());
            }
        };
        if let Some(fault) = self.fault.take() {
            return Err(fault.into());
        }
        if self.cancel.is_unwanted() {
            return Err(RunError::Stopped);
        }
        // A program that saved its work and left when it was asked to has exit code 0 too.
        let has_result = self.workspace.result().exists();
        if code == Some(0) && (has_result || !self.cancel.is_cancelled()) {
            return Ok(self.metrics);
        }
        if self.cancel.is_cancelled() {
            self.save(true);
            return Err(RunError::Stopped);
        }
        if code == Some(INTERRUPTED) {
            return Err(self.interrupted(started));
        }
        Err(match (code, signal) {
            (Some(code), _) => ProgramError::Exit { code },
            (None, Some(signal)) => ProgramError::Signal {
                signal: signal_name(signal),
            },
            (None, None) => ProgramError::Unsupervised {
                why: "it does not know how the program ended".to_owned(),
            },
        }
        .into())
    }

    /// The program says itself that it was interrupted: handed back, to be run again.
    fn interrupted(&mut self, started: Instant) -> RunError {
        let attempts = self.assignment.attempt.number;
        if attempts >= INTERRUPTIONS {
            return ProgramError::Interrupted { attempts }.into();
        }
        note!("the program exited with 75, interrupted; its task is handed back");
        self.save(true);
        while started.elapsed() < LEAST && !self.cancel.is_cancelled() {
            std::thread::sleep(FIRST_LOOK);
        }
        RunError::Stopped
    }
}
