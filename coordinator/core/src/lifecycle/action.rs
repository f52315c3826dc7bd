//! What the core asks the shell to do.

use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, Digest, TaskKey, WorkerId};

use super::event::Event;

/// The answer to one input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Step {
    /// What changed; to be made durable before any action (INV-6).
    pub events: Vec<Event>,
    /// What to do then, in this order.
    pub actions: Vec<Action>,
}

/// Something for the shell to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send these attempts to a worker, to run in this order.
    Start {
        /// Who runs them.
        worker: WorkerId,
        /// What is run.
        attempts: Vec<AttemptId>,
    },
    /// These attempts are not current any more: the worker is to drop them.
    Stop {
        /// Who has them.
        worker: WorkerId,
        /// What is dropped.
        attempts: Vec<AttemptId>,
    },
    /// The worker may forget its copy of this report.
    Acknowledge {
        /// Who reported.
        worker: WorkerId,
        /// Which attempt.
        attempt: AttemptId,
    },
    /// Store the payload that came with the report, in the transaction that
    /// makes the step's events durable.
    RecordResult {
        /// The attempt that won.
        attempt: AttemptId,
    },
    /// End the worker's session, so that it says hello again and reports anew: it has
    /// attempts at tasks that were not known and are now.
    Reconnect {
        /// Who.
        worker: WorkerId,
    },
    /// Nobody will go on from this checkpoint any more: its file may go.
    DiscardCheckpoint {
        /// The attempt in whose area it is.
        attempt: AttemptId,
        /// The checkpoint.
        checkpoint: ArtifactRef,
    },
    /// Remove the stored results of these tasks, in the transaction that makes the
    /// step's events durable.
    ForgetResults {
        /// Their keys.
        tasks: Vec<TaskKey>,
    },
    /// Two attempts at one task gave different results, against INV-7. Said once
    /// a task.
    Nondeterminism {
        /// Who reported the other result.
        worker: WorkerId,
        /// The attempt that came second.
        attempt: AttemptId,
        /// Digest of the result that came first.
        recorded: Digest,
        /// Digest of the other result.
        reported: Digest,
    },
}
