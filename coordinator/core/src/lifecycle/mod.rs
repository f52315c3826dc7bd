//! What becomes of studies, tasks, attempts and workers.
//!
//! [`Core`] takes an [`Input`], decides, and answers with a [`Step`]: events that
//! say what changed and actions that the shell carries out once the events are
//! durable. Replaying the events gives the state back (INV-5); they hold
//! decisions, never questions, so no policy runs in a replay.
//!
//! Only who is connected is not journalled: a restart forgets it on purpose, and
//! every worker is given the reconnection grace to come back with its attempts.

mod action;
mod apply;
mod attempt;
mod audit;
mod control;
mod core;
mod event;
mod input;
mod invariants;
mod lease;
mod pages;
mod references;
mod restore;
mod retry;
mod session;
mod settings;
mod snapshot;
mod state;
mod study;
mod submit;
mod table;
mod task;
mod template;
mod turn;
mod view;
mod watch;
mod worker;

pub use action::{Action, Step};
pub use core::{Checkpoint, Core, Misfit};
pub use event::{Event, Reopening, Verdict};
pub use input::{Actor, AttemptEnd, Input, PlanChanges, Progress, Refusal, StudyControl};
pub use pages::{FailedEntry, FailedPage, HeldAttempt, Matches, PAGE, TaskEntry, TaskPage};
pub use references::References;
pub use settings::Settings;
pub use snapshot::{SNAPSHOT_FORMAT, SnapshotError};
pub use view::{StageView, StudyView, TaskPhase, TaskView, WorkerView};

pub(crate) use state::State;
pub(crate) use study::StudyIx;
pub(crate) use task::{Audit, TaskIx, TaskState};
