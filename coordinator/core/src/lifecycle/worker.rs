//! One worker: what it offers, what it holds, and whether it is there.

use std::collections::{BTreeMap, VecDeque};

use reprise_domain::Capability;

use super::task::{Lease, TaskIx};
use crate::Timestamp;
use crate::scheduler::{LoadKey, Rates};

/// Inputs that a worker is taken to have in memory. Few: a wrong guess costs one
/// read or download.
const REMEMBERED_INPUTS: usize = 4;

/// A worker that is known: connected, or away within its grace.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Worker {
    pub(crate) capability: Capability,
    /// Tasks that it has, by lease sequence: the order in which it runs them.
    pub(crate) held: BTreeMap<u64, TaskIx>,
    /// Credit that they take, in microseconds of one slot.
    pub(crate) used: u64,
    /// Bound of `used` (INV-4). Above the worker's credit only while it holds
    /// more than it offers now, because it came back smaller.
    pub(crate) limit: u64,
    /// How fast it is.
    pub(crate) rates: Rates,
    /// Inputs that it has read or made lately, the last one first.
    pub(crate) inputs: VecDeque<TaskIx>,
    pub(crate) link: Link,
    /// When its newest session began. Not journalled.
    pub(crate) since: Timestamp,
    /// Whether it said that it leaves. Said again with each session, so it is not
    /// journalled.
    pub(crate) draining: bool,
    /// Whether a client wants it to be given nothing more. Remembered when it leaves.
    pub(crate) drained: bool,
    /// Its place in the order of loads, if it may be given work.
    pub(crate) load: Option<LoadKey>,
}

/// Whether a worker is there. Not journalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// It is connected and was last heard of then.
    Connected { seen: Timestamp },
    /// It is connected and has not been heard of for too long; a sign of life
    /// brings it back.
    Silent { since: Timestamp },
    /// It has no connection; only a hello brings it back.
    Gone { since: Timestamp },
}

impl Worker {
    pub(crate) fn new(capability: Capability, credit: u64, at: Timestamp) -> Self {
        Self {
            capability,
            held: BTreeMap::new(),
            used: 0,
            limit: credit,
            rates: Rates::default(),
            inputs: VecDeque::with_capacity(REMEMBERED_INPUTS),
            link: Link::Gone { since: at },
            since: at,
            draining: false,
            drained: false,
            load: None,
        }
    }

    pub(crate) const fn is_connected(&self) -> bool {
        matches!(self.link, Link::Connected { .. })
    }

    /// Whether it may be given work.
    pub(crate) const fn is_available(&self) -> bool {
        self.is_connected() && !self.draining && !self.drained
    }

    /// A sign of life: brings a silent worker back, but not one without a
    /// connection, since nothing could be sent to it.
    pub(crate) fn heard(&mut self, now: Timestamp) {
        if !matches!(self.link, Link::Gone { .. }) {
            self.link = Link::Connected { seen: now };
        }
    }

    pub(crate) fn take(&mut self, task: TaskIx, lease: &Lease) {
        self.held.insert(lease.sequence, task);
        self.used += u64::from(lease.cost);
    }

    pub(crate) fn give_back(&mut self, lease: &Lease) {
        self.held.remove(&lease.sequence);
        self.used -= u64::from(lease.cost);
    }

    /// Remembers that `input` is at hand.
    pub(crate) fn remember(&mut self, input: TaskIx) {
        match self.inputs.iter().position(|&known| known == input) {
            Some(0) => return,
            Some(place) => {
                self.inputs.remove(place);
            }
            None => self.inputs.truncate(REMEMBERED_INPUTS - 1),
        }
        self.inputs.push_front(input);
    }
}
