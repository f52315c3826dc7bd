//! Bayesian optimisation with a new DNGO surrogate every round (protocol notes,
//! sections 5a and 6).

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use reprise_domain::protocol::SearchQuirks;
use reprise_domain::{Accuracy, ArchIndex, SpaceName};
use serde::{Deserialize, Serialize};

use super::{Ask, SearchMethod, initial_design, to_text};
use crate::embedding::Embedding;
use crate::rng::Stream;
use crate::surrogate::acquisition::ExpectedImprovement;
use crate::surrogate::choice::Choice;
use crate::surrogate::evidence::{Likelihood, Precision};
use crate::surrogate::model::Surrogate;

/// Settings of one trial.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) space: SpaceName,
    pub(super) initial: usize,
    pub(super) batch: usize,
    pub(super) epochs: u32,
    pub(super) target: f64,
    pub(super) quirks: SearchQuirks,
    /// Key of the trial's random streams.
    pub(super) key: Vec<u8>,
    /// Whether every row is predicted, which takes longer and chooses the same.
    pub(super) exhaustive: bool,
}

/// Rounds whose purchases are looked at first in the next one: what was worth buying
/// tends to be so again.
const LIKELY_ROUNDS: usize = 3;

/// Bayesian optimisation on an embedding.
#[derive(Debug)]
pub(super) struct Dngo {
    settings: Settings,
    embedding: Arc<Embedding>,
    /// Rank of each row: the last one wins a tie. Its own number where there is none.
    ranks: Option<Vec<u32>>,
    state: State,
}

/// What a snapshot holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// Everything bought, in order, repeats included (quirk Q7).
    bought: Vec<(ArchIndex, Accuracy)>,
    /// What this round still buys; the first is asked for until it is told.
    pending: VecDeque<ArchIndex>,
    /// Rounds so far; the initial design is round 0.
    round: u64,
}

impl State {
    /// Every architecture that it names.
    pub(super) fn archs(&self) -> impl Iterator<Item = ArchIndex> {
        self.bought
            .iter()
            .map(|&(arch, _)| arch)
            .chain(self.pending.iter().copied())
    }
}

impl Dngo {
    pub(super) fn new(settings: Settings, embedding: Arc<Embedding>, state: State) -> Self {
        // The released code shuffles the table of NAS-Bench-201 by the trial's
        // seed. Where expected improvement is zero everywhere, the last row of
        // this order is bought.
        let ranks = match settings.space {
            SpaceName::Nasbench101 => None,
            SpaceName::Nasbench201 => {
                let mut stream = Stream::new(&settings.key, "dngo order", 0);
                let mut ranks = vec![0; embedding.len()];
                for (rank, row) in stream.permutation(embedding.len()).into_iter().enumerate() {
                    ranks[row as usize] = rank as u32;
                }
                Some(ranks)
            }
        };
        Self {
            settings,
            embedding,
            ranks,
            state,
        }
    }

    /// The initial design without its repeats.
    fn initial(&self) -> VecDeque<ArchIndex> {
        let mut rng = initial_design(&self.settings.key);
        let mut drawn = HashSet::new();
        let wanted = self.settings.initial.clamp(1, self.embedding.len());
        let mut order = VecDeque::with_capacity(wanted);
        while order.len() < wanted {
            let arch = ArchIndex(rng.index(self.embedding.len()) as u32);
            if drawn.insert(arch) {
                order.push_back(arch);
            }
        }
        order
    }

    /// Trains this round's surrogate and chooses what to buy.
    fn propose(&self) -> VecDeque<ArchIndex> {
        let Settings { quirks, key, .. } = &self.settings;
        let dims = self.embedding.dims();
        let mut rows = Vec::with_capacity(self.state.bought.len() * dims);
        let mut targets = Vec::with_capacity(self.state.bought.len());
        for (arch, validation) in &self.state.bought {
            rows.extend_from_slice(self.embedding.row(*arch));
            targets.push(validation.fraction() as f32);
        }
        let mut initial = Stream::new(key, "dngo network", self.state.round);
        // On NAS-Bench-101 the released code seeds each round's generator again
        // with the trial's seed; on NAS-Bench-201 one generator runs through.
        let shuffle_step = match self.settings.space {
            SpaceName::Nasbench101 => 0,
            SpaceName::Nasbench201 => self.state.round,
        };
        let mut shuffles = Stream::new(key, "dngo shuffles", shuffle_step);
        let trained = Surrogate::train(
            &rows,
            &targets,
            self.settings.epochs,
            likelihood(*quirks),
            &mut initial,
            &mut shuffles,
        );
        let Ok(surrogate) = trained else {
            // A regression without a solution says nothing: draw instead.
            let mut rng = Stream::new(key, "dngo fallback", self.state.round);
            return VecDeque::from([ArchIndex(rng.index(self.embedding.len()) as u32)]);
        };
        let improvement = ExpectedImprovement {
            target: self.target(),
            uses_variance: quirks.ei_uses_variance,
        };
        let taken = (!quirks.bo_buys_repeats).then(|| {
            let mut taken = vec![false; self.embedding.len()];
            for (arch, _) in &self.state.bought {
                taken[arch.row()] = true;
            }
            taken
        });
        let count = self.settings.batch.max(1);
        let mut choice = Choice::new(count, self.ranks.as_deref(), taken.as_deref());
        if self.settings.exhaustive {
            surrogate.choose_from_all(&self.embedding, improvement, &mut choice);
        } else {
            let bought = self.state.bought.iter().rev().map(|(arch, _)| arch.0);
            let likely: Vec<u32> = bought.take(LIKELY_ROUNDS * count).collect();
            surrogate.choose(&self.embedding, improvement, &likely, &mut choice);
        }
        choice.rows().map(ArchIndex).collect()
    }

    fn target(&self) -> f64 {
        if self.settings.quirks.ei_fixed_target {
            return self.settings.target;
        }
        let accuracies = self
            .state
            .bought
            .iter()
            .map(|(_, validation)| validation.fraction());
        accuracies.fold(0.0, f64::max)
    }
}

fn likelihood(quirks: SearchQuirks) -> Likelihood {
    match (
        quirks.marginal_likelihood_defects,
        quirks.blr_single_precision,
    ) {
        (false, _) => Likelihood::Exact,
        (true, true) => Likelihood::Defective(Precision::Single),
        (true, false) => Likelihood::Defective(Precision::Double),
    }
}

impl SearchMethod for Dngo {
    fn ask(&mut self) -> Ask {
        if self.state.pending.is_empty() {
            self.state.pending = if self.state.round == 0 {
                self.initial()
            } else {
                self.propose()
            };
            self.state.round += 1;
        }
        self.state
            .pending
            .front()
            .copied()
            .map_or(Ask::Exhausted, Ask::Buy)
    }

    fn tell(&mut self, arch: ArchIndex, validation: Accuracy) {
        self.state.pending.pop_front();
        self.state.bought.push((arch, validation));
    }

    fn snapshot(&self) -> String {
        to_text(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use reprise_domain::{Protocol, Quirks};

    use super::*;

    /// Rows about a few centres, a third of them twice but for rounding, and
    /// accuracies that fall with the distance from one of them.
    fn problem(rows: usize) -> (Arc<Embedding>, Vec<Accuracy>) {
        const DIMS: usize = 8;
        let mut rng = Stream::new(b"dngo", "problem", 0);
        let mut values: Vec<f32> = Vec::new();
        for row in 0..rows {
            if row > 0 && rng.index(3) == 0 {
                let twin = rng.index(row) * DIMS;
                values.extend_from_within(twin..twin + DIMS);
                values[row * DIMS] += 1e-7;
            } else {
                let centre = rng.index(5) as f32 * 0.3;
                values.extend((0..DIMS).map(|_| centre + 0.2 * rng.normal() as f32));
            }
        }
        let accuracy = |row: &[f32]| {
            let distance: f32 = row.iter().map(|x| (x - 0.6).abs()).sum();
            Accuracy::new(f64::from(0.94 - 0.01 * distance).clamp(0.1, 1.0))
        };
        let accuracies = values.chunks_exact(DIMS).map(accuracy);
        let accuracies = accuracies.collect::<Result<_, _>>().unwrap();
        (Arc::new(Embedding::new(values, DIMS).unwrap()), accuracies)
    }

    /// 200 seeds, published and corrected protocol, both spaces in turn: the whole
    /// run buys what it buys when every row is predicted.
    #[test]
    fn runs_are_those_of_all_predictions() {
        let (embedding, accuracies) = problem(500);
        for seed in 0..200_u64 {
            let is_released = seed % 4 != 3;
            let run = |exhaustive| {
                let settings = Settings {
                    space: if seed % 2 == 0 {
                        SpaceName::Nasbench101
                    } else {
                        SpaceName::Nasbench201
                    },
                    initial: 16,
                    batch: 3,
                    epochs: 10,
                    target: 0.95,
                    quirks: Quirks::of(if is_released {
                        Protocol::Reference
                    } else {
                        Protocol::Corrected
                    })
                    .search,
                    key: seed.to_le_bytes().to_vec(),
                    exhaustive,
                };
                let mut method = Dngo::new(settings, Arc::clone(&embedding), State::default());
                for _ in 0..46 {
                    if let Ask::Buy(arch) = method.ask() {
                        method.tell(arch, accuracies[arch.row()]);
                    }
                }
                method.snapshot()
            };
            assert_eq!(run(false), run(true), "seed {seed}");
        }
    }
}
