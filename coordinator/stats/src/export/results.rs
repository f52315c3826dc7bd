//! Everything that a study found, in one JSON document: the final numbers of every
//! run, and the summaries made of them.

use std::io::Write;

use reprise_domain::Factor;
use serde::{Serialize, Serializer};

use crate::interval::Interval;
use crate::sample::{Final, RunSet, Split};
use crate::summary::Summary;
use crate::table::search::accuracy_interval;

/// Version of the document; raised when a field changes its meaning.
const VERSION: u32 = 1;

/// Writes the runs and summaries of `sets` as indented JSON with a final line end.
/// Accuracies in percent in full precision; what is not known is `null`. The text is
/// written run by run: of a million runs it takes 200 MB.
///
/// # Errors
/// When `out` cannot be written.
pub fn results_json(sets: &[RunSet], out: &mut impl Write) -> std::io::Result<()> {
    let has_factors = sets.iter().any(|set| !set.level().is_empty());
    let mut finals = sets.iter().flat_map(RunSet::finals);
    let tells = Tells {
        factors: has_factors,
        embeddings: finals.any(|end| end.pretrain_seed.is_some()),
    };
    let document = Document {
        version: VERSION,
        sets: sets.iter().map(|set| SetView::of(set, tells)).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    out.write_all(b"\n")
}

/// What a document has for all its sets, if it has it for one.
#[derive(Clone, Copy)]
struct Tells {
    factors: bool,
    embeddings: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    sets: Vec<SetView<'a>>,
}

#[derive(Serialize)]
struct SetView<'a> {
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    factors: Option<LevelView<'a>>,
    dataset: &'a str,
    /// Whether runs share seeds and embeddings, so that they are not independent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    crossed: bool,
    planned: usize,
    finished: usize,
    failed: usize,
    missing: usize,
    blocked: usize,
    validation: Option<SummaryView>,
    test: Option<SummaryView>,
    runs: RunViews<'a>,
}

impl<'a> SetView<'a> {
    fn of(set: &'a RunSet, tells: Tells) -> Self {
        Self {
            method: set.method(),
            factors: tells.factors.then(|| LevelView(set.level())),
            dataset: set.dataset().as_str(),
            crossed: set.is_crossed(),
            planned: set.planned(),
            finished: set.finished(),
            failed: set.failed(),
            missing: set.missing(),
            blocked: set.blocked(),
            validation: SummaryView::of(set, Split::Validation),
            test: SummaryView::of(set, Split::Test),
            runs: RunViews(set, tells),
        }
    }
}

/// The values of factors by their names, in the order of the study.
struct LevelView<'a>(&'a [Factor]);

impl Serialize for LevelView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|factor| (&factor.name, &factor.value)))
    }
}

#[derive(Serialize)]
struct SummaryView {
    n: usize,
    mean_percent: f64,
    std_percent: Option<f64>,
    population_std_percent: f64,
    median_percent: f64,
    q1_percent: f64,
    q3_percent: f64,
    min_percent: f64,
    max_percent: f64,
    mean_interval_percent: Option<[f64; 2]>,
}

impl SummaryView {
    fn of(set: &RunSet, split: Split) -> Option<Self> {
        let values = set.accuracies(split);
        let summary = Summary::of(&values)?;
        Some(Self {
            n: summary.n,
            mean_percent: summary.mean,
            std_percent: summary.std,
            population_std_percent: summary.population_std,
            median_percent: summary.median,
            q1_percent: summary.q1,
            q3_percent: summary.q3,
            min_percent: summary.min,
            max_percent: summary.max,
            mean_interval_percent: accuracy_interval(set, split, &values)
                .map(|Interval { low, high }| [low, high]),
        })
    }
}

struct RunViews<'a>(&'a RunSet, Tells);

impl Serialize for RunViews<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let runs = self.0.finals().map(|end| RunView::of(end, self.1));
        serializer.collect_seq(runs)
    }
}

/// Seed of the pretraining whose embedding a run searched.
#[derive(Serialize)]
#[serde(untagged)]
enum Embedding {
    /// The document does not tell it.
    Untold,
    /// It tells; `null` for a run that searches no embedding.
    Told(Option<u64>),
}

impl Embedding {
    const fn is_untold(&self) -> bool {
        matches!(self, Self::Untold)
    }
}

#[derive(Serialize)]
struct RunView {
    seed: u64,
    #[serde(skip_serializing_if = "Embedding::is_untold")]
    pretrain_seed: Embedding,
    queries: usize,
    simulated_seconds: f64,
    architecture: Option<u32>,
    validation_percent: Option<f64>,
    test_percent: Option<f64>,
}

impl RunView {
    fn of(end: &Final, tells: Tells) -> Self {
        let pretrain_seed = end.pretrain_seed.map(|seed| seed.0);
        let accuracy = |split| Some(end.incumbent?.accuracy(split).percent());
        Self {
            seed: end.seed.0,
            pretrain_seed: if tells.embeddings {
                Embedding::Told(pretrain_seed)
            } else {
                Embedding::Untold
            },
            queries: end.queries,
            simulated_seconds: end.simulated.get(),
            architecture: end.incumbent.map(|incumbent| incumbent.arch.0),
            validation_percent: accuracy(Split::Validation),
            test_percent: accuracy(Split::Test),
        }
    }
}

#[cfg(test)]
mod tests {
    use reprise_domain::{Dataset, Scalar, Seed};
    use serde_json::Value;

    use super::*;
    use crate::sample::{Group, Runs};
    use crate::testing::{run, run_set, trajectory};

    #[test]
    fn factors_and_embeddings_are_told_of_all_runs_or_of_none() {
        let group = Group {
            level: vec![Factor {
                name: "latent".to_owned(),
                value: Scalar::Whole(8),
            }],
            ..Group::new("rl", Dataset::Cifar10)
        };
        let mut runs = Runs::default();
        let trajectory = trajectory(&[(91.0, 94.0, 2.5)]);
        runs.push_on(Seed(1), Some(Seed(4)), &trajectory).unwrap();
        let leveled = RunSet::of(group, (1, 0), runs).unwrap();
        let random = run_set("random", vec![run(1, &[])]);
        let written = |sets: &[RunSet]| {
            let mut text = Vec::new();
            results_json(sets, &mut text).unwrap();
            serde_json::from_slice::<Value>(&text).unwrap()["sets"].clone()
        };
        let sets = written(&[leveled, random.clone()]);
        assert_eq!(sets[0]["method"], "rl");
        assert_eq!(sets[0]["factors"], serde_json::json!({"latent": 8}));
        assert_eq!(sets[0]["runs"][0]["pretrain_seed"], 4);
        assert_eq!(sets[1]["factors"], serde_json::json!({}));
        let run = sets[1]["runs"][0].as_object().unwrap();
        assert_eq!(run["pretrain_seed"], Value::Null);
        let plain = written(&[random]);
        assert!(plain[0].get("factors").is_none());
        assert!(plain[0]["runs"][0].get("pretrain_seed").is_none());
    }

    #[test]
    fn every_run_is_there_and_absent_numbers_are_null() {
        let set = run_set("random", vec![run(2, &[]), run(1, &[(91.0, 94.0, 2.5)])]);
        let mut text = Vec::new();
        results_json(&[set], &mut text).unwrap();
        let value: Value = serde_json::from_slice(&text).unwrap();
        let set = &value["sets"][0];
        assert_eq!(set["runs"][0]["seed"], 1);
        assert_eq!(set["runs"][0]["test_percent"], 94.0);
        assert_eq!(set["runs"][0]["simulated_seconds"], 2.5);
        assert_eq!(set["runs"][1]["test_percent"], Value::Null);
        assert_eq!(set["runs"][1]["queries"], 0);
        assert_eq!(set["test"]["n"], 1);
        assert_eq!(set["test"]["std_percent"], Value::Null);
    }
}
