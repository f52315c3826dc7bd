//! From a trial's specification to its method, fresh or from a snapshot.

use std::sync::Arc;

use reprise_domain::{ArchIndex, MethodSpec, SearchSpec, SpaceName};
use serde::de::DeserializeOwned;

use super::dngo::{self, Dngo};
use super::evolution::{self, Evolution};
use super::random::{self, Random};
use super::reinforce::{self, ImpossibleHistory, Reinforce};
use super::{SearchMethod, initial_design};
use crate::embedding::Embedding;
use crate::rng::seed_key;
use crate::space::SearchSpace;

/// A method that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum MethodError {
    /// The method searches an embedding and got none.
    #[error("method `{0}` searches an embedding, but the trial has the discrete encoding")]
    NeedsEmbedding(&'static str),
    /// The embedding is of another space.
    #[error(
        "the embedding has {found} rows, expected one for each of the {expected} architectures of `{space}`"
    )]
    EmbeddingSize {
        /// The space.
        space: SpaceName,
        /// Its architectures.
        expected: usize,
        /// Rows of the embedding.
        found: usize,
    },
    /// The snapshot names an architecture that does not exist.
    #[error("the snapshot names architecture `{arch}`, but `{space}` has {architectures}")]
    SnapshotArch {
        /// What it names.
        arch: ArchIndex,
        /// The space.
        space: SpaceName,
        /// Its architectures.
        architectures: usize,
    },
    /// The snapshot is well formed, but not of this trial.
    #[error("the snapshot is not of this trial")]
    History(#[source] ImpossibleHistory),
    /// The snapshot is of something else.
    #[error("the snapshot does not hold the state of method `{method}`")]
    Snapshot {
        /// The method.
        method: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// The method of a trial at its beginning.
pub fn build(
    spec: &SearchSpec,
    space: Arc<dyn SearchSpace>,
    embedding: Option<Arc<Embedding>>,
) -> Result<Box<dyn SearchMethod>, MethodError> {
    make(spec, space, embedding, None)
}

/// The method of a trial as a snapshot left it.
pub fn restore(
    spec: &SearchSpec,
    space: Arc<dyn SearchSpace>,
    embedding: Option<Arc<Embedding>>,
    snapshot: &str,
) -> Result<Box<dyn SearchMethod>, MethodError> {
    make(spec, space, embedding, Some(snapshot))
}

fn make(
    spec: &SearchSpec,
    space: Arc<dyn SearchSpace>,
    embedding: Option<Arc<Embedding>>,
    snapshot: Option<&str>,
) -> Result<Box<dyn SearchMethod>, MethodError> {
    let name = spec.method.name();
    let key = seed_key(spec.space, spec.seed);
    if let Some(embedding) = &embedding
        && embedding.len() != space.len()
    {
        return Err(MethodError::EmbeddingSize {
            space: space.name(),
            expected: space.len(),
            found: embedding.len(),
        });
    }
    Ok(match spec.method {
        MethodSpec::Random => {
            let state = state(name, snapshot, || random::State::new(initial_design(&key)))?;
            known(space.as_ref(), state.archs())?;
            Box::new(Random::new(space, state))
        }
        MethodSpec::RegularizedEvolution { population, sample } => {
            let state = state(name, snapshot, || evolution::State::new(&key))?;
            known(space.as_ref(), state.archs())?;
            Box::new(Evolution::new(space, population, sample, state))
        }
        MethodSpec::Dngo {
            initial,
            batch,
            epochs,
            target,
        } => {
            let embedding = embedding.ok_or(MethodError::NeedsEmbedding(name))?;
            let settings = dngo::Settings {
                space: spec.space,
                initial: initial as usize,
                batch: batch as usize,
                epochs,
                target,
                quirks: spec.quirks,
                key: key.clone(),
                exhaustive: false,
            };
            let state = state(name, snapshot, dngo::State::default)?;
            known(space.as_ref(), state.archs())?;
            Box::new(Dngo::new(settings, embedding, state))
        }
        MethodSpec::Reinforce {
            episode,
            learning_rate,
            baseline,
            discount,
        } => {
            let embedding = embedding.ok_or(MethodError::NeedsEmbedding(name))?;
            let settings = reinforce::Settings {
                space: spec.space,
                episode: episode.max(1) as usize,
                learning_rate,
                baseline,
                discount,
                quirks: spec.quirks,
                key: key.clone(),
            };
            let state = state(name, snapshot, reinforce::State::default)?;
            Box::new(Reinforce::new(settings, embedding, &state).map_err(MethodError::History)?)
        }
    })
}

/// Checks that all architectures of a snapshot exist.
fn known(
    space: &dyn SearchSpace,
    mut archs: impl Iterator<Item = ArchIndex>,
) -> Result<(), MethodError> {
    let architectures = space.len();
    let unknown = archs.find(|arch| arch.row() >= architectures);
    unknown.map_or(Ok(()), |arch| {
        Err(MethodError::SnapshotArch {
            arch,
            space: space.name(),
            architectures,
        })
    })
}

fn state<S: DeserializeOwned>(
    method: &'static str,
    snapshot: Option<&str>,
    fresh: impl FnOnce() -> S,
) -> Result<S, MethodError> {
    snapshot.map_or_else(
        || Ok(fresh()),
        |text| {
            serde_json::from_str(text).map_err(|source| MethodError::Snapshot { method, source })
        },
    )
}

#[cfg(test)]
mod tests {
    use reprise_domain::{
        Accuracy, BenchmarkRef, Budget, Dataset, Digest, EncodingName, Protocol, Quirks, Seconds,
        Seed,
    };

    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::method::Ask;
    use crate::rng::Stream;
    use crate::space::Nasbench201;
    use crate::trial::{Guiding, Oracle, OracleError, Reported, run_trial};

    fn spec(method: MethodSpec, protocol: Protocol, seed: u64) -> SearchSpec {
        SearchSpec {
            space: SpaceName::Nasbench201,
            dataset: Dataset::Cifar10,
            benchmark: BenchmarkRef::Table {
                digest: Digest::from_bytes([0; 32]),
            },
            method,
            encoding: EncodingName::Discrete,
            budget: Budget::Queries(20),
            quirks: Quirks::of(protocol).search,
            seed: Seed(seed),
        }
    }

    /// A smooth landscape over random features: the accuracy falls with the
    /// distance from a point.
    fn landscape() -> (Arc<Embedding>, Vec<Accuracy>) {
        let mut rng = Stream::new(b"landscape", "test", 0);
        let rows: Vec<f32> = (0..15_625 * 4).map(|_| rng.normal() as f32).collect();
        let accuracy = |row: &[f32]| {
            let distance: f64 = row.iter().map(|&x| (f64::from(x) - 0.5).powi(2)).sum();
            Accuracy::new(0.9 * (-distance / 8.0).exp()).unwrap()
        };
        let accuracies = rows.chunks_exact(4).map(accuracy).collect();
        (Arc::new(Embedding::new(rows, 4).unwrap()), accuracies)
    }

    const METHODS: [MethodSpec; 4] = [
        MethodSpec::Reinforce {
            episode: 5,
            learning_rate: 0.01,
            baseline: 0.4,
            discount: 0.8,
        },
        MethodSpec::Random,
        MethodSpec::RegularizedEvolution {
            population: 5,
            sample: 3,
        },
        MethodSpec::Dngo {
            initial: 8,
            batch: 2,
            epochs: 20,
            target: 1.0,
        },
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// Stopped anywhere, also between an ask and its tell.
        #[test]
        fn a_restored_method_asks_for_the_same(
            which in 0..METHODS.len(), queries in 0_usize..16, asked: bool, reference: bool, seed: u64,
        ) {
            let (embedding, accuracies) = landscape();
            let space: Arc<dyn SearchSpace> = Arc::new(Nasbench201::new());
            let protocol = if reference { Protocol::Reference } else { Protocol::Corrected };
            let spec = spec(METHODS[which], protocol, seed);
            let mut original = build(&spec, space.clone(), Some(embedding.clone())).unwrap();
            for _ in 0..queries {
                let Ask::Buy(arch) = original.ask() else { panic!("nothing to buy") };
                original.tell(arch, accuracies[arch.row()]);
            }
            if asked {
                original.ask();
            }
            let snapshot = original.snapshot();
            let mut copy = restore(&spec, space, Some(embedding), &snapshot).unwrap();
            for _ in 0..7 {
                let Ask::Buy(arch) = original.ask() else { panic!("nothing to buy") };
                prop_assert_eq!(copy.ask(), Ask::Buy(arch));
                original.tell(arch, accuracies[arch.row()]);
                copy.tell(arch, accuracies[arch.row()]);
            }
            prop_assert_eq!(original.snapshot(), copy.snapshot());
        }
    }

    /// Answers from a landscape; a query after a report fails (INV-9).
    struct Landscape {
        accuracies: Vec<Accuracy>,
        has_reported: Cell<bool>,
    }

    impl Oracle for Landscape {
        fn guiding(&mut self, arch: ArchIndex) -> Result<Guiding, OracleError> {
            assert!(!self.has_reported.get(), "a query after a report");
            Ok(Guiding {
                validation: self.accuracies[arch.row()],
                cost: Seconds::new(100.0)?,
            })
        }

        fn reported(&self, arch: ArchIndex) -> Result<Reported, OracleError> {
            self.has_reported.set(true);
            let accuracy = self.accuracies[arch.row()];
            Ok(Reported {
                validation: accuracy,
                test: accuracy,
            })
        }
    }

    /// The same seed gives the same trial, another seed another one (INV-7).
    #[test]
    fn every_method_runs_a_trial_that_its_seed_decides() {
        let (embedding, accuracies) = landscape();
        let space: Arc<dyn SearchSpace> = Arc::new(Nasbench201::new());
        let run = |method, protocol, seed| {
            let spec = spec(method, protocol, seed);
            let mut oracle = Landscape {
                accuracies: accuracies.clone(),
                has_reported: Cell::new(false),
            };
            let mut method = build(&spec, space.clone(), Some(embedding.clone())).unwrap();
            run_trial(spec.budget, method.as_mut(), &mut oracle, &mut |_| true).unwrap()
        };
        for method in METHODS {
            for protocol in [Protocol::Reference, Protocol::Corrected] {
                let trajectory = run(method, protocol, 1);
                assert_eq!(trajectory.len(), 20);
                assert!(trajectory.is_rectangular());
                assert_eq!(trajectory, run(method, protocol, 1));
                assert_ne!(trajectory.arch, run(method, protocol, 2).arch);
            }
        }
    }

    /// A trial on the landscape.
    fn trial(spec: &SearchSpec) -> Vec<ArchIndex> {
        let (embedding, accuracies) = landscape();
        let mut oracle = Landscape {
            accuracies,
            has_reported: Cell::new(false),
        };
        let space: Arc<dyn SearchSpace> = Arc::new(Nasbench201::new());
        let mut method = build(spec, space, Some(embedding)).unwrap();
        let trajectory = run_trial(spec.budget, method.as_mut(), &mut oracle, &mut |_| true);
        trajectory.unwrap().arch
    }

    #[test]
    fn methods_share_the_initial_design_of_a_seed() {
        let [reinforce, random, evolution, dngo] = METHODS;
        for seed in 0..20 {
            // Random search goes on with the design for ever.
            let design = trial(&spec(random, Protocol::Reference, seed));
            let population = trial(&spec(evolution, Protocol::Reference, seed));
            assert_eq!(population[..5], design[..5], "the population of 5");
            let initial = trial(&spec(dngo, Protocol::Reference, seed));
            assert_eq!(initial[..8], design[..8], "the initial 8");
            let start = trial(&spec(reinforce, Protocol::Corrected, seed));
            assert_eq!(start[0], design[0], "the start, which is bought");
        }
    }

    #[test]
    fn a_longer_budget_continues_the_shorter_run() {
        for method in METHODS {
            let long = spec(method, Protocol::Reference, 3);
            let short = SearchSpec {
                budget: Budget::Queries(11),
                ..long
            };
            assert_eq!(trial(&long)[..11], trial(&short));
        }
    }

    #[test]
    fn a_quirk_changes_what_it_decides_and_nothing_before() {
        let dngo = METHODS[3];
        let reference = trial(&spec(dngo, Protocol::Reference, 5));
        let corrected = trial(&spec(dngo, Protocol::Corrected, 5));
        assert_eq!(reference[..8], corrected[..8], "the initial design");
        assert_ne!(reference, corrected);
    }

    #[test]
    fn a_snapshot_of_something_else_is_refused() {
        let (embedding, accuracies) = landscape();
        let space: Arc<dyn SearchSpace> = Arc::new(Nasbench201::new());
        for method in METHODS {
            let spec = spec(method, Protocol::Reference, 1);
            let again = |text: &str| restore(&spec, space.clone(), Some(embedding.clone()), text);
            let mut method = again(
                &build(&spec, space.clone(), Some(embedding.clone()))
                    .unwrap()
                    .snapshot(),
            )
            .unwrap();
            let Ask::Buy(arch) = method.ask() else {
                panic!("nothing to buy")
            };
            method.tell(arch, accuracies[arch.row()]);
            let Ask::Buy(arch) = method.ask() else {
                panic!("nothing to buy")
            };
            let good = method.snapshot();
            assert!(again(&good).is_ok());
            assert!(matches!(again("?"), Err(MethodError::Snapshot { .. })));
            assert!(matches!(
                again(&good[1..]),
                Err(MethodError::Snapshot { .. })
            ));
            let foreign = good.replace(&format!("{arch}"), "15625");
            assert!(again(&foreign).is_err(), "{foreign}");
        }
    }

    /// Quirk Q7: with one architecture a round and no memory of what was bought,
    /// the released code may buy again; the corrected one never does.
    #[test]
    fn only_the_quirk_buys_again() {
        let (embedding, accuracies) = landscape();
        let space: Arc<dyn SearchSpace> = Arc::new(Nasbench201::new());
        let distinct = |quirk: bool, seed| {
            let method = MethodSpec::Dngo {
                initial: 4,
                batch: 3,
                epochs: 5,
                target: 0.5,
            };
            let mut spec = spec(method, Protocol::Corrected, seed);
            spec.quirks.bo_buys_repeats = quirk;
            let mut method = build(&spec, space.clone(), Some(embedding.clone())).unwrap();
            let mut bought = Vec::new();
            for _ in 0..40 {
                let Ask::Buy(arch) = method.ask() else {
                    panic!("nothing to buy")
                };
                method.tell(arch, accuracies[arch.row()]);
                bought.push(arch);
            }
            bought.sort();
            bought.dedup();
            bought.len()
        };
        assert!((1..=10).any(|seed| distinct(true, seed) < 40));
        assert!((1..=10).all(|seed| distinct(false, seed) == 40));
    }

    /// Best of 30 queries over 10 seeds. Were DNGO no better than random, it
    /// would win 9 or more of 10 pairs with probability 1.1 %.
    #[test]
    fn dngo_beats_random_on_a_smooth_landscape() {
        let (embedding, accuracies) = landscape();
        let space: Arc<dyn SearchSpace> = Arc::new(Nasbench201::new());
        let best = |method, seed| {
            let spec = spec(method, Protocol::Corrected, seed);
            let mut method = build(&spec, space.clone(), Some(embedding.clone())).unwrap();
            let mut best = 0.0_f64;
            for _ in 0..30 {
                let Ask::Buy(arch) = method.ask() else { break };
                method.tell(arch, accuracies[arch.row()]);
                best = best.max(accuracies[arch.row()].fraction());
            }
            best
        };
        let dngo = MethodSpec::Dngo {
            initial: 8,
            batch: 1,
            epochs: 100,
            target: 1.0,
        };
        let wins = (1..=10)
            .filter(|&seed| best(dngo, seed) > best(MethodSpec::Random, seed))
            .count();
        assert!(wins >= 9, "{wins}");
    }

    #[test]
    fn an_embedding_that_is_missing_or_of_another_space_is_refused() {
        let space: Arc<dyn SearchSpace> = Arc::new(Nasbench201::new());
        let spec = spec(METHODS[3], Protocol::Reference, 1);
        assert!(matches!(
            build(&spec, space.clone(), None),
            Err(MethodError::NeedsEmbedding("dngo"))
        ));
        let small = Arc::new(Embedding::new(vec![0.0; 8], 4).unwrap());
        assert!(matches!(
            build(&spec, space, Some(small)),
            Err(MethodError::EmbeddingSize { found: 2, .. })
        ));
    }
}
