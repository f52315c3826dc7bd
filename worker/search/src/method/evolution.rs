//! Regularised evolution (Real et al., AAAI 2019, algorithm 1): the child of a
//! tournament's winner replaces the oldest architecture, not the worst.

use std::collections::VecDeque;
use std::sync::Arc;

use reprise_domain::{Accuracy, ArchIndex};
use serde::{Deserialize, Serialize};

use super::{Ask, SearchMethod, initial_design, to_text};
use crate::rng::Stream;
use crate::space::SearchSpace;

/// Regularised evolution on a space.
#[derive(Debug)]
pub(super) struct Evolution {
    space: Arc<dyn SearchSpace>,
    population: usize,
    tournament: usize,
    state: State,
}

/// What a snapshot holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    /// The first population.
    design: Stream,
    /// Tournaments and edits.
    moves: Stream,
    /// Oldest first.
    living: VecDeque<(ArchIndex, Accuracy)>,
    /// Asked for and not yet told.
    pending: Option<ArchIndex>,
}

impl State {
    /// The beginning, within the seed that `key` names.
    pub(super) fn new(key: &[u8]) -> Self {
        Self {
            design: initial_design(key),
            moves: Stream::new(key, "evolution", 0),
            living: VecDeque::new(),
            pending: None,
        }
    }

    /// Every architecture that it names.
    pub(super) fn archs(&self) -> impl Iterator<Item = ArchIndex> {
        self.living
            .iter()
            .map(|&(arch, _)| arch)
            .chain(self.pending)
    }
}

impl Evolution {
    pub(super) fn new(
        space: Arc<dyn SearchSpace>,
        population: u32,
        sample: u32,
        state: State,
    ) -> Self {
        // A tournament needs somebody in it.
        let (population, tournament) = (population.max(1) as usize, sample.max(1) as usize);
        Self {
            space,
            population,
            tournament,
            state,
        }
    }
}

impl SearchMethod for Evolution {
    fn ask(&mut self) -> Ask {
        let State {
            design,
            moves: rng,
            living,
            pending,
        } = &mut self.state;
        if let Some(arch) = *pending {
            return Ask::Buy(arch);
        }
        if living.len() < self.population {
            return Ask::Buy(*pending.insert(self.space.sample(design)));
        }
        // Drawn with replacement, as published; the first of the best wins.
        let mut winner = living[rng.index(living.len())];
        for _ in 1..self.tournament {
            let challenger = living[rng.index(living.len())];
            if challenger.1 > winner.1 {
                winner = challenger;
            }
        }
        Ask::Buy(*pending.insert(self.space.mutate(winner.0, rng)))
    }

    fn tell(&mut self, arch: ArchIndex, validation: Accuracy) {
        self.state.pending = None;
        self.state.living.push_back((arch, validation));
        if self.state.living.len() > self.population {
            self.state.living.pop_front();
        }
    }

    fn snapshot(&self) -> String {
        to_text(&self.state)
    }
}
