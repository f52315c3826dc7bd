//! Results that fit are accepted; the same with one thing changed are refused.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::benchmark::BenchmarkRef;
use crate::ids::Digest;
use crate::protocol::{Protocol, Quirks};
use crate::space::{Dataset, SpaceName};
use crate::task::{
    EncodingName, EvaluateSpec, MethodSpec, ModelName, ModelSizes, NoopSpec, Recipe,
};
use crate::units::{Accuracy, Seed};

const SPACES: [SpaceName; 2] = [SpaceName::Nasbench101, SpaceName::Nasbench201];

fn file(bytes: u64) -> ArtifactRef {
    ArtifactRef {
        digest: Digest::from_bytes([3; 32]),
        bytes,
    }
}

prop_compose! {
    fn measures()(loss in -10.0..1e6, shares in prop::array::uniform8(0.0..=1.0)) -> EpochMeasures {
        EpochMeasures {
            loss,
            ops_accuracy: shares[0],
            ops_accuracy_real_nodes: shares[1],
            edge_accuracy: shares[2],
            true_edge_probability: shares[3],
            false_edge_probability: shares[4],
            exact_match: shares[5],
            validity: shares[6],
            uniqueness: shares[7],
        }
    }
}

prop_compose! {
    fn pretrained()(
        space in prop::sample::select(&SPACES[..]),
        latent in 1_u32..=158,
        epochs in prop::collection::vec(measures(), 1..20),
        extra in 1_u64..4096,
    ) -> (PretrainSpec, PretrainResult) {
        let spec = PretrainSpec {
            space,
            model: ModelName::Arch2vec,
            sizes: ModelSizes { latent, ..ModelSizes::default() },
            epochs: epochs.len() as u32,
            batch: 32,
            learning_rate: 1e-3,
            clip: 5.0,
            latent_points: 10,
            quirks: Quirks::of(Protocol::Reference).pretrain,
            seed: Seed(1),
        };
        let rows = u64::from(space.architectures()) * u64::from(latent) * 4;
        let result = PretrainResult { epochs, checkpoint: file(extra), embedding: file(rows + extra) };
        (spec, result)
    }
}

fn spec_of_search(space: SpaceName, budget: Budget) -> SearchSpec {
    SearchSpec {
        space,
        dataset: Dataset::Cifar10,
        benchmark: BenchmarkRef::Table {
            digest: Digest::from_bytes([1; 32]),
        },
        method: MethodSpec::Random,
        encoding: EncodingName::Discrete,
        budget,
        quirks: Quirks::of(Protocol::Reference).search,
        seed: Seed(1),
    }
}

prop_compose! {
    /// A trial as the worker runs one: it asks for the budget before every query.
    fn searched()(
        space in prop::sample::select(&SPACES[..]),
        archs in prop::collection::vec(any::<Index>(), 1..60),
        costs in prop::collection::vec(0.0..100.0, 60),
        shares in prop::array::uniform3(prop::collection::vec(0.0..=1.0, 60)),
        simulated in prop::option::of(1e-3..3000.0),
        spare in 0_u32..5,
    ) -> (SearchSpec, SearchResult) {
        let mut trajectory = Trajectory::default();
        let mut spent = Seconds::ZERO;
        for (query, arch) in archs.iter().enumerate() {
            if simulated.is_some_and(|budget| spent.get() >= budget) {
                break;
            }
            let share = |column: usize| Accuracy::new(shares[column][query]).unwrap();
            let cost = Seconds::new(costs[query]).unwrap();
            spent = spent + cost;
            trajectory.arch.push(ArchIndex(arch.index(space.architectures() as usize) as u32));
            trajectory.validation.push(share(0));
            trajectory.reported_validation.push(share(1));
            trajectory.test.push(share(2));
            trajectory.cost.push(cost);
        }
        let budget = match simulated {
            Some(budget) => Budget::Simulated(Seconds::new(budget).unwrap()),
            // A method may have run out of architectures.
            None => Budget::Queries(trajectory.len() as u32 + spare),
        };
        (spec_of_search(space, budget), SearchResult { trajectory })
    }
}

fn refused(spec: TaskSpec, result: TaskResult) -> Misfit {
    spec.accepts(&result).unwrap_err()
}

proptest! {
    #[test]
    fn a_pretraining_is_accepted_as_it_is_and_refused_changed(
        (spec, result) in pretrained(),
        place in any::<Index>(),
        measure in 0_usize..8,
        wrong in prop::sample::select(vec![-0.01, 1.01, f64::NAN, f64::INFINITY]),
    ) {
        let task = TaskSpec::Pretrain(spec);
        let changed = |change: &dyn Fn(&mut PretrainResult)| {
            let mut changed = result.clone();
            change(&mut changed);
            refused(task.clone(), TaskResult::Pretrain(changed))
        };
        let at = place.index(result.epochs.len());
        prop_assert_eq!(task.accepts(&TaskResult::Pretrain(result.clone())), Ok(()));

        changed(&|result| { result.epochs.pop(); });
        changed(&|result| result.epochs.push(result.epochs[at]));
        changed(&|result| result.epochs[at].loss = f64::NAN);
        changed(&|result| {
            let epoch = &mut result.epochs[at];
            let fields = [
                &mut epoch.ops_accuracy,
                &mut epoch.ops_accuracy_real_nodes,
                &mut epoch.edge_accuracy,
                &mut epoch.true_edge_probability,
                &mut epoch.false_edge_probability,
                &mut epoch.exact_match,
                &mut epoch.validity,
                &mut epoch.uniqueness,
            ];
            *fields.into_iter().nth(measure).unwrap() = wrong;
        });
        changed(&|result| result.checkpoint.bytes = 0);
        changed(&|result| result.checkpoint.bytes = bounds::ARTIFACT_BYTES + 1);
        changed(&|result| result.embedding.bytes = 1 << 63);
        // One dimension less than the task asks for.
        changed(&|result| result.embedding.bytes -= 4 * u64::from(spec.space.architectures()));
    }

    #[test]
    fn a_search_is_accepted_as_it_is_and_refused_changed(
        (spec, result) in searched(),
        place in any::<Index>(),
        column in 0_usize..5,
        beyond in 0_u32..1000,
    ) {
        let task = TaskSpec::Search(spec);
        let changed = |change: &dyn Fn(&mut Trajectory)| {
            let mut changed = result.clone();
            change(&mut changed.trajectory);
            refused(task.clone(), TaskResult::Search(changed))
        };
        prop_assert_eq!(task.accepts(&TaskResult::Search(result.clone())), Ok(()));

        let at = place.index(result.trajectory.len());
        let ragged = changed(&|trajectory| match column {
            0 => { trajectory.arch.remove(at); }
            1 => { trajectory.validation.remove(at); }
            2 => { trajectory.reported_validation.remove(at); }
            3 => { trajectory.test.remove(at); }
            _ => { trajectory.cost.remove(at); }
        });
        let is_ragged = matches!(ragged, Misfit::Ragged { .. });
        prop_assert!(is_ragged);
        let architectures = spec.space.architectures();
        let arch = ArchIndex(architectures + beyond);
        let found = changed(&|trajectory| trajectory.arch[at] = arch);
        prop_assert_eq!(found, Misfit::Arch { query: at + 1, arch, architectures });
        changed(&|trajectory| *trajectory = Trajectory::default());
        // Longer than the budget allows.
        changed(&|trajectory| {
            let Trajectory { arch, validation, reported_validation, test, cost } = trajectory;
            let more = match spec.budget {
                Budget::Queries(most) => most as usize + 1 - arch.len(),
                Budget::Simulated(budget) => {
                    cost[0] = budget;
                    1
                }
            };
            arch.extend(vec![arch[0]; more]);
            validation.extend(vec![validation[0]; more]);
            reported_validation.extend(vec![test[0]; more]);
            test.extend(vec![test[0]; more]);
            cost.extend(vec![cost[0]; more]);
        });
    }

    #[test]
    fn a_training_is_refused_without_parameters_or_operations(
        parameters in 1..=u64::MAX,
        flops in 1..=u64::MAX,
        share in 0.0..=1.0,
    ) {
        let task = TaskSpec::Evaluate(EvaluateSpec {
            space: SpaceName::Nasbench201,
            arch: ArchIndex(0),
            dataset: Dataset::Digits,
            recipe: Recipe::DigitsSmall,
            seed: Seed(1),
        });
        let share = Accuracy::new(share).unwrap();
        let result = EvaluateResult { validation: share, test: share, parameters, flops };
        prop_assert_eq!(task.accepts(&TaskResult::Evaluate(result)), Ok(()));
        for count in ["parameters", "flops"] {
            let mut wrong = result;
            match count {
                "flops" => wrong.flops = 0,
                _ => wrong.parameters = 0,
            }
            prop_assert_eq!(refused(task.clone(), TaskResult::Evaluate(wrong)), Misfit::Zero { count });
        }
    }

    #[test]
    fn a_result_of_another_kind_is_refused(
        (pretrain, pretrained) in pretrained(),
        (search, searched) in searched(),
    ) {
        let noop = NoopSpec { seed: Seed(1), hold_ms: 0, failures: 0 };
        let tasks = [
            (TaskSpec::Pretrain(pretrain), TaskResult::Pretrain(pretrained)),
            (TaskSpec::Search(search), TaskResult::Search(searched)),
            (TaskSpec::Noop(noop), TaskResult::Noop),
        ];
        for (task, _) in &tasks {
            for (other, result) in &tasks {
                let fits = task.accepts(result);
                prop_assert_eq!(fits.is_ok(), task.kind() == other.kind(), "{:?}", fits);
            }
        }
    }
}

#[test]
fn a_misfit_says_what_is_there_and_what_should_be() {
    let spec = spec_of_search(SpaceName::Nasbench201, Budget::Queries(10));
    let message = |result| refused(TaskSpec::Search(spec), result).to_string();
    assert_eq!(
        message(TaskResult::Noop),
        "the result is of kind `noop`, expected `search`"
    );
    let empty = SearchResult {
        trajectory: Trajectory::default(),
    };
    assert_eq!(
        message(TaskResult::Search(empty)),
        "the trajectory has 0 queries, expected 1 to 10"
    );
}
