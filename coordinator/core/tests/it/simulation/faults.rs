//! What can go wrong by chance, and what is broken on purpose to see that the
//! simulation notices.

/// Faults that must have struck for a simulation to mean anything.
pub(crate) const FAULTS: [&str; 41] = [
    "adopted attempt",
    "amended study",
    "audit",
    "cancelled study",
    "checkpoint",
    "clock back",
    "clock forward",
    "collected late result",
    "continued study",
    "coordinator crash after the record",
    "coordinator crash before the record",
    "deleted study",
    "discarded checkpoint",
    "doubled attempt",
    "drain",
    "drained worker",
    "duplicate report",
    "failed attempt",
    "forgotten checkpoint",
    "half-open session",
    "late result",
    "lost artifact",
    "lost attempt",
    "lost checkpoint",
    "lost input",
    "overrun attempt",
    "paused study",
    "reopened task",
    "repeated checkpoint",
    "restart by snapshot",
    "restored backup",
    "retried task",
    "returned attempt",
    "session break",
    "snapshot",
    "split start",
    "stale checkpoint",
    "stopped attempt",
    "unarchived result",
    "work at a study that a backup lacked",
    "worker crash",
];

/// A deliberately broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The journal misses a lease that the workers have seen.
    LosesLease,
    /// A result is passed off as one of the newest attempt at its task.
    MisattributesResults,
    /// Time passes without anybody telling the core.
    NeverTicks,
    /// The results of one worker are not those of its tasks.
    FalsifiesResults,
    /// Nobody hears of a checkpoint whose file is gone.
    KeepsLostCheckpoints,
    /// Nobody looks for the inputs that a worker could not read.
    KeepsLostInputs,
    /// A worker gets all that it is to start in one message.
    SendsWholeStarts,
    /// A restarted worker claims to hold attempts that it has lost.
    KeepsUnlisted,
}
