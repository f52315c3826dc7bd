//! What `reprise fleet` says: one line when something changed, and a table.

use std::time::{Duration, Instant};

use crate::cli::eprint_block;
use crate::fleet::engine::Member;
use crate::fleet::home::Record;
use crate::fleet::ledger::hours;
use crate::fleet::service::Report;
use crate::fleet::setup::Setup;

/// Time between two lines where nothing changed.
const LINE_INTERVAL: Duration = Duration::from_mins(1);

/// Tells how a fleet goes on.
#[derive(Debug)]
pub(super) struct Announcer {
    name: String,
    price: Option<f64>,
    max: u32,
    last: Option<(Instant, [u64; 2])>,
}

impl Announcer {
    pub(super) fn new(setup: &Setup, max: u32) -> Self {
        Self {
            name: setup.name.clone(),
            price: setup.price,
            max,
            last: None,
        }
    }

    /// Writes a line if workers came or went, or if it has been a while.
    pub(super) fn show(&mut self, report: &Report) {
        let key = [u64::from(report.up), u64::from(report.queued)];
        let fresh = self
            .last
            .is_none_or(|(at, last)| last != key || at.elapsed() >= LINE_INTERVAL);
        if fresh {
            self.last = Some((Instant::now(), key));
            eprint_block(&self.line(report));
        }
    }

    fn line(&self, report: &Report) -> String {
        let held_back = match report.held_back.as_secs() {
            0 => String::new(),
            seconds => format!(", none started for {seconds} s"),
        };
        format!(
            "fleet `{}`: {} up and {} queued of at most {}{held_back}; {} tasks left, {} running; {}",
            self.name,
            report.up,
            report.queued,
            self.max,
            report.load.remaining,
            report.load.running,
            spent(report.used, self.price)
        )
    }
}

/// Machine time and its cost.
pub(super) fn spent(used: Duration, price: Option<f64>) -> String {
    let hours = hours(used);
    match price {
        Some(price) => format!("{hours:.3} machine hours, cost {:.4}", hours * price),
        None => format!("{hours:.3} machine hours"),
    }
}

/// A fleet's workers.
pub(super) fn status_table(record: &Record, members: &[Member]) -> String {
    let setup = &record.setup;
    let mut lines = vec![format!(
        "{:<28} {:<8} {:>9}  {:<20} {}",
        "worker", "state", "hours", "machine", "note"
    )];
    for member in members {
        let line = format!(
            "{:<28} {:<8} {:>9.3}  {:<20} {}",
            member.id,
            member.state.as_str(),
            hours(member.run),
            member.place,
            member.note
        );
        lines.push(line.trim_end().to_owned());
    }
    lines.push(format!(
        "fleet `{}` on {}: {} workers, {} gone; {}",
        setup.name,
        setup.on.name(),
        members.len(),
        record.ledger.gone,
        spent(record.ledger.used(), setup.price)
    ));
    lines.join("\n")
}
