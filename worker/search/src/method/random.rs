//! Random search: uniform draws. A repeated draw is paid for again, as the
//! published baseline pays for it.

use std::sync::Arc;

use reprise_domain::{Accuracy, ArchIndex};

use super::{Ask, SearchMethod, to_text};
use crate::rng::Stream;
use crate::space::SearchSpace;

/// Uniform sampling of a space.
#[derive(Debug)]
pub(super) struct Random {
    space: Arc<dyn SearchSpace>,
    rng: Stream,
}

impl Random {
    pub(super) fn new(space: Arc<dyn SearchSpace>, rng: Stream) -> Self {
        Self { space, rng }
    }
}

impl SearchMethod for Random {
    fn ask(&mut self) -> Ask {
        Ask::Buy(self.space.sample(&mut self.rng))
    }

    fn tell(&mut self, _: ArchIndex, _: Accuracy) {}

    fn snapshot(&self) -> String {
        to_text(&self.rng)
    }
}
