//! How a study goes on, for people: bars on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use reprise_domain::status::{StageStatus, StudyStatus};
use reprise_domain::text::printable;

use super::output::{shortened, span};

/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Characters of a stage's name beside its bar.
const STAGE_WIDTH: usize = 28;

/// Tasks of a stage by which the rest is reckoned, at least.
const FEWEST: u64 = 3;

/// The display of one study.
#[derive(Debug)]
pub(super) struct Progress {
    bars: MultiProgress,
    stages: Vec<ProgressBar>,
    /// Of each stage, what was finished when it was first seen.
    begun: Vec<(u64, Instant)>,
    terminal: bool,
    last_line: Option<Instant>,
    last_text: String,
    started: Instant,
    first_finished: u64,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            bars: MultiProgress::new(),
            stages: Vec::new(),
            begun: Vec::new(),
            terminal: console_is_terminal(),
            last_line: None,
            last_text: String::new(),
            started: Instant::now(),
            first_finished: 0,
        }
    }

    /// Remembers what was finished before this run, so that the rate counts only
    /// this run's work.
    pub(super) fn begin(&mut self, status: &StudyStatus) {
        self.first_finished = status.total().finished;
    }

    /// Shows a status.
    pub(super) fn show(&mut self, status: &StudyStatus) {
        if self.terminal {
            self.show_bars(status);
        } else if self
            .last_line
            .is_none_or(|last| last.elapsed() >= LINE_INTERVAL)
        {
            self.last_line = Some(Instant::now());
            self.last_text = self.line(status);
            super::eprint_block(&self.last_text);
        }
    }

    /// Takes the bars from the screen, so that something can be said.
    pub(super) fn pause(&mut self, said: &str) {
        // The bars are made anew with the next status.
        for bar in self.stages.drain(..) {
            bar.finish_and_clear();
        }
        if !said.is_empty() {
            super::eprint_block(said);
        }
    }

    /// Leaves the last state on the screen.
    pub(super) fn finish(&mut self, status: &StudyStatus) {
        if self.terminal {
            self.show_bars(status);
        }
        self.stages.iter().for_each(ProgressBar::abandon);
        let line = self.line(status);
        if !self.terminal && self.last_text != line {
            super::eprint_block(&line);
        }
    }

    fn line(&self, status: &StudyStatus) -> String {
        let total = status.total();
        let done = total.finished.saturating_sub(self.first_finished);
        let rate = done as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let left = if done >= FEWEST && total.remaining() > 0 {
            let left = total.remaining() as f64 / rate;
            format!(
                ", {rate:.1} tasks/s, about {} left",
                span((left * 1e3) as u64)
            )
        } else {
            String::new()
        };
        format!(
            "{}: {}, {} of {} finished, {} running, {} failed{left}",
            status.study.name,
            status.study.state.as_str(),
            total.finished,
            total.planned,
            total.running,
            total.failed
        )
    }

    fn show_bars(&mut self, status: &StudyStatus) {
        if self.stages.len() != status.stages.len() {
            self.pause("");
            let style =
                ProgressStyle::with_template("{prefix:<28} {wide_bar} {pos:>6}/{len:<6} {msg:<30}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
            self.begun.resize(status.stages.len(), (0, Instant::now()));
            for (stage, begun) in status.stages.iter().zip(&mut self.begun) {
                // Added before it is drawn: a bar that draws itself first leaves a
                // copy behind.
                let bar = self.bars.add(ProgressBar::no_length());
                bar.set_style(style.clone());
                bar.set_length(stage.tasks.planned);
                bar.set_prefix(printable(&stage.name, STAGE_WIDTH));
                *begun = (stage.tasks.finished, Instant::now());
                self.stages.push(bar);
            }
        }
        for ((bar, stage), begun) in self.stages.iter().zip(&status.stages).zip(&self.begun) {
            bar.set_position(stage.tasks.finished);
            bar.set_message(beside(stage, *begun));
        }
    }
}

/// What stands beside a stage's bar, in at most 30 characters.
fn beside(stage: &StageStatus, begun: (u64, Instant)) -> String {
    let tasks = &stage.tasks;
    let mut parts = Vec::new();
    if tasks.running > 0 {
        parts.push(format!("{} running", tasks.running));
    }
    if tasks.failed + tasks.blocked > 0 {
        parts.push(format!("{} failed", tasks.failed + tasks.blocked));
    }
    if tasks.remaining() > 0 {
        parts.push(match left(stage, begun) {
            Some(left) => format!("{left} left"),
            None if tasks.running == 0 && tasks.waiting > 0 => "waits".to_owned(),
            None => "-- left".to_owned(),
        });
    }
    shortened(&parts.join(", "), 30)
}

/// How long the rest of a stage takes, if enough of it was seen to end.
fn left(stage: &StageStatus, (finished, since): (u64, Instant)) -> Option<String> {
    let done = stage.tasks.finished.checked_sub(finished)?;
    if done < FEWEST {
        return None;
    }
    let each = since.elapsed().as_secs_f64() / done as f64;
    Some(span((each * stage.tasks.remaining() as f64 * 1e3) as u64))
}

fn console_is_terminal() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal()
}
