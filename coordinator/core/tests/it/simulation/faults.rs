//! What can go wrong by chance, and what is broken on purpose to see that the
//! simulation notices.

/// Faults that must have struck for a simulation to mean anything.
pub(crate) const FAULTS: [&str; 21] = [
    "amended study",
    "cancelled study",
    "checkpoint",
    "clock back",
    "clock forward",
    "coordinator crash after the record",
    "coordinator crash before the record",
    "discarded checkpoint",
    "doubled attempt",
    "drain",
    "duplicate report",
    "failed attempt",
    "late result",
    "lost attempt",
    "paused study",
    "restart by snapshot",
    "returned attempt",
    "session break",
    "snapshot",
    "stopped attempt",
    "worker crash",
];

/// A deliberately broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The journal misses a lease that the workers have seen.
    LosesLease,
    /// A late result is passed off as one of the current attempt.
    IgnoresFencing,
    /// Time passes without anybody telling the core.
    NeverTicks,
    /// A restarted worker claims to hold attempts that it has lost.
    KeepsUnlisted,
}
