//! One task with a child: what is sent, what comes back, and how long either may take.

use std::time::{Duration, Instant};

use reprise_child::{FromChild, Outcome, ToChild};

use super::Limits;
use super::child::{Child, Heard};
use super::error::TorchError;

/// Longest time between two looks at the clock and at the listener's wishes.
const GLANCE: Duration = Duration::from_millis(50);

/// How long a child may take to stop.
const STOPPING: Duration = Duration::from_mins(1);

/// The worker's side of a task.
pub trait Listener {
    /// Takes in what the child says of the task.
    ///
    /// # Errors
    /// In words, if it is out of turn; the child is killed then.
    fn said(&mut self, message: FromChild, body: Vec<u8>) -> Result<(), String>;

    /// What the child is to be told now; asked until there is nothing.
    fn wish(&mut self) -> Option<ToChild>;
}

/// Wants nothing, and expects nothing but the outcome.
#[derive(Debug)]
pub struct Unheard;

impl Listener for Unheard {
    fn said(&mut self, message: FromChild, _: Vec<u8>) -> Result<(), String> {
        match message {
            FromChild::Progress { .. } => Ok(()),
            _ => Err("a message of another task".to_owned()),
        }
    }

    fn wish(&mut self) -> Option<ToChild> {
        None
    }
}

/// A pass of the loop that takes longer than this, beside what the listener does, means
/// that this process did not run.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs a task to its end, or kills the child.
pub(super) fn run(
    child: &mut Child,
    orders: Vec<(ToChild, Vec<u8>)>,
    listener: &mut dyn Listener,
    limits: &Limits,
) -> Result<Outcome, TorchError> {
    for (order, body) in orders {
        child.send(order, body);
    }
    child.begin();
    let mut heard = Instant::now();
    let mut moved = heard;
    let mut stopping: Option<Instant> = None;
    let mut passed = heard;
    loop {
        // Both stood still, as in a suspended machine: that is not the child's silence.
        let gap = std::mem::replace(&mut passed, Instant::now()).elapsed();
        if gap > PAUSE {
            for since in [&mut heard, &mut moved].into_iter().chain(&mut stopping) {
                *since += gap;
            }
        }
        match child.hear(GLANCE) {
            Heard::Nothing => {}
            Heard::Message(FromChild::Heartbeat, _) => heard = Instant::now(),
            Heard::Message(FromChild::Ended { outcome }, _) => return Ok(outcome),
            Heard::Message(message, body) => {
                listener.said(message, body).map_err(TorchError::Wrong)?;
                // After the listener, who may have waited for a full disk.
                heard = Instant::now();
                moved = heard;
                passed = heard;
            }
            Heard::Wrong(reason) => return Err(TorchError::Wrong(reason)),
            Heard::End => return Err(child.death()),
        }
        for (since, limit, what) in [
            (heard, limits.silence, "life"),
            (moved, limits.standstill, "progress"),
        ] {
            if since.elapsed() > limit {
                return Err(TorchError::Silent { what, limit });
            }
        }
        if stopping.is_some_and(|since| since.elapsed() > STOPPING) {
            tracing::warn!("`reprise-torch` did not stop in time and is killed");
            return Err(TorchError::Stopped);
        }
        while let Some(wish) = listener.wish() {
            if matches!(wish, ToChild::Stop { .. }) {
                stopping.get_or_insert_with(Instant::now);
            }
            child.send(wish, Vec::new());
        }
    }
}
