//! Which faults happen, in which order, how long each lasts: decided by the seed
//! alone, before anything runs.

use std::fmt;
use std::time::Duration;

use super::random::Random;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A worker is killed with -9.
    WorkerKilled,
    /// A worker is asked to leave, as a preempted machine is.
    WorkerPreempted,
    /// A worker does not get to run for a while.
    WorkerFrozen,
    /// The coordinator is killed with -9.
    CoordinatorKilled,
    /// The coordinator does not get to run for a while.
    CoordinatorFrozen,
    /// All connections of a worker are closed.
    ConnectionCut,
    /// A connection is closed after half of a message.
    MessageTorn,
    /// A worker's connections stay open and pass nothing.
    ConnectionStalled,
    /// A worker's connections stay open and swallow what one end says.
    ConnectionHalfOpen,
    /// A worker's connections are slow.
    ConnectionSlow,
    /// A worker's disk is full for a while.
    WorkerDiskFull,
    /// The coordinator's disk is full for a while.
    CoordinatorDiskFull,
    /// The coordinator's clock jumps, and jumps back later.
    ClockJump,
    /// The coordinator is killed, and an older backup put in the place of its journal.
    BackupRestored,
    /// One of the coordinator's artifacts is removed.
    ArtifactRemoved,
    /// One bit of one of the coordinator's artifacts is flipped.
    ArtifactRotten,
}

/// Every kind with its share of the faults. Faults that destroy work have small
/// shares: the study must get ahead between them, or nothing is tested but them.
pub const SHARES: [(Kind, usize); 16] = [
    (Kind::WorkerKilled, 12),
    (Kind::WorkerPreempted, 9),
    (Kind::WorkerFrozen, 11),
    (Kind::CoordinatorKilled, 12),
    (Kind::CoordinatorFrozen, 8),
    (Kind::ConnectionCut, 15),
    (Kind::MessageTorn, 10),
    (Kind::ConnectionStalled, 10),
    (Kind::ConnectionSlow, 5),
    (Kind::WorkerDiskFull, 4),
    (Kind::CoordinatorDiskFull, 3),
    (Kind::ClockJump, 6),
    (Kind::ConnectionHalfOpen, 8),
    (Kind::BackupRestored, 3),
    (Kind::ArtifactRemoved, 3),
    (Kind::ArtifactRotten, 3),
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::WorkerKilled => "worker killed (-9)",
            Self::WorkerPreempted => "worker preempted (TERM)",
            Self::WorkerFrozen => "worker frozen (STOP)",
            Self::CoordinatorKilled => "coordinator killed (-9)",
            Self::CoordinatorFrozen => "coordinator frozen (STOP)",
            Self::ConnectionCut => "connections cut",
            Self::MessageTorn => "message torn",
            Self::ConnectionStalled => "connections stalled",
            Self::ConnectionHalfOpen => "connections half open",
            Self::ConnectionSlow => "connections slow",
            Self::WorkerDiskFull => "worker's disk full",
            Self::CoordinatorDiskFull => "coordinator's disk full",
            Self::ClockJump => "coordinator's clock jumps",
            Self::BackupRestored => "older backup restored",
            Self::ArtifactRemoved => "artifact removed",
            Self::ArtifactRotten => "artifact rotten",
        })
    }
}

/// One fault of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What happens.
    pub kind: Kind,
    /// Which worker it happens to, where it happens to one.
    pub worker: usize,
    /// How long it lasts, where it lasts.
    pub lasting: Duration,
    /// Seconds that the clock jumps.
    pub jump: i64,
    /// Which of what there is it happens to, where there is a choice.
    pub choice: u64,
    /// How long nothing else happens afterwards.
    pub pause: Duration,
}

/// The faults that are left, the next one last.
#[derive(Debug)]
pub struct Schedule {
    left: Vec<Fault>,
}

impl Schedule {
    /// `total` faults of the kinds in `shares` on so many workers, with pauses of
    /// `pace` on average.
    pub fn new(
        seed: u64,
        total: usize,
        shares: &[(Kind, usize)],
        workers: usize,
        pace: Duration,
    ) -> Self {
        let mut random = Random::new(seed, 1);
        let mut kinds = apportion(total, shares);
        random.shuffle(&mut kinds);
        let left = kinds
            .into_iter()
            .map(|kind| draw(&mut random, kind, workers, pace))
            .collect();
        Self { left }
    }

    /// The next fault.
    pub fn pop(&mut self) -> Option<Fault> {
        self.left.pop()
    }

    /// Puts a fault back that met nothing it could happen to. Half of the others
    /// come first: were it a few, those that wait for one frozen worker would
    /// gather there and hold up all the rest.
    pub fn postpone(&mut self, fault: Fault) {
        let place = self.left.len() / 2;
        self.left.insert(place, fault);
    }

    /// How many are left.
    pub fn left(&self) -> usize {
        self.left.len()
    }
}

/// Divides `total` by the shares; every kind gets at least one, and the largest
/// share takes what the division leaves.
fn apportion(total: usize, shares: &[(Kind, usize)]) -> Vec<Kind> {
    let sum: usize = shares.iter().map(|(_, share)| share).sum();
    let mut kinds = Vec::with_capacity(total);
    for &(kind, share) in shares {
        let count = (total * share / sum.max(1)).max(1);
        kinds.extend(std::iter::repeat_n(kind, count));
    }
    if let Some(&(largest, _)) = shares.iter().max_by_key(|(_, share)| share) {
        let rest = total.saturating_sub(kinds.len());
        kinds.extend(std::iter::repeat_n(largest, rest));
    }
    kinds
}

fn draw(random: &mut Random, kind: Kind, workers: usize, pace: Duration) -> Fault {
    let lasting = match kind {
        // Now and then longer than the keep-alive, the heartbeats and the grace
        // together: the worker is declared lost and comes back as a stranger.
        Kind::ConnectionStalled | Kind::ConnectionHalfOpen | Kind::WorkerFrozen
            if random.once_in(8) =>
        {
            random.between_ms(48_000, 60_000)
        }
        Kind::ConnectionStalled | Kind::WorkerFrozen => random.between_ms(500, 6_000),
        Kind::ConnectionHalfOpen => random.between_ms(500, 25_000),
        Kind::CoordinatorFrozen => random.between_ms(300, 3_000),
        Kind::ConnectionSlow | Kind::WorkerDiskFull => random.between_ms(2_000, 8_000),
        Kind::CoordinatorDiskFull => random.between_ms(1_000, 4_000),
        Kind::ClockJump => random.between_ms(1_000, 6_000),
        _ => Duration::ZERO,
    };
    let minutes = 1 + random.below(15) as i64;
    let forward = random.once_in(2);
    let pace = pace.as_millis() as u64;
    Fault {
        kind,
        worker: random.below(workers),
        lasting,
        jump: if forward { minutes * 60 } else { minutes * -60 },
        choice: random.number(),
        pause: random.between_ms(pace / 3, pace * 5 / 3),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn all(seed: u64) -> Vec<Fault> {
        let pace = Duration::from_millis(600);
        let mut schedule = Schedule::new(seed, 500, &SHARES, 4, pace);
        std::iter::from_fn(|| schedule.pop()).collect()
    }

    #[test]
    fn a_seed_makes_one_schedule_with_every_kind_in_its_share() {
        let faults = all(7);
        assert_eq!(faults, all(7));
        assert_ne!(faults, all(8));
        let mut counts = BTreeMap::new();
        for fault in &faults {
            *counts.entry(fault.kind).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), SHARES.len());
        assert!((500..=510).contains(&faults.len()), "{}", faults.len());
        assert!(counts[&Kind::WorkerKilled] > counts[&Kind::ClockJump]);
    }

    #[test]
    fn a_postponed_fault_comes_again() {
        let mut schedule = Schedule::new(1, 20, &SHARES, 4, Duration::from_millis(100));
        let total = schedule.left();
        let first = schedule.pop().unwrap();
        schedule.postpone(first);
        assert_eq!(schedule.left(), total);
        assert!(std::iter::from_fn(|| schedule.pop()).any(|fault| fault == first));
    }
}
