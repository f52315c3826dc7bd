//! The workers that may be given work, least loaded first.

use std::collections::BTreeSet;

use reprise_domain::WorkerId;

/// Place of a worker in the order of loads: those with a free slot first, then
/// by the credit that is used of each slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LoadKey {
    full: bool,
    used_per_slot: u64,
    worker: WorkerId,
    slots: u32,
}

impl LoadKey {
    pub(crate) fn new(worker: WorkerId, slots: u32, held: usize, used: u64) -> Self {
        Self {
            full: held >= slots as usize,
            used_per_slot: used / u64::from(slots.max(1)),
            worker,
            slots,
        }
    }
}

/// Workers that are connected and not draining.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Loads {
    order: BTreeSet<LoadKey>,
    slots: u64,
}

impl Loads {
    pub(crate) fn insert(&mut self, key: LoadKey) {
        if self.order.insert(key) {
            self.slots += u64::from(key.slots);
        }
    }

    pub(crate) fn remove(&mut self, key: LoadKey) {
        if self.order.remove(&key) {
            self.slots -= u64::from(key.slots);
        }
    }

    /// Whether there are no workers.
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The workers, least loaded first.
    pub(crate) fn order(&self) -> impl Iterator<Item = WorkerId> {
        self.order.iter().map(|key| key.worker)
    }

    /// Workers with a free slot, least loaded first.
    pub(crate) fn with_a_free_slot(&self) -> impl Iterator<Item = WorkerId> {
        let free = self.order.iter().take_while(|key| !key.full);
        free.map(|key| key.worker)
    }

    /// Slots of all of them together.
    pub(crate) const fn slots(&self) -> u64 {
        self.slots
    }

    pub(crate) fn contains(&self, key: LoadKey) -> bool {
        self.order.contains(&key)
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}
