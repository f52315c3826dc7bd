//! How a study goes on, for people: bars on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use reprise_domain::status::StudyStatus;
use reprise_domain::text::printable;

/// Time between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Characters of a stage's name beside its bar.
const STAGE_WIDTH: usize = 34;

/// The display of one study.
#[derive(Debug)]
pub(super) struct Progress {
    bars: MultiProgress,
    stages: Vec<ProgressBar>,
    terminal: bool,
    last_line: Option<Instant>,
    last_text: String,
    started: Instant,
    first_finished: Option<u64>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            bars: MultiProgress::new(),
            stages: Vec::new(),
            terminal: console_is_terminal(),
            last_line: None,
            last_text: String::new(),
            started: Instant::now(),
            first_finished: None,
        }
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

    /// Leaves the last state on the screen.
    pub(super) fn finish(&self, status: &StudyStatus) {
        self.stages.iter().for_each(ProgressBar::abandon);
        let line = self.line(status);
        if !self.terminal && self.last_text != line {
            super::eprint_block(&line);
        }
    }

    fn line(&self, status: &StudyStatus) -> String {
        let total = status.total();
        let rate = self.first_finished.map(|first| {
            (total.finished.saturating_sub(first)) as f64
                / self.started.elapsed().as_secs_f64().max(0.001)
        });
        let left = match rate {
            Some(rate) if rate > 0.0 && total.remaining() > 0 => {
                format!(
                    ", {:.1} tasks/s, about {:.0} s left",
                    rate,
                    total.remaining() as f64 / rate
                )
            }
            _ => String::new(),
        };
        format!(
            "{}: {} of {} finished, {} running, {} failed{left}",
            status.name, total.finished, total.planned, total.running, total.failed
        )
    }

    fn show_bars(&mut self, status: &StudyStatus) {
        if self.stages.is_empty() {
            let style = ProgressStyle::with_template(
                "{prefix:<34} {bar:30} {pos:>6}/{len:<6} {msg} eta {eta}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            for stage in &status.stages {
                let bar = ProgressBar::new(stage.planned)
                    .with_style(style.clone())
                    .with_position(stage.finished);
                bar.reset_eta();
                bar.set_prefix(printable(&stage.stage, STAGE_WIDTH));
                self.stages.push(self.bars.add(bar));
            }
        }
        for (bar, stage) in self.stages.iter().zip(&status.stages) {
            bar.set_position(stage.finished);
            bar.set_message(format!(
                "{} running, {} failed",
                stage.running, stage.failed
            ));
        }
    }
}

impl Progress {
    /// Remembers what was finished before this run, so that the rate counts only
    /// this run's work.
    pub(super) fn begin(&mut self, status: &StudyStatus) {
        self.first_finished = Some(status.total().finished);
    }
}

fn console_is_terminal() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal()
}
