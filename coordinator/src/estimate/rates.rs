//! What tasks take where nothing was measured yet: rates from `tests/bench/RESULTS.md`,
//! stated once here and explained in `configs/README.md`.
//!
//! They are of one core of an AMD EPYC and of one NVIDIA H100. Another machine differs
//! by some factor; a finished task of the same kind takes the place of all of this.

use reprise_domain::task::ModelSizes;
use reprise_domain::{
    Budget, EncodingName, MethodSpec, PretrainSpec, SearchSpec, SpaceName, TaskSpec,
};

/// Training graphs a second of one core: batch 32, eight epochs, the published sizes
/// ("Pretraining").
const TRAINED: f64 = 25_345.0;
/// The part of a space that is trained on.
const TRAINED_SHARE: f64 = 0.9;
/// Graphs embedded a second of one core ("Embedding and validity").
const EMBEDDED: f64 = 88_894.0;
/// Latent points judged a second of one core ("Embedding and validity").
const JUDGED: f64 = 644_063.0;
/// Eight epochs of NAS-Bench-101 on a card, a pack of one seed and one of 32 ("Seeds in
/// a pack"), in seconds.
const PACK_OF_ONE: f64 = 356.0;
const PACK_OF_32: f64 = 424.0;
/// Epochs of both.
const PACK_EPOCHS: f64 = 8.0;
/// Graphs of both.
const PACK_GRAPHS: f64 = 423_624.0;
/// A run of DNGO with 150 rounds, by the size of the embedding, in seconds ("Search").
const DNGO: [(SpaceName, f64); 2] = [
    (SpaceName::Nasbench101, 5.43),
    (SpaceName::Nasbench201, 1.46),
];
const DNGO_ROUNDS: f64 = 150.0;
/// Epochs that its surrogate was trained for in each round, and which part of the time
/// that took (`tests/bench/PROFILES.md`).
const DNGO_EPOCHS: f64 = 100.0;
const fn dngo_training(space: SpaceName) -> f64 {
    match space {
        SpaceName::Nasbench101 => 0.137,
        SpaceName::Nasbench201 => 0.5,
    }
}
/// A run of REINFORCE that buys 750 architectures, likewise. The row of 20,000
/// embeddings stands for the 15,625 of NAS-Bench-201.
const REINFORCE: [(SpaceName, f64); 2] = [
    (SpaceName::Nasbench101, 0.240),
    (SpaceName::Nasbench201, 0.0329),
];
const REINFORCE_QUERIES: f64 = 750.0;

/// Seconds of one core that a task takes by these rates; nothing where there is no rate
/// for it.
pub(super) fn core_seconds(spec: &TaskSpec) -> Option<f64> {
    match spec {
        TaskSpec::Pretrain(spec) => Some(pretrain(spec)),
        TaskSpec::Search(spec) => search(spec),
        TaskSpec::Noop(spec) => Some(f64::from(spec.hold_ms) / 1000.0),
        TaskSpec::Evaluate(_) | TaskSpec::Program(_) => None,
    }
}

/// Seconds of a graphics card for so many seeds of a task, in packs.
pub(super) fn card_seconds(spec: &TaskSpec, seeds: u64) -> Option<f64> {
    let TaskSpec::Pretrain(spec) = spec else {
        return None;
    };
    let scale = f64::from(spec.epochs) / PACK_EPOCHS
        * (f64::from(spec.space.architectures()) / PACK_GRAPHS)
        * weight(spec.sizes);
    let packs = seeds.div_ceil(32) as f64;
    let each = (PACK_OF_32 - PACK_OF_ONE) / 31.0;
    Some(scale * (packs * PACK_OF_ONE + (seeds as f64 - packs) * each))
}

/// How much larger than the published one a model is, by the weights that most of its
/// arithmetic is with.
fn weight(sizes: ModelSizes) -> f64 {
    sizes.weights() as f64 / ModelSizes::default().weights() as f64
}

fn pretrain(spec: &PretrainSpec) -> f64 {
    let graphs = f64::from(spec.space.architectures());
    let training = graphs * TRAINED_SHARE / TRAINED * weight(spec.sizes);
    let judging = f64::from(spec.latent_points) / JUDGED;
    let embedding = graphs / EMBEDDED * weight(spec.sizes);
    f64::from(spec.epochs) * (training + judging) + embedding
}

/// Nothing where the benchmark decides how many queries a budget pays for, or where the
/// queries train.
fn search(spec: &SearchSpec) -> Option<f64> {
    let (Budget::Queries(queries), EncodingName::Embedding { .. }) = (spec.budget, spec.encoding)
    else {
        return None;
    };
    if spec.benchmark.is_training() {
        return None;
    }
    let of = |runs: [(SpaceName, f64); 2]| {
        let mut runs = runs.into_iter();
        runs.find_map(|(space, seconds)| (space == spec.space).then_some(seconds))
    };
    match spec.method {
        MethodSpec::Dngo {
            initial,
            batch,
            epochs,
            ..
        } => {
            let rounds = queries.saturating_sub(initial).div_ceil(batch.max(1));
            let training = dngo_training(spec.space);
            let each = 1.0 - training + training * f64::from(epochs) / DNGO_EPOCHS;
            // A run that ends with the initial design was not measured.
            (rounds > 0)
                .then(|| of(DNGO).map(|run| run * each * f64::from(rounds) / DNGO_ROUNDS))?
        }
        MethodSpec::Reinforce { .. } => {
            Some(of(REINFORCE)? * f64::from(queries) / REINFORCE_QUERIES)
        }
        MethodSpec::Random | MethodSpec::RegularizedEvolution { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use reprise_domain::protocol::{Protocol, Quirks};
    use reprise_domain::{ModelName, Seed};

    use super::*;

    fn published() -> PretrainSpec {
        PretrainSpec {
            space: SpaceName::Nasbench101,
            model: ModelName::Arch2vec,
            sizes: ModelSizes::default(),
            epochs: 8,
            batch: 32,
            learning_rate: 1e-3,
            clip: 5.0,
            latent_points: 10_000,
            quirks: Quirks::of(Protocol::Reference).pretrain,
            seed: Seed(1),
        }
    }

    #[test]
    fn the_published_pretraining_takes_what_was_measured() {
        let spec = TaskSpec::Pretrain(published());
        let seconds = core_seconds(&spec).unwrap();
        // 8 x 381,262 graphs at 25,345 a second are 120 s; the rest is small.
        assert!((120.0..130.0).contains(&seconds), "{seconds}");
        let card = |seeds| card_seconds(&spec, seeds).unwrap();
        assert!((card(1) - 356.0).abs() < 1e-9 && (card(32) - 424.0).abs() < 1e-9);
        assert!((card(64) - 848.0).abs() < 1e-9);
    }

    #[test]
    fn a_larger_model_takes_longer() {
        let mut wide = published();
        wide.sizes.hidden *= 2;
        let ratio = pretrain(&wide) / pretrain(&published());
        assert!((3.9..=4.0).contains(&ratio), "{ratio}");
    }
}
