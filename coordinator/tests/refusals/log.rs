//! Collects the warnings and errors that the coordinator logs.

use std::fmt::{Debug, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{self, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

/// How long anything that is waited for may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits, and not for ever.
pub(crate) async fn in_time<T>(awaited: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(DEADLINE, awaited)
        .await
        .context("nothing came in time")
}

/// What was logged on this thread since it was made.
#[derive(Debug)]
pub(crate) struct Log {
    lines: watch::Receiver<Vec<String>>,
    _guard: DefaultGuard,
}

struct Collect(watch::Sender<Vec<String>>);

impl Log {
    /// Collects from now on. The runtime of a test has one thread, which is this
    /// one.
    pub(crate) fn collect() -> Self {
        let (sender, lines) = watch::channel(Vec::new());
        let subscriber = Registry::default().with(Collect(sender));
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// Waits until so many lines are there.
    pub(crate) async fn reaches(&self, count: usize) -> anyhow::Result<()> {
        let mut lines = self.lines.clone();
        let there = lines.wait_for(|lines| lines.len() >= count);
        in_time(there)
            .await
            .with_context(|| format!("{count} lines expected, found {:?}", self.lines()))??;
        Ok(())
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }
}

impl<S: Subscriber> Layer<S> for Collect {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() <= Level::WARN && metadata.target().starts_with("reprise_coordinator")
        {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.0.send_modify(|lines| lines.push(line.0));
        }
    }
}

/// A line as text: the message, then the fields.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?} "),
            name => write!(self.0, "{name}={value:?} "),
        };
    }
}
