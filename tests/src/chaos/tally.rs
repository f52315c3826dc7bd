//! What was injected and what came of it, as a table.

use std::collections::BTreeMap;
use std::fmt;

use super::schedule::Kind;
use crate::journal::Journal;

/// Counts over all rounds.
#[derive(Debug, Default)]
pub struct Tally {
    /// Faults by kind, and what each kind touched.
    kinds: BTreeMap<Kind, Count>,
    /// Fates of attempts over all rounds.
    pub fates: Fates,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    injected: usize,
    touched: usize,
}

/// What became of tasks and attempts, programs and connections.
#[derive(Debug, Default, Clone, Copy)]
pub struct Fates {
    /// Rounds that were checked.
    pub rounds: usize,
    /// Tasks, each of which finished once.
    pub tasks: usize,
    /// Attempts that were leased.
    pub attempts: usize,
    /// Attempts that ran and were lost.
    pub lost: usize,
    /// Attempts that were lost before they began.
    pub unbegun: usize,
    /// Attempts that a leaving worker handed back.
    pub returned: usize,
    /// Second attempts at tasks that took far longer than their kind.
    pub doubled: usize,
    /// Attempts that failed and were tried again.
    pub failed: usize,
    /// Results of attempts that were given up, from before the task was finished
    /// by another: recorded, without effect. Later ones are compared only.
    pub late: usize,
    /// Attempts that a worker kept although it was lost with them.
    pub adopted: usize,
    /// Finished tasks that were opened again, since their artifacts were lost.
    pub reopened: usize,
    /// Jumps of the clock that the journal shows.
    pub jumps: usize,
    /// Programs that were started again.
    pub restarts: usize,
    /// Connections that were made again.
    pub reconnects: usize,
}

impl Tally {
    /// Notes a fault that met something, and how much of it.
    pub fn hit(&mut self, kind: Kind, touched: usize) {
        let count = self.kinds.entry(kind).or_default();
        count.injected += 1;
        count.touched += touched;
    }

    /// Notes something that a fault of this kind has caused later.
    pub fn touched(&mut self, kind: Kind, touched: usize) {
        self.kinds.entry(kind).or_default().touched += touched;
    }

    /// Faults so far.
    pub fn total(&self) -> usize {
        self.kinds.values().map(|count| count.injected).sum()
    }

    /// Kinds of `expected` that never happened.
    pub fn missing(&self, expected: &[(Kind, usize)]) -> Vec<Kind> {
        let happened = |kind: &Kind| self.kinds.get(kind).is_some_and(|count| count.injected > 0);
        let kinds = expected.iter().map(|(kind, _)| *kind);
        kinds.filter(|kind| !happened(kind)).collect()
    }
}

impl Fates {
    /// Adds what a round's journal tells.
    pub fn add(&mut self, journal: &Journal) {
        self.rounds += 1;
        self.tasks += journal.finished();
        self.attempts += journal.attempts();
        self.lost += journal.count("lost");
        self.unbegun += journal.count("lost-unbegun");
        self.returned += journal.count("returned");
        self.doubled += journal.count("doubled");
        self.failed += journal.count("failed");
        self.late += journal.count("superseded");
        self.adopted += journal.count("adopted");
        self.reopened += journal.count("reopened");
        self.jumps += journal.jumps;
    }
}

/// What the second column of the table counts.
fn unit(kind: Kind) -> &'static str {
    match kind {
        Kind::WorkerKilled | Kind::CoordinatorKilled => "processes replaced",
        Kind::WorkerPreempted => "left by themselves",
        Kind::WorkerFrozen | Kind::CoordinatorFrozen => "seconds without them",
        Kind::ConnectionCut => "connections closed",
        Kind::MessageTorn => "messages passed by half",
        Kind::ConnectionStalled | Kind::ConnectionSlow => "connections held up",
        Kind::ConnectionHalfOpen => "connections that swallowed",
        Kind::WorkerDiskFull => "MiB taken",
        Kind::CoordinatorDiskFull => "stops of the coordinator",
        Kind::ClockJump => "minutes off",
        Kind::BackupRestored => "results forgotten",
        Kind::ArtifactRemoved | Kind::ArtifactRotten => "files",
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<26} {:>8}   what it met", "fault", "injected")?;
        for (&kind, count) in &self.kinds {
            writeln!(
                f,
                "{kind:<26} {:>8}   {} {}",
                count.injected,
                count.touched,
                unit(kind)
            )?;
        }
        writeln!(f, "{:<26} {:>8}", "total", self.total())?;
        let fates = self.fates;
        writeln!(
            f,
            "\n{} rounds: {} tasks, each finished once, in {} attempts",
            fates.rounds, fates.tasks, fates.attempts
        )?;
        writeln!(
            f,
            "attempts: {} lost while running, {} lost before they began, {} handed back, \
             {} doubled, {} failed and tried again, {} kept by workers that came back; \
             {} late results without effect; {} tasks opened again",
            fates.lost,
            fates.unbegun,
            fates.returned,
            fates.doubled,
            fates.failed,
            fates.adopted,
            fates.late,
            fates.reopened
        )?;
        write!(
            f,
            "{} programs started again, {} connections made again, {} clock jumps in the journal",
            fates.restarts, fates.reconnects, fates.jumps
        )
    }
}
