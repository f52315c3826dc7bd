//! REINFORCE on an embedding (protocol notes, sections 5b and 6): the policy
//! names a point, the nearest architecture not yet visited is bought, and its
//! accuracy is the reward.
//!
//! A snapshot holds what was bought and told. The policy's 78,000 parameters and
//! Adam's moments are a function of that and are computed again on restoring,
//! which takes milliseconds.

use std::sync::Arc;

use reprise_domain::protocol::SearchQuirks;
use reprise_domain::{Accuracy, ArchIndex, SpaceName};
use serde::{Deserialize, Serialize};

use super::policy::Policy;
use super::{Ask, SearchMethod, initial_design, to_text};
use crate::embedding::{Embedding, Nearest};
use crate::rng::Stream;

/// Settings of one trial.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) space: SpaceName,
    pub(super) episode: usize,
    pub(super) learning_rate: f64,
    pub(super) baseline: f64,
    pub(super) discount: f64,
    pub(super) quirks: SearchQuirks,
    /// Key of the trial's random streams.
    pub(super) key: Vec<u8>,
}

/// REINFORCE with an LSTM policy.
#[derive(Debug)]
pub(super) struct Reinforce {
    settings: Settings,
    embedding: Arc<Embedding>,
    policy: Policy,
    visited: Vec<bool>,
    /// Where the next step starts.
    position: ArchIndex,
    /// Actions so far; the number of an action is the step of its stream.
    actions: u64,
    /// `action - mean` of each step of the episode, `[steps, dims]`.
    deviations: Vec<f32>,
    rewards: Vec<f64>,
    state: State,
}

/// What a snapshot holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct State {
    bought: Vec<(ArchIndex, Accuracy)>,
    /// Asked for and not yet told.
    pending: Option<ArchIndex>,
}

/// A history that this trial cannot have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("architecture `{arch}` of query {query} lies outside the space or was bought before")]
pub struct ImpossibleHistory {
    /// Number of the query, from 1.
    query: usize,
    /// What was bought.
    arch: ArchIndex,
}

impl Reinforce {
    /// The method after a history.
    pub(super) fn new(
        settings: Settings,
        embedding: Arc<Embedding>,
        history: &State,
    ) -> Result<Self, ImpossibleHistory> {
        let key = &settings.key;
        let start = initial_design(key).index(embedding.len());
        let mut init = Stream::new(key, "reinforce policy", 0);
        let policy = Policy::new(embedding.dims(), settings.learning_rate, &mut init);
        let mut visited = vec![false; embedding.len()];
        // The released code starts there without buying it.
        visited[start] = settings.quirks.rl_first_is_free;
        let mut method = Self {
            settings,
            embedding,
            policy,
            visited,
            position: ArchIndex(start as u32),
            actions: 0,
            deviations: Vec::new(),
            rewards: Vec::new(),
            state: State::default(),
        };
        for (query, &(arch, validation)) in history.bought.iter().enumerate() {
            method.replay(query, arch)?;
            method.tell(arch, validation);
        }
        if let Some(arch) = history.pending {
            method.replay(history.bought.len(), arch)?;
        }
        Ok(method)
    }

    /// Asks for a known architecture, without looking for the nearest.
    fn replay(&mut self, query: usize, arch: ArchIndex) -> Result<(), ImpossibleHistory> {
        if self.visited.get(arch.row()) != Some(&false) {
            return Err(ImpossibleHistory {
                query: query + 1,
                arch,
            });
        }
        if !self.buys_the_start() {
            self.act();
        }
        self.await_answer(arch);
        Ok(())
    }

    /// Whether the next query is the start itself: only without quirk Q16.
    fn buys_the_start(&self) -> bool {
        !self.settings.quirks.rl_first_is_free && self.state.bought.is_empty()
    }

    /// Draws the next action and remembers how far it lies from its mean.
    fn act(&mut self) -> Vec<f32> {
        let mean = self.policy.step(self.embedding.row(self.position));
        let mut rng = Stream::new(&self.settings.key, "reinforce action", self.actions);
        self.actions += 1;
        let action: Vec<f32> = mean.iter().map(|mean| mean + rng.normal() as f32).collect();
        self.deviations
            .extend(action.iter().zip(&mean).map(|(action, mean)| action - mean));
        action
    }

    fn await_answer(&mut self, arch: ArchIndex) {
        self.visited[arch.row()] = true;
        self.state.pending = Some(arch);
    }

    /// Ends the episode with one update of the policy along the gradient of the
    /// mean of `-ln π(action) · advantage`.
    fn finish_episode(&mut self) {
        let Settings {
            baseline,
            discount,
            quirks,
            ..
        } = self.settings;
        let discount = (!quirks.rewards_not_discounted).then_some(discount);
        let advantages = advantages(&self.rewards, baseline, discount);
        let steps = self.rewards.len() as f64;
        let rows = self.deviations.chunks_exact_mut(self.embedding.dims());
        for (row, advantage) in rows.zip(advantages) {
            let factor = (-advantage / steps) as f32;
            for deviation in row {
                *deviation *= factor;
            }
        }
        self.policy.update(&self.deviations);
        self.deviations.clear();
        self.rewards.clear();
    }
}

impl SearchMethod for Reinforce {
    fn ask(&mut self) -> Ask {
        if let Some(arch) = self.state.pending {
            return Ask::Buy(arch);
        }
        let choice = if self.buys_the_start() {
            Some(self.position)
        } else if self.visited.iter().all(|&visited| visited) {
            None
        } else {
            let skips = self.settings.quirks.rl_skips_nearest
                && self.settings.space == SpaceName::Nasbench201;
            let action = self.act();
            nearest(&self.embedding, &action, &self.visited, skips)
        };
        match choice {
            Some(arch) => {
                self.await_answer(arch);
                Ask::Buy(arch)
            }
            None => Ask::Exhausted,
        }
    }

    fn tell(&mut self, arch: ArchIndex, validation: Accuracy) {
        let was_start = self.buys_the_start();
        self.state.pending = None;
        self.state.bought.push((arch, validation));
        self.position = arch;
        if !was_start {
            self.rewards.push(validation.fraction());
            if self.rewards.len() >= self.settings.episode {
                self.finish_episode();
            }
        }
    }

    fn snapshot(&self) -> String {
        to_text(&self.state)
    }
}

/// Rewards above the baseline; with a discount the discounted sum of these from
/// each step on, which is what the released code computes and then overwrites
/// (protocol notes, Q10).
fn advantages(rewards: &[f64], baseline: f64, discount: Option<f64>) -> Vec<f64> {
    let mut advantages: Vec<f64> = rewards.iter().map(|reward| reward - baseline).collect();
    if let Some(discount) = discount {
        for step in (1..advantages.len()).rev() {
            advantages[step - 1] += discount * advantages[step];
        }
    }
    advantages
}

/// The nearest architecture not yet visited, by Euclidean distance, the first of
/// equally near ones. `skips` leaves out the nearest of all, visited or not
/// (protocol notes, Q13).
fn nearest(
    embedding: &Embedding,
    action: &[f32],
    visited: &[bool],
    skips: bool,
) -> Option<ArchIndex> {
    let found = Nearest::to(action, embedding, visited);
    let chosen = if skips && found.unvisited == found.of_all {
        found.second
    } else {
        found.unvisited
    };
    chosen.map(|row| ArchIndex(row as u32))
}

#[cfg(test)]
mod tests {
    use reprise_domain::{Protocol, Quirks};

    use super::*;

    fn line(points: &[f32]) -> Arc<Embedding> {
        Arc::new(Embedding::new(points.to_vec(), 1).unwrap())
    }

    #[test]
    fn the_nearest_unvisited_is_chosen_and_q13_leaves_out_the_nearest() {
        let table = line(&[0.0, 1.0, 2.5, 4.0]);
        let check = |action: f32, visited: [bool; 4], skips, expected: Option<u32>| {
            assert_eq!(
                nearest(&table, &[action], &visited, skips),
                expected.map(ArchIndex)
            );
        };
        let none = [false; 4];
        check(0.9, none, false, Some(1));
        check(0.9, none, true, Some(0));
        // The nearest of all is left out even where it was visited before.
        check(0.9, [false, true, false, false], true, Some(0));
        check(0.9, [true, true, false, false], true, Some(2));
        check(0.9, [true, false, true, true], true, None);
        check(0.9, [true, false, true, true], false, Some(1));
        check(0.9, [true; 4], false, None);
        check(0.5, none, false, Some(0));
    }

    #[test]
    fn discounting_sums_what_follows_a_step() {
        let rewards = [0.5, 0.9, 0.7];
        let close = |got: Vec<f64>, expected: [f64; 3]| {
            got.iter()
                .zip(expected)
                .for_each(|(got, expected)| assert!((got - expected).abs() < 1e-12));
        };
        close(advantages(&rewards, 0.4, None), [0.1, 0.5, 0.3]);
        close(
            advantages(&rewards, 0.4, Some(0.5)),
            [0.1 + 0.25 + 0.075, 0.65, 0.3],
        );
    }

    fn method(protocol: Protocol, rows: usize) -> Reinforce {
        let settings = Settings {
            space: SpaceName::Nasbench101,
            episode: 4,
            learning_rate: 0.01,
            baseline: 0.5,
            discount: 0.8,
            quirks: Quirks::of(protocol).search,
            key: b"test".to_vec(),
        };
        let mut rng = Stream::new(b"reinforce", "table", 0);
        let table: Vec<f32> = (0..rows).map(|_| rng.normal() as f32).collect();
        Reinforce::new(settings, line(&table), &State::default()).unwrap()
    }

    /// Quirk Q16: the start is a place, not a purchase; nothing is bought twice.
    #[test]
    fn every_architecture_is_bought_once_but_the_free_start() {
        for (protocol, expected) in [(Protocol::Reference, 29), (Protocol::Corrected, 30)] {
            let mut method = method(protocol, 30);
            let start = method.position;
            let mut bought = Vec::new();
            while let Ask::Buy(arch) = method.ask() {
                assert_eq!(method.ask(), Ask::Buy(arch), "asking again asks the same");
                bought.push(arch);
                method.tell(arch, Accuracy::new(0.7).unwrap());
            }
            assert_eq!(bought.len(), expected);
            assert_eq!(bought[0] == start, protocol == Protocol::Corrected);
            bought.sort();
            bought.dedup();
            assert_eq!(bought.len(), expected);
        }
    }

    /// With a constant reward above the baseline the gradient pulls the mean
    /// toward every sampled action, so that the likelihood of the same actions
    /// rises.
    #[test]
    fn an_update_makes_rewarded_actions_likelier() {
        let mut method = method(Protocol::Reference, 400);
        let start = method.position;
        let before = method.policy.clone().step(method.embedding.row(start))[0];
        let Ask::Buy(arch) = method.ask() else {
            panic!("nothing to buy")
        };
        let wanted = method.deviations[0].signum();
        method.settings.episode = 1;
        method.tell(arch, Accuracy::new(1.0).unwrap());
        let after = method.policy.clone().step(method.embedding.row(start))[0];
        assert!((after - before) * wanted > 0.0, "{before} {after} {wanted}");
    }

    #[test]
    fn an_impossible_history_is_refused() {
        let sound = method(Protocol::Reference, 30);
        let accuracy = Accuracy::new(0.5).unwrap();
        let free = u32::from(sound.position == ArchIndex(0));
        for archs in [vec![30], vec![free, free], vec![sound.position.0]] {
            let bought = archs
                .into_iter()
                .map(|arch| (ArchIndex(arch), accuracy))
                .collect();
            let state = State {
                bought,
                pending: None,
            };
            let settings = sound.settings.clone();
            assert!(Reinforce::new(settings, Arc::clone(&sound.embedding), &state).is_err());
        }
    }
}
