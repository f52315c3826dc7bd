//! The stream to the worker, shared by the thread that computes and the one that says
//! that the process lives.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reprise_child::{FromChild, frame};
use serde::Serialize;

use super::ServeError;

/// The stream.
#[derive(Clone)]
pub(super) struct Output(Arc<Shared>);

struct Shared {
    to: Mutex<Box<dyn Write + Send>>,
    /// Whether a task runs.
    busy: AtomicBool,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("busy", &self.0.busy)
            .finish_non_exhaustive()
    }
}

/// While it lives, a task runs.
#[derive(Debug)]
pub(super) struct Busy<'a>(&'a Output);

impl Output {
    pub(super) fn new(to: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Shared {
            to: Mutex::new(Box::new(to)),
            busy: AtomicBool::new(false),
        }))
    }

    /// Says something, with a file.
    pub(super) fn say(&self, message: &impl Serialize, body: &[u8]) -> Result<(), ServeError> {
        self.write(message, body).map_err(ServeError::Output)
    }

    /// Says that the process lives, if a task runs.
    pub(super) fn beat(&self) -> io::Result<()> {
        if self.is_busy() {
            self.write(&FromChild::Heartbeat, &[])?;
        }
        Ok(())
    }

    pub(super) fn busy(&self) -> Busy<'_> {
        self.0.busy.store(true, Ordering::Relaxed);
        Busy(self)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.0.busy.load(Ordering::Relaxed)
    }

    fn write(&self, message: &impl Serialize, body: &[u8]) -> io::Result<()> {
        let mut to = self.0.to.lock().unwrap_or_else(PoisonError::into_inner);
        frame::write(&mut *to, message, body)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.0.busy.store(false, Ordering::Relaxed);
    }
}
