//! The program that a worker starts: one task after another over a pair of streams, in
//! the protocol of `reprise-child`.
//!
//! A task that unwinds is reported and ends the program: after an error in libtorch or
//! in a card's driver nothing that it holds is worth keeping, and the worker starts
//! another.
//!
//! Not here: what a task computes, but for the steps of a pack that the worker sees.

mod output;
mod pack;
mod single;
mod wishes;

use std::any::Any;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use reprise_child::{Card, FromChild, Hello, Outcome, PROTOCOL, Task, ToChild, frame};
use reprise_domain::PretrainSpec;

use self::output::Output;
use self::wishes::Wishes;
use crate::{LIBTORCH_VERSION, cuda_devices, cuda_driver, cuda_name};

/// Time between two signs of life while a task runs.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Causes that a failure names.
const MOST_CAUSES: usize = 20;

/// Why the program ends before its standard input closes.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nobody reads what it says.
    #[error("write to the worker")]
    Output(#[source] io::Error),
    /// A thread cannot be started.
    #[error("start a thread")]
    Thread(#[source] io::Error),
    /// The worker said something out of turn.
    #[error("the worker sent {found}, expected {expected}")]
    OutOfTurn {
        /// What it sent.
        found: &'static str,
        /// What would have been in turn.
        expected: &'static str,
    },
    /// A task unwound.
    #[error("a task panicked; what is left of it is not used again")]
    Panicked,
}

/// What the worker sends that the task's thread takes in turn.
#[derive(Debug)]
enum Order {
    Start(Task, Vec<u8>, Arc<Wishes>),
    Member(PretrainSpec, Vec<u8>),
}

/// A seed of a pack, with the checkpoint that it goes on from.
type Member = (PretrainSpec, Option<Vec<u8>>);

/// Serves until `input` ends. `abandoned` is called if that happens while a task runs:
/// the worker is gone, and nobody waits for the task.
///
/// # Errors
/// If the other end is gone or out of turn, or after a task has panicked.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    abandoned: impl FnOnce() + Send + 'static,
) -> Result<(), ServeError> {
    let output = Output::new(output);
    output.say(&hello(), &[])?;
    // Room for one: a worker that sends more than it may has to wait.
    let (orders, work) = mpsc::sync_channel(1);
    let reading = output.clone();
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || {
            read(input, &orders);
            if reading.is_busy() {
                abandoned();
            }
        })
        .map_err(ServeError::Thread)?;
    let beating = output.clone();
    thread::Builder::new()
        .name("heartbeat".to_owned())
        .spawn(move || {
            // A worker that is gone is noticed by who has something to tell it.
            while beating.beat().is_ok() {
                thread::sleep(HEARTBEAT);
            }
        })
        .map_err(ServeError::Thread)?;
    work_on(&work, &output, run)
}

/// Has `run` do one task after another.
fn work_on(
    work: &Receiver<Order>,
    output: &Output,
    run: impl Fn(&Task, &[u8], &Receiver<Order>, &Wishes, &Output) -> Result<Outcome, ServeError>,
) -> Result<(), ServeError> {
    while let Ok(order) = work.recv() {
        let Order::Start(task, body, wishes) = order else {
            return Err(ServeError::OutOfTurn {
                found: "a member",
                expected: "a task",
            });
        };
        let _busy = output.busy();
        let run = || run(&task, &body, work, &wishes, output);
        let ended = catch_unwind(AssertUnwindSafe(run));
        let outcome = match &ended {
            Ok(Ok(outcome)) => outcome.clone(),
            Ok(Err(_)) => return ended.unwrap_or(Err(ServeError::Panicked)).map(drop),
            Err(panic) => Outcome::Failed {
                permanent: false,
                reason: vec![format!("task panicked: {}", message_of(panic.as_ref()))],
            },
        };
        output.say(&FromChild::Ended { outcome }, &[])?;
        if ended.is_err() {
            return Err(ServeError::Panicked);
        }
    }
    Ok(())
}

fn run(
    task: &Task,
    body: &[u8],
    work: &Receiver<Order>,
    wishes: &Wishes,
    output: &Output,
) -> Result<Outcome, ServeError> {
    match *task {
        Task::Evaluate { ref spec } => single::evaluate(spec, wishes, output),
        Task::Selftest => Ok(single::selftest(body)),
        Task::Probe { device, spec, most } => Ok(single::probe(device, spec, most)),
        Task::Pack {
            device,
            members,
            save_every_ms,
        } => {
            let members = members_of(members, work)?;
            let save_every = Duration::from_millis(save_every_ms);
            pack::train(device, &members, save_every, wishes, output)
        }
    }
}

/// The members of a pack.
fn members_of(members: u32, work: &Receiver<Order>) -> Result<Vec<Member>, ServeError> {
    let member = |_| match work.recv() {
        Ok(Order::Member(spec, body)) => Ok((spec, (!body.is_empty()).then_some(body))),
        Ok(Order::Start(..)) => Err(ServeError::OutOfTurn {
            found: "a task",
            expected: "the next member of a pack",
        }),
        Err(_) => Err(ServeError::OutOfTurn {
            found: "nothing more",
            expected: "the next member of a pack",
        }),
    };
    (0..members).map(member).collect()
}

/// Takes in what the worker says until its end; wishes act at once.
fn read(mut input: impl Read, orders: &SyncSender<Order>) {
    let mut current = Arc::new(Wishes::default());
    loop {
        let (message, body) = match frame::read::<ToChild>(&mut input) {
            Ok(Some(read)) => read,
            Ok(None) => return,
            Err(error) => {
                say_error(&error);
                return;
            }
        };
        let order = match message {
            ToChild::Start { task } => {
                current = Arc::new(Wishes::default());
                Order::Start(task, body, Arc::clone(&current))
            }
            ToChild::Member { spec } => Order::Member(spec, body),
            ToChild::Discard { member } => {
                current.discard(member);
                continue;
            }
            ToChild::Stop { save } => {
                current.stop(save);
                continue;
            }
        };
        if orders.send(order).is_err() {
            return;
        }
    }
}

fn hello() -> Hello {
    let cards = (0..cuda_devices()).map(|index| Card {
        model: cuda_name(index),
    });
    Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch: LIBTORCH_VERSION.to_owned(),
        cards: cards.collect(),
        driver: cuda_driver(),
    }
}

/// Writes an error and its causes on standard error, which is the program's log.
pub fn say_error(error: &dyn std::error::Error) {
    let line = reason("error", error).join(": ");
    // There is nowhere else to say it.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// What was tried, then why it failed, cause by cause.
fn reason(doing: &str, error: &dyn std::error::Error) -> Vec<String> {
    let mut reason = vec![doing.to_owned()];
    let mut cause = Some(error);
    while let Some(error) = cause.filter(|_| reason.len() <= MOST_CAUSES) {
        reason.push(error.to_string());
        cause = error.source();
    }
    reason
}

/// A failure that no other try would end differently.
fn impossible(doing: &str, error: &dyn std::error::Error) -> Outcome {
    Outcome::Failed {
        permanent: true,
        reason: reason(doing, error),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("the task panicked without a message")
}

#[cfg(test)]
mod tests;
