//! A model of a worker: it runs what it is given in order, keeps results until
//! they are acknowledged, and may vanish at any moment.

use std::collections::{BTreeMap, BTreeSet};

use reprise_core::lifecycle::AttemptEnd;
use reprise_domain::measure::ArtifactRef;
use reprise_domain::{AttemptId, WorkerId};

pub(crate) struct Node {
    pub(crate) id: WorkerId,
    pub(crate) slots: u32,
    pub(crate) alive: bool,
    /// The session that it takes itself to be in.
    pub(crate) session: Option<u64>,
    /// Attempts that it runs or will run, in order.
    pub(crate) queue: Vec<AttemptId>,
    /// Results on its disk that were not acknowledged.
    pub(crate) spool: BTreeMap<AttemptId, AttemptEnd>,
    /// Attempts that it has lost in a crash.
    pub(crate) forgotten: BTreeSet<AttemptId>,
    /// The newest checkpoint of each attempt that has one, until its end is acknowledged.
    pub(crate) saved: BTreeMap<AttemptId, (ArtifactRef, u64)>,
    /// How far the attempts are that it runs.
    pub(crate) done: BTreeMap<AttemptId, u64>,
    pub(crate) draining: bool,
    /// Whether this process was welcomed before.
    pub(crate) welcomed: bool,
}

/// What a worker is told.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    Start(Vec<AttemptId>),
    Stop(Vec<AttemptId>),
    Acknowledge(AttemptId),
}

impl Node {
    pub(crate) fn new(id: WorkerId, slots: u32) -> Self {
        Self {
            id,
            slots,
            alive: false,
            session: None,
            queue: Vec::new(),
            spool: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            saved: BTreeMap::new(),
            done: BTreeMap::new(),
            draining: false,
            welcomed: false,
        }
    }

    /// Ends the process; returns whether its disk went with it.
    pub(crate) fn crash(&mut self, disk_lost: bool) {
        self.alive = false;
        self.welcomed = false;
        self.draining = false;
        self.forgotten.extend(self.queue.drain(..));
        self.done.clear();
        self.saved.clear();
        if disk_lost {
            self.forgotten
                .extend(std::mem::take(&mut self.spool).into_keys());
        }
    }

    /// The attempts that its slots have.
    pub(crate) fn running(&self) -> &[AttemptId] {
        &self.queue[..self.queue.len().min(self.slots as usize)]
    }

    pub(crate) fn holding(&self) -> Vec<AttemptId> {
        self.queue
            .iter()
            .chain(self.spool.keys())
            .copied()
            .collect()
    }

    pub(crate) fn obey(&mut self, order: Order) {
        match order {
            Order::Start(attempts) => self.queue.extend(attempts),
            Order::Stop(attempts) => {
                self.queue.retain(|attempt| !attempts.contains(attempt));
                self.spool.retain(|attempt, _| !attempts.contains(attempt));
                self.saved.retain(|attempt, _| !attempts.contains(attempt));
            }
            Order::Acknowledge(attempt) => {
                self.saved.remove(&attempt);
                self.spool.remove(&attempt);
            }
        }
    }
}
