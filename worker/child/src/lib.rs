//! The protocol between the worker and the program that it starts for what needs
//! libtorch, over the program's standard input and output.
//!
//! The worker is the parent, the program its child. The child says [`Hello`] once, then
//! does one task after another: the worker sends [`ToChild::Start`], the child answers
//! with any number of [`FromChild`] and ends the task by [`FromChild::Ended`]. What the
//! child writes to standard error is its log. It leaves when its standard input closes.
//!
//! Every message is a frame of bounded length ([`frame`]): a header in JSON, and bytes
//! for one file. Either end may be wrong or of another version, so nothing that is read
//! is believed before it is checked.
//!
//! Not here: processes, threads and time limits, which are the worker's part
//! (`reprise-worker`), and what a task computes (`reprise-torch`).

#![warn(missing_docs)]

mod device;
pub mod frame;
mod message;

pub use self::device::TorchDevice;
pub use self::message::{
    Card, Compared, FromChild, Hello, Outcome, PROTOCOL, Probed, Reached, Task, ToChild,
};
