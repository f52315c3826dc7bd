//! The study files that the project ships are valid and mean what their names
//! say, and the defaults are the published values.

#![expect(
    clippy::disallowed_methods,
    reason = "a test reads the files that it checks"
)]

use std::fs;
use std::path::{Path, PathBuf};

use reprise_domain::program::ShippedFile;
use reprise_domain::study::{
    ArchSelection, MethodPlan, OnFailure, Pairing, PretrainPlan, RetryPolicy, Seeds, StudySpec,
};
use reprise_domain::task::ModelSizes;
use reprise_domain::{
    BenchmarkRef, Budget, BuiltinBenchmark, Dataset, Digest, Limits, MethodSpec, ModelName,
    Protocol, Quirks, Recipe, Seconds, Seed,
};
use reprise_study::{BenchmarkSource, parse};

const CONFIGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");

fn resolve(name: &str, text: &str) -> StudySpec {
    let mut file = parse(name, text).unwrap_or_else(|error| panic!("{}", error.report()));
    file.ship(|path| {
        Ok(ShippedFile {
            path: path.to_owned(),
            digest: Digest::from_bytes([7; 32]),
            bytes: 1,
            executable: false,
        })
    })
    .unwrap_or_else(|error| panic!("{}", error.report()));
    let digest = Digest::from_bytes([7; 32]);
    let benchmark = file.benchmark().and_then(|source| match *source {
        BenchmarkSource::Builtin(name) => Some(BenchmarkRef::Builtin { name, digest }),
        BenchmarkSource::Table(_) | BenchmarkSource::Nats(_) => {
            Some(BenchmarkRef::Table { digest })
        }
        BenchmarkSource::Train(_) => None,
    });
    file.resolve(benchmark)
        .expect("the benchmark is of the kind that the file names")
}

fn config(name: &str) -> StudySpec {
    let text = fs::read_to_string(Path::new(CONFIGS).join(name)).expect(name);
    resolve(name, &text)
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is in the repository") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "yaml") {
            found.push(path);
        }
    }
}

fn labels(methods: &[MethodPlan]) -> Vec<&str> {
    methods.iter().map(|method| method.label.as_str()).collect()
}

fn simulated(seconds: f64) -> Budget {
    Budget::Simulated(Seconds::new(seconds).expect("a duration"))
}

#[test]
fn every_shipped_study_is_valid() {
    let mut files = Vec::new();
    yaml_files(Path::new(CONFIGS), &mut files);
    assert!(files.len() >= 7, "{files:?}");
    for path in files {
        let study = resolve(&path.to_string_lossy(), &fs::read_to_string(&path).unwrap());
        assert_eq!(study.check(), Ok(()), "{}", path.display());
    }
}

#[test]
fn the_demo_compares_four_methods_on_twenty_seeds() {
    let spec = config("demo.yaml");
    assert_eq!(spec.name.as_str(), "demo");
    assert_eq!(spec.pretrain[0].seeds, Seeds::range(1, 3));
    let search = spec.search.unwrap();
    let expected = [
        "random",
        "regularized-evolution",
        "arch2vec-reinforce",
        "arch2vec-dngo",
    ];
    assert_eq!(labels(&search.methods), expected);
    assert_eq!(search.seeds, Seeds::range(1, 20));
    assert_eq!(search.datasets[0].dataset, Dataset::Digits);
    assert_eq!(search.datasets[0].budget, Budget::Queries(150));
}

#[test]
fn the_paper_table_has_the_published_budgets() {
    let search = config("paper/nasbench201-full.yaml").search.unwrap();
    let budgets: Vec<_> = search
        .datasets
        .iter()
        .map(|d| (d.dataset, d.budget))
        .collect();
    let expected = [
        (Dataset::Cifar10, simulated(12_000.0)),
        (Dataset::Cifar100, simulated(500_000.0)),
        (Dataset::ImageNet16_120, simulated(1_400_000.0)),
    ];
    assert_eq!(budgets, expected);
    assert_eq!(search.seeds.len(), 500);
    let published = config("paper/nasbench201.yaml");
    assert_eq!(published.pretrain[0].seeds, Seeds(vec![Seed(3)]));
    assert_eq!(published.search.unwrap().seeds.len(), 100);
}

#[test]
fn the_two_pretraining_studies_differ_in_their_quirks_only() {
    let reference = config("paper/nasbench201-pretraining.yaml");
    let corrected = config("paper/nasbench201-pretraining-corrected.yaml");
    assert_eq!(reference.quirks, Quirks::of(Protocol::Reference));
    assert_eq!(corrected.quirks, Quirks::of(Protocol::Corrected));
    assert_eq!(reference.pretrain, corrected.pretrain);
    assert_eq!(reference.pretrain[0].seeds.len(), 5);
    assert!(reference.search.is_none());
}

#[test]
fn the_digits_benchmark_and_the_empty_tasks_are_planned() {
    let evaluate = config("benchmarks/nasbench201-digits.yaml")
        .evaluate
        .unwrap();
    assert_eq!(evaluate.architectures, ArchSelection::Unique);
    assert_eq!(evaluate.recipe, Recipe::DigitsSmall);
    assert_eq!(evaluate.seeds.len(), 3);
    assert_eq!(config("bench/noop.yaml").noop.unwrap().tasks, 10_000);
}

/// A study with nothing but what must be given, in `space`.
fn minimal(space: &str) -> StudySpec {
    resolve(
        "minimal",
        &format!(
            "version: 1\nname: minimal\nspace: {space}\nbenchmark: {{table: t.csv}}\n\
             pretrain: [{{model: arch2vec, seeds: 1}}]\n\
             search:\n  datasets: [cifar10]\n  budget: {{queries: 9}}\n  seeds: 1\n  methods:\n\
             \x20   - {{name: regularized-evolution}}\n\
             \x20   - {{name: reinforce, encoding: arch2vec}}\n\
             \x20   - {{name: dngo, encoding: arch2vec}}\n"
        ),
    )
}

#[test]
fn what_is_left_out_is_as_published() {
    let check =
        |space: &str, epochs: u32, baseline: f64, discount: f64, batch: u32, target: f64| {
            let spec = minimal(space);
            assert_eq!(spec.protocol, Protocol::Reference);
            assert_eq!(spec.retry, RetryPolicy::default());
            assert_eq!(spec.on_failure, OnFailure::Continue);
            let pretrain = &spec.pretrain[0];
            assert_eq!(pretrain.model, ModelName::Arch2vec);
            assert_eq!(
                (pretrain.epochs, pretrain.batch, pretrain.latent_points),
                (epochs, 32, 10_000)
            );
            assert_eq!((pretrain.learning_rate, pretrain.clip), (1e-3, 5.0));
            assert_eq!(pretrain.sizes, ModelSizes::default());
            let methods: Vec<_> = spec
                .search
                .unwrap()
                .methods
                .iter()
                .map(|m| m.method)
                .collect();
            let expected = [
                MethodSpec::RegularizedEvolution {
                    population: 10,
                    sample: 3,
                },
                MethodSpec::Reinforce {
                    episode: 16,
                    learning_rate: 0.01,
                    baseline,
                    discount,
                },
                MethodSpec::Dngo {
                    initial: 16,
                    batch,
                    epochs: 100,
                    target,
                },
            ];
            assert_eq!(methods, expected);
        };
    check("nasbench201", 10, 0.4, 0.4, 1, 1.0);
    check("nasbench101", 8, 0.95, 0.8, 5, 0.95);
}

#[test]
fn defaults_written_out_change_nothing() {
    let written = resolve(
        "written",
        "version: 1\nname: minimal\nspace: nasbench201\nprotocol: reference\n\
         quirks: {kl-divided-twice: true, ei-uses-variance: true}\n\
         benchmark: {table: t.csv}\n\
         pretrain:\n\
         - {model: arch2vec, seeds: 1..1, epochs: 10, batch: 32, learning-rate: 1e-3, clip: 5,\n\
         \x20  latent-points: 10000, sizes: {hidden: 128, latent: 16, layers: 4, dropout: 0.3}}\n\
         search:\n  datasets: [cifar10]\n  budget: {queries: 9}\n  seeds: [1]\n  methods:\n\
         \x20   - {name: regularized-evolution, encoding: discrete, population: 10, sample: 3}\n\
         \x20   - {name: reinforce, encoding: arch2vec, label: arch2vec-reinforce, episode: 16,\n\
         \x20      learning-rate: 0.01, baseline: 0.4, discount: 0.4}\n\
         \x20   - {name: dngo, encoding: arch2vec, initial: 16, batch: 1, epochs: 100, target: 1}\n\
         retry: {attempts: 3, backoff: 1 s, lost-workers: 5}\n\
         on-failure: continue\n",
    );
    assert_eq!(written, minimal("nasbench201"));
}

#[test]
fn a_quirk_switches_alone() {
    let text = "version: 1\nname: q\nspace: nasbench201\nprotocol: corrected\n\
                quirks: {bo-buys-repeats: true, lenient-validity: true}\nnoop: {tasks: 1}\n";
    let mut expected = Quirks::of(Protocol::Corrected);
    expected.search.bo_buys_repeats = true;
    expected.pretrain.lenient_validity = true;
    assert_eq!(resolve("q", text).quirks, expected);
}

#[test]
fn a_benchmark_resolves_to_what_the_file_names_only() {
    let text = fs::read_to_string(Path::new(CONFIGS).join("demo.yaml")).unwrap();
    let file = parse("demo.yaml", &text).unwrap();
    let builtin = BuiltinBenchmark::Nasbench201Digits;
    assert_eq!(file.benchmark(), Some(&BenchmarkSource::Builtin(builtin)));
    let digest = Digest::from_bytes([1; 32]);
    let error = file
        .clone()
        .resolve(Some(BenchmarkRef::Table { digest }))
        .unwrap_err();
    assert_eq!(error.source_name(), "demo.yaml");
    assert!(
        text.lines()
            .nth(error.line() - 1)
            .unwrap()
            .starts_with("benchmark:")
    );
    assert!(file.clone().resolve(None).is_err());
    let found = BenchmarkRef::Builtin {
        name: builtin,
        digest,
    };
    assert_eq!(
        file.resolve(Some(found)).unwrap().search.unwrap().benchmark,
        found
    );
}

#[test]
fn a_study_that_trains_its_queries_needs_no_file() {
    let text = "version: 1\nname: t\nspace: nasbench201\nbenchmark: {train: digits}\n\
                search:\n  datasets: [digits]\n  budget: {digits: 1.5 h}\n  seeds: 1..2\n\
                \x20 methods: [{name: random}]\n";
    let file = parse("t", text).unwrap();
    let search = file.resolve(None).unwrap().search.unwrap();
    assert_eq!(
        search.benchmark,
        BenchmarkRef::Train {
            recipe: Recipe::DigitsSmall
        }
    );
    assert_eq!(search.datasets[0].budget, simulated(5400.0));
}

const LEVELS: &str = "
version: 1
name: levels
space: nasbench201
benchmark: {builtin: nasbench201-digits}
pretrain:
  - model: arch2vec
    seeds: 1..2
    sizes: {latent: [8, 16]}
    epochs: [4]
    quirks: {lenient-validity: [true, false]}
  - {name: plain, model: arch2vec-no-kl, seeds: 1..3, learning-rate: 0.01}
search:
  datasets: [digits]
  budget: {queries: 150}
  seeds: 1..20
  pairing: crossed
  methods:
    - {name: regularized-evolution, population: [2, 20]}
    - {name: reinforce, encoding: arch2vec, label: rl}
    - {name: dngo, encoding: [plain, arch2vec latent=8 epochs=4 lenient-validity=true], epochs: [50, 100]}
    - {name: dngo, encoding: arch2vec-no-kl, quirks: {ei-uses-variance: false, bo-buys-repeats: true}}
";

#[test]
fn a_list_is_a_factor_and_each_of_its_values_a_level() {
    let study = resolve("levels.yaml", LEVELS);
    assert_eq!(study.check(), Ok(()));
    assert!(study.tells_embeddings());
    let titles: Vec<_> = study.pretrain.iter().map(PretrainPlan::title).collect();
    let expected = [
        "arch2vec latent=8 epochs=4 lenient-validity=true",
        "arch2vec latent=8 epochs=4 lenient-validity=false",
        "arch2vec latent=16 epochs=4 lenient-validity=true",
        "arch2vec latent=16 epochs=4 lenient-validity=false",
        "plain",
    ];
    assert_eq!(titles, expected);
    let lenient = |plan: &PretrainPlan| {
        let quirks = plan.quirks.unwrap_or(study.quirks.pretrain);
        (plan.sizes.latent, plan.epochs, quirks.lenient_validity)
    };
    let settings: Vec<_> = study.pretrain[..4].iter().map(lenient).collect();
    let expected = [(8, 4, true), (8, 4, false), (16, 4, true), (16, 4, false)];
    assert_eq!(settings, expected);
    assert_eq!(study.pretrain[0].quirks, None, "those of the study");
    let search = study.search.as_ref().unwrap();
    assert_eq!(search.pairing, Pairing::Crossed);
    let titles: Vec<_> = search.methods.iter().map(MethodPlan::title).collect();
    let expected = [
        "regularized-evolution population=2",
        "regularized-evolution population=20",
        "rl latent=8 epochs=4 lenient-validity=true",
        "rl latent=8 epochs=4 lenient-validity=false",
        "rl latent=16 epochs=4 lenient-validity=true",
        "rl latent=16 epochs=4 lenient-validity=false",
        "dngo encoding=plain search-epochs=50",
        "dngo encoding=plain search-epochs=100",
        "dngo encoding=arch2vec latent=8 epochs=4 lenient-validity=true search-epochs=50",
        "dngo encoding=arch2vec latent=8 epochs=4 lenient-validity=true search-epochs=100",
        "plain-dngo",
    ];
    assert_eq!(titles, expected);
    // The published sample follows the population of the level.
    let evolution = |sample, population| MethodSpec::RegularizedEvolution { population, sample };
    assert_eq!(search.methods[0].method, evolution(2, 2));
    assert_eq!(search.methods[1].method, evolution(3, 20));
    let encodings: Vec<_> = search.methods[4..7]
        .iter()
        .map(|m| m.encoding.as_deref())
        .collect();
    let expected = [
        "arch2vec latent=16 epochs=4 lenient-validity=true",
        "arch2vec latent=16 epochs=4 lenient-validity=false",
        "plain",
    ];
    assert_eq!(encodings, expected.map(Some));
    let quirks = search.methods[10].quirks.unwrap();
    assert!(!quirks.ei_uses_variance && quirks.bo_buys_repeats && quirks.rl_first_is_free);
}

#[test]
fn a_study_without_factors_has_the_spec_that_it_always_had() {
    let spec = serde_json::to_value(config("demo.yaml")).unwrap();
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let entry = [
        "batch",
        "clip",
        "epochs",
        "latent_points",
        "learning_rate",
        "model",
        "seeds",
        "sizes",
    ];
    assert_eq!(keys(&spec["pretrain"][0]), entry);
    let method = &spec["search"]["methods"][2];
    assert_eq!(keys(method), ["encoding", "label", "method"]);
    assert_eq!(method["encoding"], "arch2vec");
    let search = ["benchmark", "datasets", "methods", "seeds"];
    assert_eq!(keys(&spec["search"]), search);
}

const LIMITED: &str = "
version: 1
name: limited
space: nasbench201
benchmark: {builtin: nasbench201-digits}
pretrain:
  - {model: arch2vec, seeds: 1..3, time-limit: 2 h}
search:
  datasets: [digits]
  budget: {queries: 150}
  seeds: 1..20
  methods:
    - {name: random, time-limit: 10 min, silence-limit: 1 min}
    - {name: reinforce, encoding: arch2vec}
evaluate: {architectures: unique, dataset: digits, seeds: 1, silence-limit: 20 s}
noop: {tasks: 3, time-limit: 1 s}
retry: {silence-limit: 30 min}
";

#[test]
fn limits_hold_where_they_stand_and_that_on_silence_everywhere_else() {
    let limits = |time: Option<f64>, silence: f64| {
        let seconds = |limit| Seconds::new(limit).unwrap();
        Limits {
            time: time.map(seconds),
            silence: Some(seconds(silence)),
        }
    };
    let study = resolve("limited.yaml", LIMITED);
    assert_eq!(study.pretrain[0].limits, limits(Some(7200.0), 1800.0));
    let methods = &study.search.as_ref().unwrap().methods;
    assert_eq!(methods[0].limits, limits(Some(600.0), 60.0));
    assert_eq!(methods[1].limits, limits(None, 1800.0));
    assert_eq!(study.evaluate.as_ref().unwrap().limits, limits(None, 20.0));
    assert_eq!(study.noop.unwrap().limits, limits(Some(1.0), 1800.0));
    assert_eq!(study.check(), Ok(()));
}
