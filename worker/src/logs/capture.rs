//! The layer that copies what a slot's thread logs into the logs of the attempts
//! that it runs. A thread that runs none pays one look at a thread-local.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::time::SystemTime;

use reprise_domain::text::printable;
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::AttemptLog;

/// Characters of a line that are kept.
const LONGEST_LINE: usize = 2000;

/// Target of events that are for the log of an attempt alone.
pub(crate) const ATTEMPT: &str = "reprise_worker::attempt";

thread_local! {
    /// Logs of the attempts that this thread runs.
    static RUNNING: RefCell<Vec<AttemptLog>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, its thread's events go into the logs that it was made with.
#[derive(Debug)]
#[must_use = "events are captured while it lives"]
pub struct Capturing {
    before: Vec<AttemptLog>,
}

/// Has what this thread logs go into `logs` instead of those before.
pub fn capture(logs: Vec<AttemptLog>) -> Capturing {
    Capturing {
        before: RUNNING.replace(logs),
    }
}

impl Drop for Capturing {
    fn drop(&mut self) {
        RUNNING.set(std::mem::take(&mut self.before));
    }
}

/// Says something in the logs of the attempts that this thread runs and nowhere
/// else: what would fill the worker's own log.
macro_rules! note {
    ($($said:tt)*) => {
        tracing::info!(target: $crate::logs::ATTEMPT, $($said)*)
    };
}
pub(crate) use note;

/// The capturing layer.
#[derive(Debug)]
struct Capture;

/// The capturing layer with its filter: what a worker says by default, whatever it
/// is told to say on its own log.
pub fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Capture.with_filter(FilterFn::new(is_wanted).with_max_level_hint(Level::INFO))
}

/// What the worker's own log may have, at any level.
pub fn for_all() -> FilterFn {
    // The hint lets the filter that this one is joined to switch levels off.
    FilterFn::new(is_for_all as fn(&Metadata<'_>) -> bool).with_max_level_hint(Level::TRACE)
}

fn is_for_all(metadata: &Metadata<'_>) -> bool {
    metadata.target() != ATTEMPT
}

fn is_wanted(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && *metadata.level() <= Level::INFO
}

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        RUNNING.with_borrow(|logs| {
            if !logs.is_empty() {
                let line = of_event(event);
                for log in logs {
                    log.push(line.clone());
                }
            }
        });
    }
}

fn of_event(event: &Event<'_>) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let said = format!("{}{}", fields.message, fields.others);
    line(SystemTime::now(), *event.metadata().level(), &said)
}

/// A line that is said `at` some time.
pub(super) fn line(at: SystemTime, level: Level, said: &str) -> String {
    let at = OffsetDateTime::from(at);
    let said = printable(said, LONGEST_LINE);
    format!(
        "{}T{:02}:{:02}:{:02}.{:03}Z {level:>5} {said}",
        at.date(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}

#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Memory takes what it is given.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.others, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::filter::{FilterExt as _, LevelFilter};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn said(log: &AttemptLog) -> Vec<String> {
        let lines = log.tail().into_iter();
        // Without the time.
        let said = lines.map(|line| line[line.find('Z').unwrap() + 1..].to_owned());
        said.collect()
    }

    #[test]
    fn what_no_log_wants_is_switched_off_for_all() {
        let own = EnvFilter::new("info").and(for_all());
        let own = tracing_subscriber::fmt::layer().with_filter(own);
        let subscriber = tracing_subscriber::registry().with(own).with(layer());
        // Otherwise every event of the transport would be looked at.
        assert_eq!(subscriber.max_level_hint(), Some(LevelFilter::INFO));
    }

    #[test]
    fn events_go_to_the_logs_of_their_thread_while_it_runs_them() {
        let (first, second) = (AttemptLog::default(), AttemptLog::default());
        let subscriber = tracing_subscriber::registry().with(layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("before");
            let outer = capture(vec![first.clone(), second.clone()]);
            tracing::info!(epoch = 3, loss = 0.5, "an epoch of the pack is done");
            {
                let _inner = capture(vec![second.clone()]);
                tracing::warn!(error = %"\u{1b}[31mtorn\nfile", "of the second");
                tracing::debug!("not by default");
                note!("an epoch");
            }
            drop(outer);
            tracing::info!("after");
        });
        let of_both = "  INFO an epoch of the pack is done epoch=3 loss=0.5";
        assert_eq!(said(&first), [of_both]);
        assert_eq!(
            said(&second),
            [
                of_both,
                "  WARN of the second error=\\u{1b}[31mtorn file",
                "  INFO an epoch"
            ]
        );
    }
}
