//! The program that computes with libtorch, as a child of this process: found, started,
//! kept for the next task, and replaced when it ends in any other way than it should.
//!
//! A child does one task at a time, so whatever ends it costs one attempt. Each thread
//! that needs one leases it; between two leases it waits in a pool.
//!
//! Not here: what tasks say and want of it ([`Listener`]s in the runner) and the form of
//! messages (`reprise-child`).

mod child;
mod error;
mod program;
mod talk;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reprise_child::{Hello, Outcome, Task, ToChild, TorchDevice};

use self::child::Child;
pub use self::error::TorchError;
pub use self::program::{find, is_beside};
pub use self::talk::{Listener, Unheard};

/// How long a child may be without a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From its start to its first word: libraries of several GB are read from a disk
    /// that others use.
    pub hello: Duration,
    /// Of the process, which says every two seconds of a task that it lives.
    pub silence: Duration,
    /// Of the task itself. The longest time between two of its own signs is the end of
    /// an epoch, when all seeds of a pack are measured: a minute on a small machine.
    pub standstill: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hello: Duration::from_mins(2),
            silence: Duration::from_mins(1),
            standstill: Duration::from_mins(15),
        }
    }
}

/// The program, with the children that wait for a task.
#[derive(Debug, Clone)]
pub struct Torch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    program: PathBuf,
    limits: Limits,
    hello: Hello,
    waiting: Mutex<Vec<Child>>,
}

impl Torch {
    /// Starts a child and asks what it is; it waits for the first task.
    ///
    /// # Errors
    /// If it cannot be started, says nothing in time, or is of another version.
    pub fn open(program: PathBuf, limits: Limits) -> Result<Self, TorchError> {
        let (child, hello) = Child::start(&program, limits.hello)?;
        Ok(Self(Arc::new(Shared {
            program,
            limits,
            hello,
            waiting: Mutex::new(vec![child]),
        })))
    }

    /// What the program says of itself.
    pub fn hello(&self) -> &Hello {
        &self.0.hello
    }

    /// Ends the children that wait: none takes memory until a task needs one.
    pub fn rest(&self) {
        let waiting = std::mem::take(&mut *self.lock());
        drop(waiting);
    }

    /// A child for this thread: one that waits, or a new one.
    ///
    /// # Errors
    /// If one cannot be started.
    pub fn lease(&self) -> Result<Lease, TorchError> {
        loop {
            // Not under the lock: a new one takes its time.
            let waiting = self.lock().pop();
            let Some(mut child) = waiting else { break };
            match child.ended() {
                None => return Ok(self.leased(child)),
                Some(how) => tracing::warn!(how, "a waiting `reprise-torch` has ended"),
            }
        }
        let (child, _) = Child::start(&self.0.program, self.0.limits.hello)?;
        Ok(self.leased(child))
    }

    fn leased(&self, child: Child) -> Lease {
        Lease {
            child: Some(child),
            torch: self.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Child>> {
        // No code that can panic runs under the lock.
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A child that one thread has. It waits for the next one when this is dropped, unless
/// a task has ended it.
#[derive(Debug)]
pub struct Lease {
    /// None after a task that it did not survive.
    child: Option<Child>,
    torch: Torch,
}

impl Lease {
    /// Has the child do a task, given to it as `orders`, and tells `listener` what it
    /// says.
    ///
    /// # Errors
    /// If the task fails, is stopped, or ends the child.
    pub fn run(
        &mut self,
        orders: Vec<(ToChild, Vec<u8>)>,
        listener: &mut dyn Listener,
    ) -> Result<Outcome, TorchError> {
        let mut child = match self.child.take() {
            Some(child) => child,
            None => Child::start(&self.torch.0.program, self.torch.0.limits.hello)?.0,
        };
        let said = talk::run(&mut child, orders, listener, &self.torch.0.limits)?;
        match said {
            Outcome::Failed {
                permanent: false,
                reason,
            } => {
                // What a failed task leaves in libtorch is not used again, its memory
                // least of all.
                child.leave();
                Err(TorchError::failed(false, reason))
            }
            outcome => {
                self.child = Some(child);
                match outcome {
                    Outcome::Failed { reason, .. } => Err(TorchError::failed(true, reason)),
                    Outcome::Stopped => Err(TorchError::Stopped),
                    outcome => Ok(outcome),
                }
            }
        }
    }

    /// Ends a child that gave an outcome of another task than its own.
    pub fn unexpected(&mut self) -> TorchError {
        self.child = None;
        TorchError::Wrong("an outcome of another task".to_owned())
    }

    /// The same for a task that says nothing of use before its outcome.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn ask(&mut self, task: Task, body: Vec<u8>) -> Result<Outcome, TorchError> {
        self.run(vec![(ToChild::Start { task }, body)], &mut Unheard)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            self.torch.lock().push(child);
        }
    }
}

/// The device, if the program finds it on this machine.
///
/// # Errors
/// If libtorch has no card of that index.
pub fn check(device: TorchDevice, hello: &Hello) -> Result<(), NoDevice> {
    match device {
        TorchDevice::Cuda(index) if index as usize >= hello.cards.len() => Err(NoDevice {
            index,
            found: hello.cards.len(),
        }),
        TorchDevice::Cpu | TorchDevice::Cuda(_) => Ok(()),
    }
}

/// A graphics card that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this libtorch finds {found} CUDA devices, device {index} was asked for")]
pub struct NoDevice {
    /// The device asked for.
    pub index: u32,
    /// How many there are.
    pub found: usize,
}
