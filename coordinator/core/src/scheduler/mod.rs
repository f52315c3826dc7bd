//! Who works on what next.
//!
//! Work is handed out on credit. Each slot of a worker may hold a window of
//! expected work (2 s by default), so that very short tasks do not wait for round
//! trips, while of long ones a slot holds exactly one. Workers are filled least
//! loaded first; studies share by start-time fair queueing; inside a study plan
//! order decides, and among tasks that read an artifact those whose artifact the
//! worker has at hand come first. Near the end of the queue the window shrinks
//! with the work that is left, so that no worker hoards what others could do.
//!
//! A task that needs libtorch goes to a worker that has it, and waits while there is
//! none.
//!
//! A slot that nothing is ready for may take a second attempt at a task that runs
//! far longer than its kind does. What is left then is for audits.
//!
//! All choices are made here and recorded as leases; nothing is chosen when a
//! journal is replayed.

mod assign;
mod audit;
mod class;
mod credit;
mod fair;
mod load;
mod look;
mod positions;
mod queue;
mod rate;
mod straggler;

pub(crate) use class::{ClassIx, Classes};
pub(crate) use credit::Credit;
pub(crate) use fair::FairShare;
pub(crate) use load::{LoadKey, Loads};
pub(crate) use look::LookFrom;
pub(crate) use queue::ReadyQueue;
pub(crate) use rate::{Mean, Rates};
