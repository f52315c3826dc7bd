//! Random search: uniform draws. A repeated draw is paid for again, as the
//! published baseline pays for it.

use std::sync::Arc;

use reprise_domain::{Accuracy, ArchIndex};
use serde::{Deserialize, Serialize};

use super::{Ask, SearchMethod, to_text};
use crate::rng::Stream;
use crate::space::SearchSpace;

/// Uniform sampling of a space.
#[derive(Debug)]
pub(super) struct Random {
    space: Arc<dyn SearchSpace>,
    state: State,
}

/// What a snapshot holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    rng: Stream,
    /// Asked for and not yet told.
    pending: Option<ArchIndex>,
}

impl State {
    pub(super) fn new(rng: Stream) -> Self {
        Self { rng, pending: None }
    }

    /// Every architecture that it names.
    pub(super) fn archs(&self) -> impl Iterator<Item = ArchIndex> {
        self.pending.into_iter()
    }
}

impl Random {
    pub(super) fn new(space: Arc<dyn SearchSpace>, state: State) -> Self {
        Self { space, state }
    }
}

impl SearchMethod for Random {
    fn ask(&mut self) -> Ask {
        let State { rng, pending } = &mut self.state;
        Ask::Buy(*pending.get_or_insert_with(|| self.space.sample(rng)))
    }

    fn tell(&mut self, _: ArchIndex, _: Accuracy) {
        self.state.pending = None;
    }

    fn snapshot(&self) -> String {
        to_text(&self.state)
    }
}
